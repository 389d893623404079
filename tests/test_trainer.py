"""The updates against an independent reference, and the loop's promises that need no process."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import train
from common.errors import UserError
from dataset.base import DataSet, hold_out
from dataset.batches import ImageData, on_device
from dataset.released import ReleasedFile, released_name, write_released
from methods import METHODS
from methods.blindeye import confusion_loss
from methods.lntl import GradientReversal, bias_cross_entropy, negative_entropy
from models.checkpoint import join_net
from tests.reference import Reference
from trainer import Trainer

STEPS, BATCH = 4, 6


def options(**changes):
    values = {
        "lr": 0.02, "momentum": 0.9, "weight_decay": 5e-4, "lambda_": 0.7, "mu": 0.4, "alpha": 0.5, "detach_h": 0,
        "lr_decay_period": 40, "lr_decay_rate": 0.1, "precision": "float32", "random_seed": 3, "holdout": 0,
        "data_seed": 0, "batch_size": BATCH, "max_step": 1, "save_step": 10, "log_step": 50, "method": "lntl",
        "average": 0, "from_scratch": True, "checkpoint": None, "smoothing": 0.1, "prior": "bins",
        "prior_width": 6, "dry_run": False,
    }  # fmt: skip
    return SimpleNamespace(**(values | changes))


def digits(count, seed=0):
    """Random images of one colour on black, uint8 (count, 28, 28, 3), and labels."""
    rng = np.random.default_rng(seed)
    mask = rng.random((count, 28, 28, 1)) < 0.2
    return (mask * rng.integers(1, 256, (count, 1, 1, 3))).astype(np.uint8), rng.integers(0, 10, count)


def test_the_first_step_of_adam_is_of_the_learning_rate_for_every_weight():
    """m / sqrt(v) of one gradient is its sign (Kingma and Ba 2015), wherever the gradient is not tiny."""
    method = METHODS["baseline"](options(optimizer="adam", lr=0.01, weight_decay=0))
    before = {name: p.detach().clone() for name, p in method.g.named_parameters()}
    method.update(*on_device(*digits(BATCH)).batch(torch.arange(BATCH)))
    for name, p in method.g.named_parameters():
        moved = (p - before[name])[p.grad.abs() > 1e-4]
        assert len(moved) > 0
        torch.testing.assert_close(moved.abs(), torch.full_like(moved, 0.01), rtol=1e-3, atol=0)
        assert (moved.sign() == -p.grad[p.grad.abs() > 1e-4].sign()).all()


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
    images, labels = digits(BATCH)
    batch = on_device(images, labels).batch(torch.arange(BATCH))
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


def test_reversal_changes_only_the_gradient():
    x = torch.randn(3, requires_grad=True)
    y = GradientReversal.apply(x, 0.25)
    y.backward(torch.tensor([1.0, 2.0, -4.0]))
    assert torch.equal(x, y)
    assert torch.equal(x.grad, torch.tensor([-0.25, -0.5, 1.0]))


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


def test_ignored_positions_do_not_count():
    logits = torch.randn(2, 3, 8, 14, 14)
    b = torch.full((2, 3, 14, 14), 255)
    b[0, 1, 3, 4] = 5
    loss, accuracy = bias_cross_entropy(logits, b)
    assert loss.item() == pytest.approx(-logits[0, 1, :, 3, 4].log_softmax(0)[5].item(), rel=1e-5)
    assert accuracy.item() == float(logits[0, 1, :, 3, 4].argmax() == 5)


class Run:
    """Stands in for a RunFolder that keeps what it is given."""

    path = "nowhere"

    def __init__(self):
        self.states, self.records = [], []

    def __truediv__(self, name):
        return f"{self.path}/{name}"

    def save(self, state):
        self.states.append(state)

    def record(self, values):
        self.records.append(values)

    def say(self, line):
        pass


def test_divergence_stops_with_the_losses_and_saves_nothing():
    images, labels = digits(4 * BATCH)
    run = Run()
    trainer = Trainer(options(lr=1e9), DataSet.of(on_device(images, labels)), run, torch.device("cpu"))
    with pytest.raises(UserError, match=r"diverged in epoch 1.*cls_loss.*last\.pt.*--detach_h"):
        trainer.fit()
    assert run.states == []
    assert run.records == []


def test_a_run_that_diverged_says_so_in_its_folder_until_it_is_tried_again(tmp_path, capsys):
    images, labels = digits(64)
    write_released(tmp_path / released_name(0.02), ReleasedFile(images, labels, images, labels, images.max(axis=3)))
    flags = f"-e run --color_var 0.02 --from_scratch --batch_size 16 --max_step 2 --device cpu --save_dir {tmp_path}"
    flags = [*flags.split(), "--data_dir", str(tmp_path), "--lr"]
    with pytest.raises(SystemExit):
        train.main([*flags, "100"])
    assert "diverged in epoch" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "diverged.json").read_text())["epoch"] in (1, 2)
    for kept in (tmp_path / "run").glob("*.pt"):  # of the first epoch, if that went well
        kept.unlink()
    assert train.main([*flags, "0.001"]) == 0
    assert not (tmp_path / "run" / "diverged.json").exists()


def test_learning_rate_follows_the_schedule():
    images, labels = digits(BATCH)
    run = Run()
    option = options(max_step=5, lr_decay_period=2, lr=0.01, method="baseline")
    trainer = Trainer(option, DataSet.of(on_device(images, labels)), run, torch.device("cpu"))
    trainer.save = lambda: None
    trainer.fit()
    assert [r["lr"] for r in run.records] == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.0001])


def test_holdout_is_disjoint_and_depends_on_the_data_seed_alone():
    images, _labels = digits(40)
    data = on_device(images, np.arange(40))
    train, held = hold_out(data, options(holdout=10))
    assert sorted(train.label.tolist() + held.label.tolist()) == list(range(40))
    again = hold_out(data, options(holdout=10, random_seed=99))[1]
    other = hold_out(data, options(holdout=10, data_seed=1))[1]
    assert torch.equal(held.label, again.label)
    assert not torch.equal(held.label, other.label)
