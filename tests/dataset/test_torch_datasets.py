"""The benchmarks as torch Datasets: torchvision's conventions, and the very images that the trainer sees."""

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import to_tensor

from dataset import biased_mnist, colored_mnist
from dataset.batches import FactoredData
from dataset.torch_datasets import BiasedMNIST, ColoredMNIST


@pytest.fixture(scope="module", autouse=True)
def read_once(mnist):
    with pytest.MonkeyPatch.context() as patch:
        for module in (biased_mnist, colored_mnist):
            patch.setattr(module, "load_mnist", lambda: mnist)
        yield


def check_conventions(data, split):
    assert isinstance(data, torch.utils.data.Dataset)
    assert len(data) == len(split.label)
    assert torch.equal(data.data, torch.from_numpy(split.images()))
    assert torch.equal(data.targets, torch.from_numpy(split.label))
    assert (data.data.dtype, data.targets.dtype, data.classes[7]) == (torch.uint8, torch.int64, "7 - seven")
    image, label = data[5]
    assert isinstance(image, Image.Image)
    assert (image.mode, image.size, type(label)) == ("RGB", (28, 28), int)
    assert torch.equal((to_tensor(image) * 255).byte().permute(1, 2, 0), data.data[5])
    assert label == data.targets[5]
    with pytest.raises(IndexError):
        data[len(data)]


@pytest.mark.parametrize("part", ["train", "test"])
def test_colored_mnist(part):
    data = ColoredMNIST(0.03, train=part == "train", data_seed=4)
    split = getattr(colored_mnist.build(0.03, 4), part)
    check_conventions(data, split)
    if part == "test":
        index = torch.arange(0, 10000, 7)
        _, y, b = FactoredData(*split).batch(index)  # as trained with
        bias = data.bias
        assert (bias.dtype, bias.shape) == (torch.int64, (10000, 3, 14, 14))
        assert torch.equal(bias[index], b)
        assert torch.equal(data.targets[index], y)


@pytest.mark.parametrize("part", ["train", "test", "test_biased"])
def test_biased_mnist(part):
    data = BiasedMNIST(0.997, train=part == "train", data_seed=2, biased=part == "test_biased")
    split = getattr(biased_mnist.build(0.997, 2), part)
    check_conventions(data, split)
    assert torch.equal(data.bias, torch.from_numpy(split.bias))
    assert data.bias_classes[data.bias[0]] == biased_mnist.COLORS[split.bias[0]]


def test_transforms_and_a_loader():
    data = BiasedMNIST(train=False, transform=to_tensor, target_transform=lambda label: -label)
    images, labels = next(iter(torch.utils.data.DataLoader(data, batch_size=3)))
    assert torch.equal(images, data.data[:3].permute(0, 3, 1, 2) / 255)
    assert torch.equal(labels, -data.targets[:3])
