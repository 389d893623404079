"""The updates against an independent reference, and the loop: schedule, hold-out, sampling, selection, divergence."""

import math
import signal

import numpy as np
import pytest
import torch

import option as resolver
import train
from common.errors import Diverged
from dataset.base import DataSet, hold_out
from dataset.batches import ImageData
from dataset.images import ImageSet
from methods import METHODS
from methods.blindeye import confusion_loss
from methods.lntl import negative_entropy
from models.checkpoint import join_net, read_torch_file
from tests import processes
from tests.dataset.sets import data_of, on_device
from tests.reference import Reference
from trainer import Trainer, sampling_weights

STEPS, BATCH = 3, 5


def options(**changes):
    """Resolved options of a small run, whatever method they are given to."""
    values = {
        "lr": 0.02, "lambda_": 0.7, "mu": 0.4, "alpha": 0.5, "detach_h": 0, "random_seed": 3, "batch_size": BATCH,
        "max_step": 1, "from_scratch": True, "smoothing": 0.1, "prior": "bins", "prior_width": 6,
    }  # fmt: skip
    return resolver.resolve({}, values | changes).replace(**values | changes)


def digits(count, seed=0):
    """Random images of one colour on black, uint8 (count, 28, 28, 3), and labels."""
    rng = np.random.default_rng(seed)
    mask = rng.random((count, 28, 28, 1)) < 0.2
    return (mask * rng.integers(1, 256, (count, 1, 1, 3))).astype(np.uint8), rng.integers(0, 10, count)


def distance(ours, reference):
    """|difference| / |reference| over all parameters."""
    names = [k for k in reference if k in ours]
    a = torch.cat([ours[k].double().flatten() for k in names])
    b = torch.cat([reference[k].detach().flatten() for k in names])
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("factored", [True, False])
@pytest.mark.parametrize("name", ["lntl", "blindeye", "baseline"])
def test_updates_equal_the_equations(name, factored):
    torch.manual_seed(0)
    option = options()
    method = METHODS[name](option, dtype=torch.float64)
    method.start_epoch(0)
    reference = Reference(
        join_net(method.f, method.g), method.h.split_state_dict(), option.lr, option.momentum, option.weight_decay,
        option.lambda_, option.mu, option.alpha if name == "blindeye" else None,
    )  # fmt: skip
    images, labels = digits(STEPS * BATCH)
    data = (on_device if factored else ImageData)(images, labels, dtype=torch.float64)
    for step in range(STEPS):
        index = torch.arange(step * BATCH, (step + 1) * BATCH)
        x, y = torch.from_numpy(images)[index], torch.from_numpy(labels)[index]
        ours = dict(zip(method.metrics, method.update(*data.batch(index)), strict=True))
        if name == "baseline":
            assert ours["cls_loss"].item() == pytest.approx(reference.baseline(x, y), rel=1e-9)
            continue
        losses = reference.iteration(x, y)
        term = "neg_entropy" if name == "lntl" else "confusion_loss"
        for key, expected in zip(("cls_loss", "bias_loss", term), losses, strict=True):
            assert ours[key].item() == pytest.approx(expected, rel=1e-9), key
    assert distance(join_net(method.f, method.g), reference.net) < 1e-9
    for channel, state in method.h.split_state_dict().items():
        assert distance(state, reference.predictors[channel]) < 1e-9


def test_detached_h_learns_alone():
    torch.manual_seed(0)
    batch = on_device(*digits(BATCH)).batch(torch.arange(BATCH))
    lntl, baseline = METHODS["lntl"](options(detach_h=1)), METHODS["baseline"](options())
    for name, network in baseline.networks().items():
        network.load_state_dict(lntl.networks()[name].state_dict())
    before = lntl.h.conv1.weight.clone()
    lntl.start_epoch(0)
    for _ in range(2):
        lntl.update(*batch), baseline.update(*batch)
    for name in ("f", "g"):
        ours, theirs = lntl.networks()[name], baseline.networks()[name]
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert not torch.equal(lntl.h.conv1.weight, before)
    lntl.start_epoch(1)
    assert not lntl.detach_h


def test_entropy_at_its_bounds():
    uniform = torch.zeros(2, 3, 8, 14, 14)
    assert negative_entropy(uniform).item() == pytest.approx(-np.log(8))
    assert confusion_loss(uniform).item() == pytest.approx(np.log(8))
    certain = uniform.clone()
    certain[:, :, 0] = 1e4  # a softmax that underflows: p log p would be NaN
    certain.requires_grad_()
    negative_entropy(certain).backward()
    assert negative_entropy(certain).item() == pytest.approx(0)
    assert certain.grad.isfinite().all()


class Run:
    """Stands in for a RunFolder that keeps what it is given."""

    def __init__(self):
        self.records, self.lines = [], []
        self.record, self.say = self.records.append, self.lines.append

    def __truediv__(self, name):
        return f"nowhere/{name}"

    def log(self):
        return self.records


def fitted(n=BATCH, **changes):
    """A trainer that has run on n random digits, without writing weights."""
    data = on_device(*digits(n))
    trainer = Trainer(options(**changes), data_of(DataSet, data, {"test_accuracy": data}), Run(), torch.device("cpu"))
    trainer.save = lambda: None
    trainer.fit()
    return trainer


def rates(**changes):
    return [record["lr"] for record in fitted(lr=0.01, method="baseline", **changes).run.records]


def test_learning_rate_follows_the_schedule():
    expected = [0.01, 0.01, 0.001, 0.001, 0.0001]
    assert rates(max_step=5, lr_decay_period=2) == pytest.approx(expected)
    cycle = rates(max_step=8, lr_decay_period=0)  # the length of the run decides
    top = cycle.index(max(cycle))
    assert cycle[: top + 1] == sorted(cycle[: top + 1])
    assert cycle[top:] == sorted(cycle[top:], reverse=True)
    assert cycle[-1] < 0.001 < 0.009 < cycle[top] <= 0.01
    assert rates(max_step=1, lr_decay_period=0)[0] > 0.001


def test_holdout_is_disjoint_and_depends_on_the_data_seed_alone():
    data = on_device(digits(40)[0], np.arange(40))
    kept, held = hold_out(data, options(holdout=10))
    assert sorted(kept.label.tolist() + held.label.tolist()) == list(range(40))
    assert torch.equal(held.label, hold_out(data, options(holdout=10, random_seed=99))[1].label)
    assert not torch.equal(held.label, hold_out(data, options(holdout=10, data_seed=1))[1].label)


def test_divergence_stops_with_the_losses_and_saves_nothing(tmp_path, small_data, capsys):
    """It says so in its folder, until it is tried again."""
    with pytest.raises(Diverged, match=r"diverged in epoch 1.*cls_loss.*last\.pt.*--lr"):
        fitted(4 * BATCH, lr=1e9)
    with pytest.raises(SystemExit):
        train.main(processes.flags(tmp_path, small_data, "--lr", 100, epochs=1))
    error = capsys.readouterr().err
    assert (error.count("\n"), "diverged in epoch 1" in error) == (1, True)
    assert processes.read(tmp_path / "run/diverged.json") == {"epoch": 1}
    assert not (tmp_path / "run/last.pt").exists()
    assert train.main(processes.flags(tmp_path, small_data, epochs=1)) == 0
    assert not (tmp_path / "run/diverged.json").exists()


# ------------------------------------------------------------------- sampling, augmentation, selection


class Labelled:
    """A part of which only the labels are looked at: 90 % of the biases are the label."""

    label = torch.arange(2000) % 2
    image_bias = torch.where(torch.arange(2000) % 20 < 18, torch.arange(2000) % 2, 1 - torch.arange(2000) % 2)[:, None]


@pytest.mark.parametrize(("sampling", "power"), [("balanced", 0), ("half", 0.5)])
def test_the_draws_of_groups(sampling, power):
    """Balanced, every group has the same share of an epoch's images, so that b tells nothing of y."""
    weights = sampling_weights(Labelled, sampling)
    groups = Labelled.label * 2 + Labelled.image_bias[:, 0]
    expected = torch.bincount(groups).double() ** power
    sums = torch.zeros(4).double().index_add_(0, groups, weights)
    assert sums.tolist() == pytest.approx(expected.tolist())
    trainer = Trainer.__new__(Trainer)
    trainer.train, trainer.weights, trainer.passes = torch.empty(2000), weights, 1
    trainer.order = torch.Generator().manual_seed(0)
    shares = torch.bincount(groups[trainer.draw_order()], minlength=4) / 2000
    assert shares.tolist() == pytest.approx((expected / expected.sum()).tolist(), abs=4 * math.sqrt(0.25 / 2000))
    trainer.weights, trainer.passes = sampling_weights(Labelled, "plain"), 2
    first, second = trainer.draw_order().split(2000)
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(2000))
    assert not first.equal(second)


CHOSEN = ("--sampling", "balanced", "--augment", "flip", "affine", "--select", "worst_group", "--method", "lntl_plus")


@pytest.fixture(scope="module")
def chosen(small_images, tmp_path_factory):
    """The folder of a run on images with balanced draws, augmentation and a rule that picks an epoch."""
    folder = tmp_path_factory.mktemp("chosen")
    assert train.main(processes.image_flags(folder, small_images, *CHOSEN, epochs=4)) == 0
    return folder / "run"


def test_balanced_draws_and_augmentation_resume_to_the_bit(tmp_path, small_images, chosen, monkeypatch):
    iterate, calls = Trainer.iterate, []

    def interrupted(self, handle):
        calls.append(handle)
        if len(calls) == 13:  # in the second epoch
            signal.raise_signal(signal.SIGTERM)
        return iterate(self, handle)

    monkeypatch.setattr(Trainer, "iterate", interrupted)
    assert train.main(processes.image_flags(tmp_path, small_images, *CHOSEN, epochs=4)) == 128 + signal.SIGTERM
    monkeypatch.undo()
    assert train.main(["-e", "run", "--save_dir", str(tmp_path), "--resume"]) == 0
    processes.assert_same(tmp_path / "run", chosen)


def test_an_epoch_of_few_images_has_several_passes(small_images, tmp_path):
    option = resolver.train_options(processes.image_flags(tmp_path, small_images, *CHOSEN))
    trainer = Trainer(option, ImageSet(option, torch.device("cpu")), None, torch.device("cpu"))
    n = len(trainer.train)
    assert 1280 <= len(trainer.draw_order()) == trainer.passes * n < 1280 + n


def test_the_picked_epoch_is_the_best_on_validation_images(chosen):
    log, metrics = processes.read(chosen / "log.jsonl"), processes.read(chosen / "metrics.json")
    best = max(log, key=lambda record: record["holdout_worst_group_accuracy"])
    assert (metrics["selected"]["rule"], metrics["selected"]["epoch"]) == ("worst_group", best["epoch"])
    assert metrics["selected"]["test_worst_group_accuracy"] == best["test_worst_group_accuracy"]
    assert read_torch_file(chosen / "selected.pth")["step"] == best["epoch"]
    assert read_torch_file(chosen / "final.pth")["step"] == 4
    assert metrics["accuracy"] == log[-1]["test_accuracy"]  # the last epoch is what is reported
