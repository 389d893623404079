"""The benchmark compares like with like. (tests/evidence/test_report.py compares its records with the README.)"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import speed as bench
from bench import tables
from bench.straightforward import Images, Straightforward, loader
from dataset.batches import ImageData, on_device
from methods import METHODS
from models.checkpoint import join_net
from tests.test_options import refused
from tests.test_trainer import BATCH, STEPS, digits, options

ROOT = Path(bench.__file__).parents[1]
RECORDS = sorted((ROOT / "results").glob("bench_*.json"))


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker")
def test_the_loader_feeds_what_the_trainer_gets():
    images, labels = digits(10)
    images[0] = 0
    x, y, b = next(iter(torch.utils.data.DataLoader(Images(images, labels), 10)))
    expected_x, expected_y, expected_b = ImageData(images, labels).batch(torch.arange(10))
    torch.testing.assert_close(x, expected_x)
    assert torch.equal(y, expected_y)
    assert torch.equal(b, expected_b)
    batches = list(loader(images, labels, 4))
    assert sorted(torch.cat([y for _, y, _ in batches]).tolist()) == sorted(labels.tolist())


@pytest.mark.parametrize("name", bench.METHODS)
def test_the_straightforward_version_computes_the_same(name):
    torch.manual_seed(0)
    method = METHODS[name](options(), dtype=torch.float64)
    method.start_epoch(0)
    plain = Straightforward(options())
    for network in (plain.net, *plain.predictors):
        network.double()
    plain.net.load_state_dict(join_net(method.f, method.g))
    for predictor, state in zip(plain.predictors, method.h.split_state_dict().values(), strict=True):
        predictor.load_state_dict(state)

    images, labels = digits(STEPS * BATCH)
    data, plain_data = (kind(images, labels, dtype=torch.float64) for kind in (on_device, ImageData))
    for index in torch.arange(STEPS * BATCH).split(BATCH):
        measured = dict(zip(method.metrics, method.update(*data.batch(index)), strict=True))
        x, y, b = plain_data.batch(index)
        losses = getattr(plain, name)(x.contiguous(), y, b)
        names = ("cls_loss", "bias_loss", "neg_entropy")
        expected = np.multiply(losses, (1, 1 / 3, 1)) if name == "lntl" else [losses]
        assert [measured[n].item() for n in names[: len(expected)]] == pytest.approx(list(expected), rel=1e-9)

    ours = join_net(method.f, method.g)
    for key, value in plain.net.state_dict().items():
        torch.testing.assert_close(ours[key], value, rtol=1e-8, atol=1e-11)
    for predictor, state in zip(plain.predictors, method.h.split_state_dict().values(), strict=True):
        for key, value in predictor.state_dict().items():
            torch.testing.assert_close(state[key], value, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name)
def test_the_figures_are_medians_of_the_rounds(path):
    figures = json.loads(path.read_text("utf-8"))
    for method in bench.METHODS:
        for precision, times in figures[method]["rounds_ms"].items():
            assert figures[method][f"{precision}_ms"] == pytest.approx(np.median(times))


def test_a_folder_that_is_not_there_is_refused_before_any_measurement(capsys, tmp_path):
    assert "in a folder that exists" in refused(capsys, bench, "--json", str(tmp_path / "x" / "bench.json"))


def test_start_and_memory_are_those_of_a_real_run():
    figures = bench.start_up(torch.device("cpu"))
    assert figures["start_seconds"] > 0
    assert 100 < figures["peak_memory_mb"] < 10_000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker")
def test_a_quick_run(tmp_path, capsys):
    assert bench.main(["--quick", "--json", str(tmp_path / "bench.json")]) == 0
    figures = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert capsys.readouterr().out.strip() == tables.table(figures)
    for method in bench.METHODS:
        assert figures[method]["reference_ms"] > 0
        assert figures[method]["float32_ms"] > 0
        assert "bfloat16_ms" in figures[method]
