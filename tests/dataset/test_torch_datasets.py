"""The benchmarks as torch Datasets: torchvision's conventions, and the very images that the trainer sees."""

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import to_tensor

from dataset import biased_mnist, colored_mnist
from dataset.batches import FactoredData
from dataset.mnist import load_mnist
from dataset.torch_datasets import BiasedMNIST, ColoredMNIST


@pytest.fixture(scope="module")
def mnist():
    return load_mnist()


@pytest.fixture(scope="module", autouse=True)
def read_once(mnist):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dataset.torch_datasets.load_mnist", lambda: mnist)
        yield


def check_conventions(data, size):
    assert isinstance(data, torch.utils.data.Dataset)
    assert len(data) == size
    assert (data.data.dtype, data.data.shape) == (torch.uint8, (size, 28, 28, 3))
    assert (data.targets.dtype, data.targets.shape) == (torch.int64, (size,))
    assert (data.grey.dtype, data.grey.shape) == (torch.uint8, (size, 28, 28))
    assert data.classes[7] == "7 - seven"
    image, label = data[5]
    assert isinstance(image, Image.Image)
    assert (image.mode, image.size) == ("RGB", (28, 28))
    assert type(label) is int
    assert torch.equal((to_tensor(image) * 255).byte().permute(1, 2, 0), data.data[5])
    assert label == data.targets[5]
    with pytest.raises(IndexError):
        data[size]


@pytest.mark.parametrize("train", [True, False])
def test_colored_mnist(mnist, train):
    data = ColoredMNIST(0.03, train=train, data_seed=4)
    built = colored_mnist.build(0.03, 4, mnist)
    split, grey = (built.train, mnist.train_images) if train else (built.test, built.test_gray)
    check_conventions(data, len(split.label))
    assert torch.equal(data.data, torch.from_numpy(split.images()))
    assert torch.equal(data.targets, torch.from_numpy(split.label))
    assert torch.equal(data.colors, torch.from_numpy(split.color))
    assert torch.equal(data.grey, torch.from_numpy(grey))
    if not train:
        index = torch.arange(0, 10000, 7)
        _, y, b = FactoredData(split.mask, split.color, split.label).batch(index)  # as trained with
        bias = data.bias
        assert (bias.dtype, bias.shape) == (torch.int64, (10000, 3, 14, 14))
        assert torch.equal(bias[index], b)
        assert torch.equal(data.targets[index], y)


@pytest.mark.parametrize("part", ["train", "test", "test_biased"])
def test_biased_mnist(mnist, part):
    data = BiasedMNIST(0.997, train=part == "train", data_seed=2, biased=part == "test_biased")
    split = getattr(biased_mnist.build(0.997, 2, mnist), part)
    check_conventions(data, len(split.label))
    assert torch.equal(data.data, torch.from_numpy(split.images()))
    assert torch.equal(data.targets, torch.from_numpy(split.label))
    assert torch.equal(data.bias, torch.from_numpy(split.bias))
    assert data.bias_classes[data.bias[0]] == biased_mnist.COLORS[split.bias[0]]


def test_transforms_and_a_loader():
    data = BiasedMNIST(train=False, transform=to_tensor, target_transform=lambda label: -label)
    images, labels = next(iter(torch.utils.data.DataLoader(data, batch_size=3)))
    assert torch.equal(images, data.data[:3].permute(0, 3, 1, 2) / 255)
    assert torch.equal(labels, -data.targets[:3])
