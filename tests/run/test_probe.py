"""The probe tells whether f's features hold the bias: near 1 where they do, near chance where they do not."""

import pytest
import torch
from torch import nn

from dataset.batches import IGNORE_INDEX, OnDevice
from run.probe import features, probe


class Part(OnDevice):
    """Images of which f's features are what is given here, (N, C)."""

    of_images = ("label", "image_bias", "x")

    def __init__(self, x, label, bias):
        self.x, self.label, self.image_bias = x.float(), label, bias

    def batch(self, handle, augmented=False):
        return self.x[handle][:, :, None, None], self.label[handle], self.image_bias[handle][:, :, None, None]


def part(n, seed, holds, share=0.9, values=2):
    """Labels, a bias that is the label for `share` of the images, and noisy features of what they hold."""
    rng = torch.Generator().manual_seed(seed)
    label = torch.arange(n) % values
    other = (label + 1 + torch.randint(0, values - 1, (n,), generator=rng)) % values
    bias = torch.where(torch.rand(n, generator=rng) < share, label, other)
    seen = {"bias": bias, "label": label, "nothing": torch.zeros_like(label)}[holds]
    x = torch.cat([nn.functional.one_hot(seen, values), torch.zeros(n, 3)], 1)
    return Part(x + 0.1 * torch.randn(x.shape, generator=rng), label, bias[:, None])


@pytest.mark.parametrize("values", [2, 4])
@pytest.mark.parametrize(
    ("holds", "low", "high"), [("bias", 0.97, 1), ("label", -0.12, 0.12), ("nothing", -0.12, 0.12)]
)
def test_near_one_or_near_chance(holds, low, high, values):
    """That the label tells the bias of nine in ten images does not help a probe: the groups have the same weight."""
    found = probe(nn.Identity(), part(1200, 1, holds, values=values), part(1200, 2, holds, values=values))
    assert found["probe_chance"] == 1 / values
    around = 0 if holds == "bias" else 1 / values
    assert around + low <= found["probe_bias_accuracy"] <= around + high


def test_features_are_means_over_positions_of_all_images():
    some = part(700, 0, "nothing")
    f = nn.Upsample(scale_factor=3)
    assert torch.allclose(torch.from_numpy(features(f, some)), some.x, atol=1e-6)
    assert f.training


def test_without_labels_there_is_no_probe():
    some, none = part(20, 0, "bias"), part(20, 0, "bias")
    none.image_bias = torch.full_like(none.image_bias, IGNORE_INDEX)
    assert probe(nn.Identity(), some, none) == {}
    none.image_bias = torch.zeros_like(none.image_bias)
    assert probe(nn.Identity(), some, none) == {}  # of one value, there is nothing to tell
    none.image_bias = None
    assert probe(nn.Identity(), none, some) == {}
