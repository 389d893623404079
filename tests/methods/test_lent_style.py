"""Lent style against its definition, image by image, and within an update of LNTL+."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from common.errors import UserError
from dataset.batches import ImageData
from dataset.biased_mnist import BiasedData, BiasedImageData
from dataset.photographs import Photographs
from methods.lent_style import first_convolution, lenders, with_style
from methods.lntl_plus import LNTLPlus
from models.networks import make_networks
from tests.test_trainer import options as numbers

LEND = {"prior": "drawn", "smoothing": 0.0, "lambda_": 0, "mu": 0}


def test_an_image_takes_the_means_and_deviations_of_its_lender():
    torch.manual_seed(0)
    maps, lender = torch.randn(4, 3, 5, 6).double().exp(), torch.tensor([2, 1, 0, 0])
    styled = with_style(maps, lender)
    for i, j in enumerate(lender):
        for c in range(3):
            own, its = maps[i, c].numpy(), maps[j, c].numpy()
            expected = (own - own.mean()) / own.std() * its.std() + its.mean()
            assert styled[i, c].numpy() == pytest.approx(expected, rel=1e-3)
    assert with_style(maps.bfloat16(), lender).dtype == torch.bfloat16
    assert with_style(torch.ones(2, 1, 3, 3), torch.tensor([1, 0])).isfinite().all()  # nothing varies


def test_a_lender_has_the_same_label_and_another_bias():
    torch.manual_seed(0)
    y = torch.tensor([0, 0, 0, 1, 1, 2])
    b = torch.tensor([[0, 1], [0, 2], [0, 1], [1, 1], [1, 1], [0, 0]])
    draws = torch.stack([lenders(y, b, 1) for _ in range(200)])
    taken = [set(column.tolist()) for column in draws.T]
    assert taken == [{1}, {0, 2}, {1}, {3}, {4}, {5}]
    half = torch.stack([lenders(y, b, 0.5) for _ in range(400)])
    assert (half[:, 0] == 1).float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert torch.equal(lenders(y, b, 0), torch.arange(6))


def test_an_update_shows_and_tells_the_lenders_bias():
    """The loss is of maps with the lender's style, plus log p(y | its bias); outside of an update nothing is lent."""
    rng = np.random.default_rng(0)
    label, bias = rng.integers(0, 3, 20), rng.integers(0, 4, 20)
    data = Photographs(rng.integers(0, 256, (20, 28, 28, 3), np.uint8), label, bias[:, None])
    networks = make_networks("simple_conv", 3, heads=(4,), map_bias=False)
    method = LNTLPlus(numbers(**LEND, lend_style=1.0), networks=networks)
    method.prepare(data)
    x, y, b = data.batch(torch.arange(20))
    torch.manual_seed(5)
    lender = lenders(y, b.flatten(1), 1)
    assert (y[lender] == y).all()
    assert (bias[lender] != bias).any()
    conv, *rest = method.f.block1
    maps = with_style(conv._conv_forward(x, conv.weight, conv.bias), lender)
    logits = method.g(method.f.block2(nn.Sequential(*rest)(maps))) + method.log_prior(x, b)[lender]
    torch.manual_seed(5)
    assert method.update(x, y, b)[0].item() == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-4)
    assert method.lender is None
    assert torch.equal(method.f.block1[0](x), conv._conv_forward(x, conv.weight, conv.bias))


def test_both_forms_of_biased_mnist_are_lent_the_same_style():
    rng = np.random.default_rng(1)
    mask, bias, label = rng.random((12, 28, 28)) < 0.3, rng.integers(0, 10, 12), np.repeat([3, 7], 6)
    torch.manual_seed(2)
    method = LNTLPlus(numbers(**LEND, lend_style=1.0), dtype=torch.float64)
    features = []
    for kind in (BiasedData, BiasedImageData):
        x, y, b = kind(mask, bias, label, dtype=torch.float64).batch(torch.arange(12))
        torch.manual_seed(3)
        method.lender = lenders(y, b.flatten(1), 1)
        features.append(method.f(x))
    assert torch.allclose(*features, rtol=1e-4, atol=1e-6)
    method.lender = None
    assert not torch.allclose(method.f(x), features[0], rtol=1e-2)


def test_what_cannot_lend_is_refused():
    with pytest.raises(UserError, match="give --lend_style 0"):
        first_convolution(nn.Sequential(nn.Flatten(), nn.Linear(3, 3)))
    with pytest.raises(UserError, match="bias labels that belong to images; leave it out"):
        LNTLPlus(numbers(lend_style=0.5)).prepare(ImageData(np.zeros((2, 28, 28, 3), np.uint8), np.zeros(2, int)))
