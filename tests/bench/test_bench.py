"""The benchmark compares like with like."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import speed
from bench.straightforward import Images, Straightforward
from dataset.batches import ImageData
from methods import METHODS
from models.checkpoint import join_net
from tests.dataset.sets import on_device

STEPS, BATCH = 4, 6
RECORDS = sorted((Path(__file__).parents[2] / "results").glob("bench_*.json"))


def digits(count):
    """Random images of one colour on black, uint8 (count, 28, 28, 3), and labels."""
    rng = np.random.default_rng(0)
    mask = rng.random((count, 28, 28, 1)) < 0.2
    return (mask * rng.integers(1, 256, (count, 1, 1, 3))).astype(np.uint8), rng.integers(0, 10, count)


def test_the_loader_feeds_what_the_trainer_gets():
    images, labels = digits(10)
    images[0] = 0
    x, y, b = next(iter(torch.utils.data.DataLoader(Images(images, labels), 10)))
    expected_x, expected_y, expected_b = ImageData(images, labels).batch(torch.arange(10))
    torch.testing.assert_close(x, expected_x)
    assert torch.equal(y, expected_y)
    assert torch.equal(b, expected_b)


@pytest.mark.parametrize("name", speed.METHODS)
def test_the_straightforward_version_computes_the_same(name):
    option = speed.settings(name)
    method, plain = METHODS[name](option, dtype=torch.float64), Straightforward(option)
    method.start_epoch(0)
    plain.net.double().load_state_dict(join_net(method.f, method.g))
    for predictor, state in zip(plain.predictors, method.h.split_state_dict().values(), strict=True):
        predictor.double().load_state_dict(state)
    images, labels = digits(STEPS * BATCH)
    data, plain_data = (kind(images, labels, dtype=torch.float64) for kind in (on_device, ImageData))
    for index in torch.arange(STEPS * BATCH).split(BATCH):
        method.update(*data.batch(index))
        getattr(plain, name)(*plain_data.batch(index))
    torch.testing.assert_close(join_net(method.f, method.g), plain.net.state_dict(), rtol=1e-8, atol=1e-11)
    for predictor, state in zip(plain.predictors, method.h.split_state_dict().values(), strict=True):
        torch.testing.assert_close(state, predictor.state_dict(), rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name)
def test_records_hold_every_method(path):
    figures = json.loads(path.read_text("utf-8"))
    assert {"environment", "device", "rounds", "iterations"} <= figures.keys()
    for method in speed.METHODS:
        assert {f"{name}_ms" for name in speed.COLUMNS} <= figures[method].keys()
        assert f"{method} float32 " in speed.table(figures)
