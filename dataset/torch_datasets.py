"""The two benchmarks as `torch.utils.data.Dataset`, by torchvision's conventions, built from the MNIST files here.

train = ColoredMNIST(color_var=0.02, train=True, transform=torchvision.transforms.ToTensor())
image, label = train[0]                 # what a DataLoader takes
train.data, train.targets, train.bias   # everything at once, as tensors
"""

import torch
from PIL import Image

from dataset import biased_mnist, colored_mnist
from dataset.batches import bias_labels


class DigitsInColor(torch.utils.data.Dataset):
    """What the two have in common: coloured digits, all in memory.

    data: uint8 tensor (N, 28, 28, 3), RGB. targets: int64 tensor (N,), the digit. transform, target_transform: of the
    PIL image and of the label, or None.
    """

    classes = (
        "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four",
        "5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine",
    )  # fmt: skip

    def __init__(self, split, transform, target_transform):
        self.data, self.targets = torch.from_numpy(split.images()), torch.from_numpy(split.label)
        self.transform, self.target_transform = transform, target_transform

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        """(PIL image RGB 28x28, int), each through its transform where there is one."""
        image, label = Image.fromarray(self.data[index].numpy()), int(self.targets[index])
        image = self.transform(image) if self.transform else image
        return image, self.target_transform(label) if self.target_transform else label


class ColoredMNIST(DigitsInColor):
    """Colored-MNIST: the colour follows the digit in training, and not in the test.

    color_var: sigma^2, 0.02 to 0.05 in the paper. train: the 60,000 training images, or the 10,000 test images.
    data_seed: of the colours, 0..2**32-1.
    """

    def __init__(self, color_var=0.02, train=True, data_seed=0, transform=None, target_transform=None):
        built = colored_mnist.build(color_var, data_seed)
        super().__init__(built.train if train else built.test, transform, target_transform)

    @property
    def bias(self):
        """The labels of h, int64 tensor (N, 3, 14, 14): 0..7, or 255 for none. Computed anew each time (280 MB)."""
        return bias_labels(self.data[:, 1::2, 1::2].permute(0, 3, 1, 2).contiguous())


class BiasedMNIST(DigitsInColor):
    """Biased-MNIST: in training, a share rho of each digit lies on the digit's own colour.

    rho: 0 to 1; .999 .997 .995 .990 are published. train: the 60,000 training images, or the 10,000 test images, the
    same for every rho: each digit on all colours alike, or with `biased=True` on its own. data_seed: 0..2**32-1.
    bias: int64 tensor (N,), 0..9, the background's colour; bias_classes: the colours' names.
    """

    bias_classes = biased_mnist.COLORS

    def __init__(self, rho=0.99, train=True, data_seed=0, biased=False, transform=None, target_transform=None):
        if train and biased:
            raise ValueError("biased=True names a test set; training images have rho=1 for that")
        built = biased_mnist.build(rho, data_seed)
        split = built.train if train else built.test_biased if biased else built.test
        super().__init__(split, transform, target_transform)
        self.bias = torch.from_numpy(split.bias)
