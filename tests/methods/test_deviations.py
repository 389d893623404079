"""Each deviation does what its name says, and nothing else."""

import pytest
import torch

import option as resolver
from common.errors import UserError
from dataset.batches import on_device
from methods import DEVIATIONS, deviations, make_method
from methods.baseline import Baseline
from methods.lntl import LNTL
from models.checkpoint import join_net
from tests.reference import Reference
from tests.test_trainer import digits, distance
from tests.test_trainer import options as numbers

STEPS, BATCH = 3, 5


def test_the_flag_knows_them_all():
    for name, its_class in DEVIATIONS.items():
        option = resolver.train_options(["-e", "x", "--color_var", "0.02", "--deviation", name])
        assert type(make_method(option, "cpu")) is its_class


@pytest.mark.parametrize("name", ["still_g", "foreground_entropy", "one_pass"])
def test_updates_equal_the_equations(name):
    torch.manual_seed(0)
    option = numbers()
    method = DEVIATIONS[name](option, dtype=torch.float64)
    plain = Reference(
        join_net(method.f, method.g), method.h.split_state_dict(), option.lr, option.momentum, option.weight_decay,
        option.lambda_, option.mu,
    )  # fmt: skip
    reference = Reference(
        plain.net, plain.predictors, option.lr, option.momentum, option.weight_decay, option.lambda_, option.mu,
        deviation=name,
    )  # fmt: skip
    images, labels = digits(STEPS * BATCH)
    data = on_device(images, labels, dtype=torch.float64)
    method.start_epoch(0)
    for index in torch.arange(STEPS * BATCH).split(BATCH):
        x, y = torch.from_numpy(images)[index], torch.from_numpy(labels)[index]
        losses = dict(zip(method.metrics, method.update(*data.batch(index)), strict=True))
        expected = reference.iteration(x, y)
        plain.iteration(x, y)
        for key, value in zip(("cls_loss", "bias_loss", "neg_entropy"), expected, strict=True):
            assert losses[key].item() == pytest.approx(value, rel=1e-9), key
    net = join_net(method.f, method.g)
    assert distance(net, reference.net) < 1e-9
    assert distance(net, plain.net) > 1e-5  # and it does make a difference
    for channel, state in method.h.split_state_dict().items():
        assert distance(state, reference.predictors[channel]) < 1e-9


def test_one_pass_moves_the_batch_norm_of_h_once():
    images, labels = digits(BATCH)
    method = deviations.OnePass(numbers())
    method.update(*on_device(images, labels).batch(torch.arange(BATCH)))
    assert method.h.bn1.num_batches_tracked == 1


def test_uniform_batchnorm():
    weight = deviations.UniformBatchNorm(numbers()).h.bn1.weight
    assert 0 <= weight.min() < 0.2
    assert 0.8 < weight.max() <= 1
    assert torch.equal(LNTL(numbers()).h.bn1.weight, torch.ones(96))


def pretrained():
    """What a weights file holds after two steps of a baseline, its optimiser with the ids that PyTorch 0.3 kept."""
    images, labels = digits(BATCH)
    baseline = Baseline(numbers(lr=0.005))
    for _ in range(2):
        baseline.update(*on_device(images, labels).batch(torch.arange(BATCH)))
    state = baseline.optim_fg.state_dict()
    ids = {key: 10**14 + key for key in state["state"]}
    group = state["param_groups"][0] | {"params": [*ids.values()]}
    return baseline, {
        "optim_state_dict": {"state": {ids[k]: v for k, v in state["state"].items()}, "param_groups": [group]}
    }


def test_restored_optimizer_has_the_momentum_and_for_one_epoch_the_learning_rate():
    baseline, content = pretrained()
    method = deviations.RestoredOptimizer(numbers(lr=0.02))
    method.start_from(content)
    for ours, theirs in zip(
        method.optim_fg.param_groups[0]["params"], baseline.optim_fg.param_groups[0]["params"], strict=True
    ):
        there = baseline.optim_fg.state[theirs]["momentum_buffer"]
        assert torch.equal(method.optim_fg.state[ours]["momentum_buffer"], there)
    rates, constants = [], []
    for epoch in range(3):
        method.start_epoch(epoch)
        rates.append((method.optim_fg.param_groups[0]["lr"], method.optim_h.param_groups[0]["lr"]))
        constants.append(method.constants())
        method.optim_fg.step(), method.optim_h.step()
        method.end_epoch()
    assert rates == [(0.005, 0.02), (0.02, 0.02), (0.02, 0.02)]
    assert constants[0] != constants[1] == constants[2]


@pytest.mark.parametrize("content", [{}, {"optim_state_dict": {"param_groups": [], "state": {}}}])
def test_restored_optimizer_needs_an_optimizer(content):
    with pytest.raises(UserError, match="needs weights that hold the optimiser"):
        deviations.RestoredOptimizer(numbers()).start_from(content)
