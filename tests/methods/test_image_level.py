"""The updates with one bias label an image, against the equations written again (tests/reference.py)."""

import pytest
import torch
from torch.nn import functional as F

from methods import METHODS
from methods.blindeye import confusion_loss
from methods.lntl import bias_cross_entropy, negative_entropy
from models.checkpoint import join_net
from models.networks import make_networks
from tests import reference
from tests.test_trainer import distance, options

BATCH, STEPS, VALUES = 6, 2, 5


def h(p, features):
    """Logits (B, K) of one bias: the features' average, BatchNorm, a linear layer."""
    z = reference.batch_norm(features.mean(dim=(2, 3), keepdim=True), p["norm.weight"], p["norm.bias"])
    return F.conv2d(z, p["out.weight"], p["out.bias"]).flatten(1)


@pytest.mark.parametrize("name", ["lntl", "blindeye"])
def test_updates_equal_the_equations(name):
    torch.manual_seed(0)
    option = options()
    networks = make_networks("paper", classes=4, heads=(VALUES,), map_bias=False, split_at="conv2")
    method = METHODS[name](option, dtype=torch.float64, networks=networks)
    method.start_epoch(0)
    net = {k: v.detach().clone() for k, v in join_net(method.f, method.g).items() if "running" not in k}
    net = {k: v.requires_grad_() for k, v in net.items() if v.is_floating_point()}
    head = {k: v.detach().clone() for k, v in method.h.state_dict().items() if "running" not in k}
    head = {k: v.requires_grad_() for k, v in head.items() if v.is_floating_point()}
    sgd = {"lr": option.lr, "momentum": option.momentum, "decay": option.weight_decay}
    sgd_net, sgd_h = reference.SGD(list(net.values()), **sgd), reference.SGD(list(head.values()), **sgd)
    for _ in range(STEPS):
        images = torch.randint(0, 256, (BATCH, 28, 28, 3), dtype=torch.uint8)
        y, b = torch.randint(4, (BATCH,)), torch.randint(VALUES, (BATCH,))
        x = reference.inputs(images)
        ours = dict(zip(method.metrics, method.update(x, y, b.view(-1, 1, 1, 1)), strict=True))

        features = reference.f(net, x)
        cls_loss = F.cross_entropy(reference.g(net, features), y)
        p = h(head, features).softmax(1)
        term = (p * p.log()).sum(1).mean() if name == "lntl" else -p.log().mean()
        loss = cls_loss + (option.lambda_ if name == "lntl" else option.alpha) * term
        sgd_net.step(torch.autograd.grad(loss, list(net.values())))
        features = reference.f(net, x)
        seen = features if name == "lntl" else features.detach()
        bias_loss = -h(head, seen).softmax(1)[torch.arange(BATCH), b].log().mean()
        gradients = torch.autograd.grad(bias_loss, [*head.values(), *net.values()], allow_unused=True)
        if name == "lntl":
            sgd_net.step([0.0 if d is None else -option.mu * d for d in gradients[len(head) :]])
        sgd_h.step(gradients[: len(head)])

        assert ours["cls_loss"].item() == pytest.approx(cls_loss.item(), rel=1e-9)
        assert ours["bias_loss"].item() == pytest.approx(bias_loss.item(), rel=1e-9)
        assert ours["neg_entropy" if name == "lntl" else "confusion_loss"].item() == pytest.approx(
            term.item(), rel=1e-9
        )
    assert distance(join_net(method.f, method.g), net) < 1e-9
    assert distance(method.h.state_dict(), head) < 1e-9


def test_logits_of_one_label_need_no_more_dimensions():
    torch.manual_seed(1)
    logits, b = torch.randn(7, 4), torch.randint(4, (7,))
    full = logits[:, None, :, None, None]
    assert torch.equal(negative_entropy(logits), negative_entropy(full))
    for a, c in zip(bias_cross_entropy(logits, b), bias_cross_entropy(full, b[:, None, None, None]), strict=True):
        assert torch.equal(a, c)
    assert bias_cross_entropy(logits, b)[0].item() == pytest.approx(F.cross_entropy(logits, b).item(), rel=1e-6)


def test_confusion_of_heads_with_different_numbers_of_values():
    torch.manual_seed(2)
    h = make_networks("paper", heads=(2, 5), map_bias=False, split_at="conv2").h
    logits = h(torch.randn(3, 32, 14, 14).relu())
    one, two = logits[:, 0, :2, 0, 0].log_softmax(1), logits[:, 1, :, 0, 0].log_softmax(1)
    expected = -(one.mean() + two.mean()) / 2
    assert confusion_loss(logits, h.valid).item() == pytest.approx(expected.item(), rel=1e-5)
    even = torch.randn(3, 2, 5, 1, 1)
    assert confusion_loss(even, torch.ones(2, 5, dtype=torch.bool)).item() == pytest.approx(confusion_loss(even).item())
