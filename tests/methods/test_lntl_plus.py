"""The prior of LNTL+ against its definition, what it achieves, and the update that it changes."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from common.errors import UserError
from dataset.batches import IGNORE_INDEX, ImageData
from dataset.photographs import Photographs
from methods.bias_prior import Colour, Joint, count_bias
from methods.lntl_plus import LNTLPlus
from models.networks import make_networks
from tests.dataset.sets import on_device
from tests.test_trainer import digits
from tests.test_trainer import options as numbers


def method_on(images, labels, **changes):
    method = LNTLPlus(numbers(**changes), dtype=torch.float64)
    data = on_device(images, labels, dtype=torch.float64)
    method.prepare(data)
    method.start_epoch(0)
    return method, data


def log_prior_by_definition(colors, labels, smoothing):
    """log p(y | b), smoothed, by naive Bayes from counts, image by image; images of one colour without zeros."""
    n = len(labels)
    rows = []
    for color in colors:
        joint = []
        for y in range(10):
            p = ((labels == y).sum() + 1) / (n + 10)
            for c in range(3):
                same = sum(labels[i] == y and colors[i, c] // 32 == color[c] // 32 for i in range(n))
                p *= (same + 1) / ((labels == y).sum() + 8)
            joint.append(p)
        rows.append(np.log((1 - smoothing) * np.array(joint) / sum(joint) + smoothing / 10))
    return np.array(rows)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_prior_and_the_scale_are_what_they_are_said_to_be(smoothing):
    images, labels = digits(60)
    labels[:10] = np.arange(10)
    method, data = method_on(images, labels, smoothing=smoothing)
    x, y, b = data.batch(torch.arange(60))
    expected = log_prior_by_definition(images.max(axis=(1, 2)).astype(int), labels, smoothing)
    assert method.log_prior(x, b).numpy() == pytest.approx(expected, rel=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert method.log_prior(x, b).numpy() == pytest.approx(expected, rel=1e-4)
    assert method.label_loss(torch.zeros(60, 10), x, y, b).item() == pytest.approx(math.log(10), rel=1e-5)


def test_the_colour_itself():
    """p(y | colour) by its definition: counts of 256 values a channel, smoothed, and naive Bayes over the channels."""
    images, labels = digits(80)
    labels[:10] = np.arange(10)
    images[0, 0, 0], images[0][images[0].any(-1)] = (1, 0, 255), (1, 0, 255)  # both ends; 0 is a value like others
    data, width = on_device(images, labels), 5
    prior = Colour(data, 10, width)
    x, _, b = data.batch(torch.arange(80))
    colors = images.max(axis=(1, 2)).astype(int)
    assert np.array_equal(prior.values(x), colors)
    gauss = np.exp(-0.5 * (np.subtract.outer(np.arange(256), np.arange(256)) / width) ** 2)
    gauss /= gauss.sum(1, keepdims=True)
    expected = np.ones((80, 10)) * (np.bincount(labels) + 1)
    for y in range(10):
        for c in range(3):
            density = gauss[colors[labels == y, c]].sum(0) + 1 / 32
            expected[:, y] *= density[colors[:, c]] / density.sum()
    expected /= expected.sum(1, keepdims=True)
    assert prior.p(x, b).numpy() == pytest.approx(expected, rel=1e-3, abs=1e-7)
    wide = Colour(data, 10, 10**6).p(x, b)  # tells no colours apart
    assert wide[0].tolist() == pytest.approx(wide[1].tolist(), rel=1e-3)


def test_the_colour_needs_images_of_one_colour():
    images, labels = digits(20)
    images[3, 4, 5] = 7
    with pytest.raises(UserError, match="--prior colour needs images of one colour each"):
        Colour(ImageData(images, labels), 10, 6)


class Labelled:
    """Images of which only the labels are looked at."""

    def __init__(self, label, bias):
        self.label, self.image_bias = torch.tensor(label), torch.tensor(bias)

    def __len__(self):
        return len(self.label)

    def batch(self, index):
        raise AssertionError("an image was read")


def test_biases_of_images_are_counted_together():
    """Each of two biases alone tells nothing of the label, both together all of it."""
    bias = [[0, 0], [0, 1], [1, 0], [1, 1]] * 5 + [[IGNORE_INDEX, 2]]
    data = Labelled([0, 1, 1, 0] * 5 + [2], bias)
    prior = count_bias(data, 3, (2, 3))
    assert isinstance(prior, Joint)
    p = prior.p(None, data.image_bias[[0, 1, 20]][..., None, None])
    expected = [[6 / 8, 1 / 8, 1 / 8], [1 / 8, 6 / 8, 1 / 8], [1 / 4, 1 / 4, 2 / 4]]
    assert p.numpy() == pytest.approx(np.array(expected))
    unseen = torch.tensor([1, 2])[None, :, None, None]
    assert prior.p(None, unseen).tolist()[0] == pytest.approx([1 / 3] * 3)


def test_what_is_drawn_is_counted_with_its_weights():
    """Of images drawn with weights, the joint table of the draws; without λ and μ, h is left out."""
    rng = np.random.default_rng(0)
    label, bias = rng.integers(0, 10, 50), rng.integers(0, 10, 50)
    data = Photographs(rng.integers(0, 256, (50, 28, 28, 3), np.uint8), label, bias[:, None])
    networks = make_networks("simple_conv", heads=(10,), map_bias=False)
    method = LNTLPlus(numbers(prior="drawn", smoothing=0.0, lambda_=0, mu=0), networks=networks)
    weights = torch.from_numpy(rng.random(50))
    method.prepare(data, weights)
    share = weights.numpy() / weights.sum().item() * 50
    both = np.array([[share[(label == k) & (bias == own)].sum() + 1 for k in range(10)] for own in bias])
    x, y, b = data.batch(torch.arange(50))
    assert method.log_prior(x, b).exp().numpy() == pytest.approx(both / both.sum(1, keepdims=True), rel=1e-4)
    assert (method.trains_h, method.metrics, method.scale) == (False, ("cls_loss", "accuracy"), 1)
    before = [p.detach().clone() for p in method.h.parameters()]
    logits = method.g(method.f(x)) + method.log_prior(x, b)
    assert method.update(x, y, b)[0].item() == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-4)
    assert all(torch.equal(p, q) for p, q in zip(method.h.parameters(), before, strict=True))
