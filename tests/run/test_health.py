"""Warnings of numerical trouble: they come when they should, and not in healthy runs; pictures cost no result."""

import math
import signal

import pytest
import torch

import train
from common.files import read_json_lines
from dataset.colored_mnist import ColoredSet
from methods import METHODS
from run import evaluate, health
from tests.dataset.sets import data_of, on_device
from tests.processes import flags, read
from tests.test_trainer import digits, options
from trainer import Trainer

HEALTHY = {"epoch": 3, "accuracy": 0.99, "bias_loss": 1.2}


def method(gradient=1.0, name="lntl"):
    """A method whose gradients are all `gradient`."""
    method = METHODS[name](options())
    for network in (method.f, method.h):
        for p in network.parameters():
            p.grad = torch.full_like(p, gradient)
    return method


@pytest.mark.parametrize(
    ("change", "best", "gradient", "what"),
    [
        ({}, 0.99, 1e-3, {}),
        ({"bias_loss": 2.07}, 0.99, 1, {}),
        ({"accuracy": 0.19}, 0.3, 1, {"collapsed": "label accuracy 0.1900"}),
        ({"accuracy": 0.88}, 0.99, 1, {"collapsing": "label accuracy 0.8800 on the training images, after 0.9900"}),
        ({"bias_loss": 2.09}, 0.99, 1, {"h": "h does not keep up"}),
        ({"accuracy": None, "bias_loss": 9.0}, 0.99, 1, {"h": "its loss 9.0000"}),  # of a method that has no accuracy
        ({}, 0.99, 0, {"gradient of h": "has norm 0"}),
        ({}, 0.99, 1e-12, {"gradient of f": "has norm", "gradient of h": "has norm"}),
        ({}, 0.99, 1e3, {"gradient of f": "has norm", "gradient of h": "has norm"}),
    ],
)
def test_each_condition(change, best, gradient, what):
    found = health.warnings(HEALTHY | change, [{"accuracy": best}, {"accuracy": 0.5}], method(gradient))
    assert found.keys() == what.keys()
    assert all(part in found[kind] for kind, part in what.items())
    assert all(line.startswith("epoch 3: ") and "--mu or --lambda_ may help" in line for line in found.values())


def test_the_start_is_known_after_an_interruption_of_the_first_epoch(tmp_path, small_data, monkeypatch):
    """And what was warned of once is not said again."""
    line = flags(tmp_path, small_data, "--lr", "0.03", epochs=2)
    line.remove("--from_scratch")
    iterate, measured = Trainer.iterate, []

    def interrupted(self, handle):
        self.method.start_accuracy, self.warned = 0.99, {"h"}
        measured.append(self)
        signal.raise_signal(signal.SIGTERM)
        return iterate(self, handle)

    monkeypatch.setattr(Trainer, "iterate", interrupted)
    assert train.main(line) == 128 + signal.SIGTERM
    monkeypatch.undo()
    assert train.main(["-e", "run", "--save_dir", str(tmp_path), "--resume"]) == 0
    log = (tmp_path / "run/log.txt").read_text("utf-8")
    assert log.count("WARNING: epoch 1: training collapsed") == log.count("training collapsed") == 1
    assert "h does not keep up" not in log
    assert len(read_json_lines(tmp_path / "run/log.jsonl")) == 2


def test_a_picture_that_cannot_be_drawn_costs_no_result(tmp_path, small_data, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "draw_matrix", lambda *_: (_ for _ in ()).throw(RuntimeError("no font\nhere")))
    assert train.main(flags(tmp_path, small_data, epochs=1)) == 0
    assert "WARNING: no picture confusion_matrix.png (RuntimeError: no font\\nhere)" in capsys.readouterr().out
    assert read(tmp_path / "run/metrics.json")["n"] == 64


def test_figures_that_are_no_numbers_are_null(tmp_path):
    images, labels = digits(20)
    f, g, h = method().networks().values()
    black = on_device(images * 0, labels)
    assert math.isnan(evaluate.bias_accuracy(f, h, black))  # of no labelled position
    torch.nn.init.constant_(g.fc.bias, float("inf"))
    (tmp_path / "w").write_bytes(b"")
    tests = {"test_accuracy": black}
    option = options(color_var=0.02)
    evaluated = {"test_accuracy": (black, evaluate.evaluate(f, g, black))}
    evaluate.report(option, tmp_path, evaluated, data_of(ColoredSet, black, tests), tmp_path / "w")
    assert read(tmp_path / "metrics.json")["loss"] is None
