"""Warnings of numerical trouble: they come when they should, into the log, and not in healthy runs."""

import json
import math
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import train
from common.files import read_json_lines
from dataset.batches import on_device
from dataset.colored_mnist import build
from dataset.colored_set import ColoredSet
from dataset.mnist import load_mnist
from dataset.released import ReleasedFile, released_name, write_released
from methods import METHODS
from run import health
from run.evaluate import bias_accuracy, evaluate_all, report
from run.folder import RunFolder
from tests.test_trainer import digits
from trainer import Trainer

RUNS = sorted((Path(__file__).resolve().parents[2] / "results" / "runs").iterdir())
HEALTHY = {"epoch": 3, "accuracy": 0.99, "bias_loss": 1.2}


def method(gradient=1.0, name="lntl"):
    """A method whose gradients are all `gradient`."""
    option = SimpleNamespace(
        method=name, lr=0.1, momentum=0, weight_decay=0, lr_decay_period=1, lr_decay_rate=0.1,
        from_scratch=True, checkpoint=None,
    )  # fmt: skip
    method = METHODS[name](option)
    for network in (method.f, method.h):
        for p in network.parameters():
            p.grad = torch.full_like(p, gradient)
    return method


@pytest.mark.parametrize(
    ("change", "best", "gradient", "what"),
    [
        ({}, 0.99, 1e-3, []),
        ({"bias_loss": 2.07}, 0.99, 1, []),
        ({"accuracy": 0.19}, 0.3, 1, ["collapsed: label accuracy 0.1900"]),
        ({"accuracy": 0.19}, 0.99, 1, ["collapsed"]),
        ({"accuracy": 0.88}, 0.99, 1, ["collapsing: label accuracy 0.8800", "after 0.9900"]),
        ({"bias_loss": 2.09}, 0.99, 1, ["h does not keep up"]),
        ({}, 0.99, 0, ["gradient of h has vanished"]),
        ({}, 0.99, 1e-12, ["gradient of f has vanished", "gradient of h has vanished"]),
        ({}, 0.99, 1e3, ["gradient of f has exploded", "gradient of h has exploded"]),
    ],
)
def test_each_condition(change, best, gradient, what):
    lines = health.warnings(HEALTHY | change, [{"accuracy": best}, {"accuracy": 0.5}], method(gradient))
    assert bool(lines) == bool(what)
    assert all(part in "\n".join(lines) for part in what)
    assert all(line.startswith("epoch 3: ") and "--detach_h" in line for line in lines)


def test_a_method_that_measures_no_accuracy_has_the_other_warnings():
    """Of one's own, methods may measure what they like."""
    record = {"epoch": 2, "energy": 1.0, "bias_loss": 9.0}
    (line,) = health.warnings(record, [{"epoch": 1, "energy": 2.0}], method())
    assert "h does not keep up" in line


def test_no_gradients_right_after_a_resume():
    fresh = METHODS["lntl"](method().option)
    assert health.warnings(HEALTHY, [], fresh) == []


@pytest.mark.parametrize("folder", RUNS, ids=lambda p: p.name)
def test_recorded_runs_were_healthy(folder):
    log = read_json_lines(folder / "log.jsonl")
    assert log
    quiet = method()
    assert [w for i, record in enumerate(log) for w in health.warnings(record, log[:i], quiet)] == []


@pytest.fixture(scope="module")
def few_images(tmp_path_factory):
    """A folder with a released file of the first 512 training and 64 test images of the benchmark."""
    mnist = load_mnist()
    few = mnist._replace(
        train_images=mnist.train_images[:512],
        train_labels=mnist.train_labels[:512],
        test_images=mnist.test_images[:64],
        test_labels=mnist.test_labels[:64],
    )
    data, folder = build(0.02, mnist=few), tmp_path_factory.mktemp("data")
    parts = (data.train.images(), data.train.label, data.test.images(), data.test.label, data.test_gray)
    write_released(folder / released_name(0.02), ReleasedFile(*parts))
    return folder


@pytest.mark.parametrize(
    ("flags", "warning"),
    [
        ("--lr 0.001", None),  # the paper's settings
        ("--lr 0.03", "training is collapsing: label accuracy 0."),
        ("--mu 100", "training is collapsing: label accuracy 0."),
    ],
)
def test_the_log_warns_as_it_happens(few_images, tmp_path, capsys, flags, warning):
    """From the shipped baseline, 32 iterations."""
    fixed = f"-e x --color_var 0.02 --batch_size 16 --max_step 1 --random_seed 1 --threads 1 --device cpu {flags}"
    assert train.main([*fixed.split(), "--data_dir", str(few_images), "--save_dir", str(tmp_path)]) == 0
    out, log = capsys.readouterr().out, (tmp_path / "x" / "log.txt").read_text()
    lines = [line for line in log.splitlines() if "WARNING: epoch" in line]
    if warning:
        assert f"WARNING: epoch 1: {warning}" in lines[0]
        assert log.index("WARNING: epoch") < log.index("epoch 1/1") < log.index("EVALUATION")
        assert "WARNING" in out
    else:
        assert lines == []


def test_the_start_is_known_after_an_interruption_of_the_first_epoch(few_images, tmp_path, monkeypatch):
    fixed = "-e x --color_var 0.02 --batch_size 16 --max_step 1 --random_seed 1 --threads 1 --device cpu --lr 0.03"
    line = [*fixed.split(), "--data_dir", str(few_images), "--save_dir", str(tmp_path)]
    iterate = Trainer.iterate

    def interrupted(self, handle):
        signal.raise_signal(signal.SIGTERM)
        return iterate(self, handle)

    monkeypatch.setattr(Trainer, "iterate", interrupted)
    assert train.main(line) == 128 + signal.SIGTERM
    monkeypatch.undo()
    assert train.main(["-e", "x", "--save_dir", str(tmp_path), "--resume"]) == 0
    assert "WARNING: epoch 1: training is collapsing" in (tmp_path / "x" / "log.txt").read_text("utf-8")


def test_the_first_epoch_is_compared_with_the_start_as_measured():
    """A start that knew little is no fall; without a measured one nothing is invented."""
    some, record = method(), HEALTHY | {"epoch": 1, "accuracy": 0.24}
    assert health.warnings(record, [], some) == []
    some.start_accuracy = 0.25
    assert health.warnings(record, [], some) == []
    some.start_accuracy = 0.99
    assert "after 0.9900" in health.warnings(record, [], some)[0]
    assert "collapsed" in health.warnings(record | {"accuracy": 0.1}, [], some)[0]
    images, labels = digits(1500)
    some.start_accuracy = None
    assert health.measure_start(some, on_device(images, labels)) == some.start_accuracy < 0.3


def test_json_has_no_nan(tmp_path):
    with RunFolder(tmp_path, "x") as run:
        run.record({"epoch": 1, "accuracy": float("nan"), "more": [float("inf"), 1.0, {"a": -float("inf")}]})
        run.trim_log(1)
    line = (tmp_path / "x" / "log.jsonl").read_text()
    assert json.loads(line, parse_constant=pytest.fail) == {
        "epoch": 1,
        "accuracy": None,
        "more": [None, 1.0, {"a": None}],
    }
    assert health.warnings(HEALTHY, [json.loads(line)], method()) == []
    images, labels = digits(20)
    f, g, h = method().networks().values()
    black = on_device(images * 0, labels)
    assert math.isnan(bias_accuracy(f, h, black))  # of no labelled position
    torch.nn.init.constant_(g.fc.bias, float("inf"))
    (tmp_path / "w").write_bytes(b"")
    option = SimpleNamespace(method="lntl", color_var=0.02)
    tests = {"test_accuracy": black}
    report(option, tmp_path, evaluate_all(f, g, tests), ColoredSet.of(black, tests), tmp_path / "w")
    assert json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)["loss"] is None
