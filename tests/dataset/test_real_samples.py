"""The recipe against images of the files that the authors released (../shared/official/real_samples.npz)."""

import numpy as np
import pytest
import torch

from dataset.batches import IGNORE_INDEX, factorise, on_device
from dataset.colored_mnist import MEAN_COLORS, THRESHOLD
from dataset.mnist import load_mnist
from tests.conftest import shared

TRAIN, TEST = ("train_images_a", "train_images_b"), ("test_images_a",)  # a and b: two variances
WIDEST = 255 * np.sqrt(0.05)  # the largest standard deviation of the benchmark, in grey levels


@pytest.fixture(scope="module")
def samples():
    with np.load(shared("official", "real_samples.npz")) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def mnist():
    return load_mnist()


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
    for image in samples[name]:
        foreground = image.any(2)
        assert len(np.unique(image[foreground], axis=0)) == 1
        assert not image[~foreground].any()
    mask, color = factorise(samples[name])
    assert np.array_equal(mask, samples[name].any(3))
    assert np.array_equal(color, colors(samples[name]))


def test_gray_is_the_raw_mnist_test_image(samples, mnist):
    assert np.array_equal(samples["test_gray_a"], mnist.test_images[:10])


def test_the_test_colours_scatter_around_any_of_the_means(samples, mnist):
    distance = np.abs(colors(samples["test_images_a"])[:, None].astype(float) - MEAN_COLORS).max(2)  # (10, 10)
    assert (distance.min(1) < 2 * WIDEST).all()
    assert (distance.argmin(1) != mnist.test_labels[:10]).sum() >= 5


def test_colours_lie_inside_the_open_interval(samples):
    """Resampled, not clipped: among 90 values, a fifth would be 0 or 255."""
    values = np.concatenate([colors(samples[name]) for name in TRAIN + TEST])
    assert np.isin(values, (0, 255)).mean() < 0.05


@pytest.mark.parametrize("name", TRAIN + TEST)
def test_bias_labels_are_bins_of_every_second_pixel(samples, name):
    images = samples[name]
    on_grid = images[:, 1::2, 1::2].transpose(0, 3, 1, 2)
    expected = np.where(on_grid == 0, IGNORE_INDEX, on_grid // 32)
    _, _, labels = on_device(images, np.zeros(10, np.int64)).batch(torch.arange(10))
    assert np.array_equal(labels.numpy(), expected)
    assert set(np.unique(expected)) <= {*range(8), IGNORE_INDEX}
