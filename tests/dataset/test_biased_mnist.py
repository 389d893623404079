"""Biased-MNIST: its published figures, its rule, and the batches that are made of it."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dataset.base import hold_out
from dataset.batches import ColoredMasks
from dataset.biased_mnist import (
    BACKGROUNDS,
    UNBIASED_RHO,
    BiasedData,
    BiasedImageData,
    BiasedSet,
    BiasedSplit,
    assign_backgrounds,
    build,
)
from models import FeatureExtractor


@pytest.fixture(scope="module")
def biased(mnist):
    return build(0.99, mnist=mnist)


def table(label, bias):
    """Number of images by digit and colour, (10, 10)."""
    return np.bincount(label * 10 + bias, minlength=100).reshape(10, 10)


@pytest.mark.parametrize("data_seed", [0, 5])
@pytest.mark.parametrize(
    ("rho", "conflicting", "empty"), [(0.999, 63, 27), (0.997, 184, 6), (0.995, 305, 10), (0.99, 606, 1)]
)
def test_published_counts_hold_for_every_seed(mnist, rho, conflicting, empty, data_seed):
    labels = mnist.train_labels
    bias = assign_backgrounds(labels, rho, np.random.RandomState(data_seed))
    assert (bias != labels).sum() == conflicting
    assert (table(labels, bias) == 0).sum() == empty


@pytest.mark.parametrize("rho", [0, 0.1, 0.29, 0.995, 1])
def test_every_digit_follows_the_rule(mnist, rho):
    labels = mnist.test_labels
    bias = assign_backgrounds(labels, rho, np.random.RandomState(3))
    for digit, counts in enumerate(table(labels, bias)):
        own = math.floor(counts.sum() * rho + 1e-9)
        rest = counts.sum() - own
        size = math.ceil(rest / 9)
        pieces = [min(size, max(0, rest - i * size)) for i in range(9)]
        assert counts[digit] == own
        assert sorted(np.delete(counts, digit), reverse=True) == pieces


def test_images_are_white_on_their_colour(mnist, biased):
    part = BiasedSplit(*(v[:200] for v in biased.train))
    for image, grey, bias in zip(part.images(), mnist.train_images, part.bias, strict=False):
        assert (image[grey != 0] == 255).all()
        assert (image[grey == 0] == BACKGROUNDS[bias]).all()


def test_the_test_is_the_same_for_every_rho_and_another_for_another_seed(mnist, biased):
    other, rho = build(0.99, 1, mnist), build(0.995, mnist=mnist)
    assert not np.array_equal(other.test.bias, biased.test.bias)
    assert np.array_equal(rho.test.bias, biased.test.bias)
    assert np.array_equal(biased.test_biased.bias, mnist.test_labels)


def test_batches(biased):
    index = torch.tensor([7, 0, 59999])
    plain, factored = BiasedImageData(*biased.train), BiasedData(*biased.train)
    (x, y, b), (masks, y_factored, b_factored) = plain.batch(index), factored.batch(index)
    images = torch.from_numpy(BiasedSplit(*(v[index.numpy()] for v in biased.train)).images())
    assert torch.allclose(x, (images.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5, atol=1e-7)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert isinstance(masks, ColoredMasks)
    assert torch.equal(y, torch.from_numpy(biased.train.label)[index])
    assert torch.equal(b, torch.from_numpy(biased.train.bias)[index].view(3, 1, 1, 1))
    assert torch.equal(y, y_factored)
    assert torch.equal(b, b_factored)
    for data in (plain, factored):
        assert torch.equal(data.image_bias[index, 0], b.view(-1))
        part = data.subset(index)
        assert type(part) is type(data)
        assert len(part) == 3
        assert torch.equal(part.label, y)
        assert torch.equal(part.batch(torch.tensor([1]))[2], b[1:2])


@pytest.mark.parametrize("training", [True, False])
def test_factored_form_and_pixels_give_the_same_features_gradients_and_buffers(biased, training):
    torch.manual_seed(1)
    parts = [v[:8].copy() for v in biased.train]
    parts[0][0] = False  # no digit at all
    parts[0][1] = True  # nothing but the digit
    index = torch.tensor([3, 0, 1, 7, 5])
    f = FeatureExtractor().double().train(training)
    torch.nn.init.normal_(f.bn0.weight), torch.nn.init.normal_(f.bn0.bias)
    f.bn0.running_mean.normal_()
    other = copy.deepcopy(f)
    features = f(BiasedData(*parts, dtype=torch.float64).batch(index)[0])
    expected = other(BiasedImageData(*parts, dtype=torch.float64).batch(index)[0])
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-11)
    weight = torch.randn_like(features)
    (features * weight).sum().backward(), (expected * weight).sum().backward()
    for (name, p), q in zip(f.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-8, atol=1e-9, msg=name)
    for (name, p), q in zip(f.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-12, msg=name)


# ---- as train.py takes it


def option(**changes):
    given = {"rho": 0.997, "data_seed": 0, "augment": "none", "network": "paper", "holdout": 600, "dry_run": False}
    return SimpleNamespace(**(given | changes))


def test_the_data_set():
    data = BiasedSet(option(), "cpu")
    assert (len(data.train), *map(len, data.test.values())) == (60000, 10000, 10000)
    assert int((data.train.bias != data.train.label).sum()) == 184
    assert torch.equal(data.test["test_biased_accuracy"].bias, data.test["test_biased_accuracy"].label)
    x, y, b = data.train.batch(torch.arange(5))
    assert (x.foreground.shape, y.shape, b.shape) == ((5, 3), (5,), (5, 1, 1, 1))
    assert torch.equal((x.foreground * 127.5 + 127.5).round().byte(), torch.from_numpy(BACKGROUNDS)[b.view(-1)])
    assert data.inputs() == {"size": 28, "mean": [0.5] * 3, "std": [0.5] * 3}
    assert data.fingerprint() == "8d7120244964e7d9a30d32aed41fe198d1ca799ca243f12f9a8dadb5cb405f92"  # as of 3bf2ffc
    _, held = hold_out(data.train, option())
    other = data.unbiased_holdout(held, option())
    assert torch.equal(other.label, held.label)
    assert (other.bias == other.label).float().mean() == pytest.approx(UNBIASED_RHO, abs=0.02)


def test_the_digit_is_changed_and_the_colours_are_not():
    data = BiasedSet(option(augment=["affine"], dry_run=True), "cpu", pixels=True)
    assert {type(part) for part in (data.train, *data.test.values())} == {BiasedImageData}
    plain, moved = (data.train.batch(torch.arange(128), augmented=augmented)[0] for augmented in (False, True))
    for a, b in zip(plain, moved, strict=True):
        assert torch.equal(a.flatten(1).unique(dim=1), b.flatten(1).unique(dim=1))  # white, and the background
    share = (moved == 1).all(1).float().mean() / (plain == 1).all(1).float().mean()
    assert share == pytest.approx(1, abs=0.1)
    assert not torch.equal(plain, moved)
    assert all(part.augment == "none" for part in data.test.values())
