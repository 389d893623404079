"""The benchmark compares like with like."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import speed
from bench.straightforward import Images, Straightforward
from dataset.batches import ImageData
from methods import METHODS
from tests.dataset.sets import on_device

STEPS, BATCH = 4, 6
ROOT = Path(__file__).parents[2]


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


def in_order(part, net):
    """The state of a network, or a state, under the names of another one of the same layers."""
    state = net if isinstance(net, dict) else net.state_dict()
    return dict(zip(part.state_dict(), state.values(), strict=True))


@pytest.mark.parametrize("name", speed.METHODS)
def test_the_straightforward_version_computes_the_same(name):
    option = speed.settings(name)
    method, plain = METHODS[name](option, dtype=torch.float64), Straightforward(option)
    method.start_epoch(0)
    nets = (method.f, method.g, *method.h.split_state_dict().values())
    parts = (plain.f, plain.g, *plain.predictors)
    for part, net in zip(parts, nets, strict=True):
        part.double().load_state_dict(in_order(part, net))
    images, labels = digits(STEPS * BATCH)
    data, plain_data = (kind(images, labels, dtype=torch.float64) for kind in (on_device, ImageData))
    for index in torch.arange(STEPS * BATCH).split(BATCH):
        method.update(*data.batch(index))
        getattr(plain, name)(*plain_data.batch(index))
    nets = (method.f, method.g, *method.h.split_state_dict().values())
    for part, net in zip(parts, nets, strict=True):
        torch.testing.assert_close(part.state_dict(), in_order(part, net), rtol=1e-8, atol=1e-11)


def test_the_page_says_what_the_records_say():
    text = (ROOT / "docs/SPEED.md").read_text("utf-8")
    records = [json.loads(path.read_text("utf-8")) for path in sorted((ROOT / "results").glob("bench_*.json"))]
    for method, name in itertools.product(speed.METHODS, speed.COLUMNS):
        times = [(of[method][f"{name}_ms"], of[method]["reference_ms"]) for of in records]
        cells = [f"{ms:.3g}" + f", **{other / ms:.2f}**" * (ms != other) if ms else "-" for ms, other in times]
        assert f"| {method}, {name.replace('reference', 'straightforward')} | {' | '.join(cells)} |" in text
    fast = {of["device"]: [] for of in records}
    for of in records:
        fast[of["device"]].append(of["lntl"]["reference_ms"] / of["lntl"]["float32_ms"])
    cpu, gpu = sorted(fast["cpu"]), fast["cuda"]
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    said = (
        f"LNTL iteration is {cpu[0]:.1f} to {cpu[-1]:.1f} times as fast as in a straightforward rewrite of the original"
    )
    assert f"{said}, on a GPU {gpu[0]:.1f} times" in readme
