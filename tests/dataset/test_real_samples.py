"""The recipe against images of the files that the authors released (../shared/official/real_samples.npz)."""

import numpy as np
import pytest

from dataset.batches import factorise
from dataset.colored_mnist import THRESHOLD
from tests.conftest import shared

TRAIN, TEST = ("train_images_a", "train_images_b"), ("test_images_a",)  # a and b: two variances
WIDEST = 255 * np.sqrt(0.05)  # the largest standard deviation of the benchmark, in grey levels


@pytest.fixture(scope="module")
def samples():
    with np.load(shared("official", "real_samples.npz")) as file:
        return {name: file[name] for name in file.files}


def colors(images):
    """The colour of each image, (N, 3)."""
    return images.reshape(len(images), -1, 3).max(1)


@pytest.mark.parametrize("name", TRAIN + TEST)
def test_foreground_is_mnist_above_128_in_mnist_order(samples, mnist, name):
    raw = (mnist.test_images if name in TEST else mnist.train_images)[:10]
    assert np.array_equal(samples[name].any(3), raw > THRESHOLD)
    assert not np.array_equal(samples[name].any(3), raw > THRESHOLD - 1)


@pytest.mark.parametrize("name", TRAIN + TEST)
def test_one_colour_per_image_on_black(samples, name):
    mask, color = factorise(samples[name])  # None of images in several colours
    assert np.array_equal(mask, samples[name].any(3))
    assert np.array_equal(color, colors(samples[name]))


def test_colours_lie_inside_the_open_interval(samples):
    """Resampled, not clipped: among 90 values, a fifth would be 0 or 255."""
    values = np.concatenate([colors(samples[name]) for name in TRAIN + TEST])
    assert np.isin(values, (0, 255)).mean() < 0.05
