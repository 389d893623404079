"""The data on the training device, and the batches f, g and h are fed: inputs x, labels y, bias labels b.

There is no data loader: the whole data set is small enough to live on the device as bytes, and a batch is made
there from a list of indices in a few vectorised steps.
"""

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

MEAN = (0.4914, 0.4822, 0.4465)  # of the normalisation, per channel (official)
STD = (0.2023, 0.1994, 0.2010)
IGNORE_INDEX = 255  # bias label of a position that has none


class ColoredMasks(NamedTuple):
    """Normalised images in factored form: each pixel is `background`, or `foreground` where the mask is set."""

    patches: torch.Tensor  # 0 or 1, float or bfloat16 (B, 25, 784): the mask around every pixel (5x5), 0 outside
    foreground: torch.Tensor  # float (B, 3): normalised colour of the image
    background: torch.Tensor  # float (3,): normalised colour that all images share, black or white

    def __len__(self):
        return len(self.foreground)


def normalised_palette(device, dtype):
    """What each channel value becomes, (256, 3): (value / 255 - MEAN) / STD (official).

    Made once: a constant that is copied to a GPU in every batch makes it wait, and cannot be part of a CUDA graph.
    """
    mean, std = (torch.tensor(v, dtype=dtype, device=device) for v in (MEAN, STD))
    return (torch.arange(256, device=device)[:, None].to(dtype) / 255 - mean) / std


def normalise(values, palette):
    """uint8 values (..., 3), RGB, through the palette of `normalised_palette`."""
    return palette.gather(0, values.reshape(-1, 3).long()).view(values.shape)


def bias_labels(values):
    """Bias labels of channel values on the 14x14 grid: the bin of 32 grey levels, or IGNORE_INDEX where the value is 0.

    values: uint8 (..., 3, 14, 14), of `image[1::2, 1::2]`. Returns int64 of the same shape, 0..7 or IGNORE_INDEX.
    """
    return torch.where(values > 0, values // 32, IGNORE_INDEX).long()


class OnDevice:
    """Data that lives on the device as bytes: an index is all that a batch takes."""

    waited = 0.0  # seconds in which the program had nothing but reading to do

    def stream(self, indices):
        """A handle for each of `indices` (int64 (B,), on the device), for `batch`: itself."""
        yield from indices

    def set_epoch(self, epoch):
        """Called before each epoch, for data that differs from epoch to epoch."""


class FactoredData(OnDevice):
    """Images that consist of a mask and one colour each, which is what Colored-MNIST is."""

    def __init__(self, mask, color, label, device="cpu", dtype=torch.float32, mask_dtype=None):
        """mask: bool (N, 28, 28); color: uint8 (N, 3); label: int64 (N,). NumPy arrays.

        dtype: of the colours; mask_dtype: of the masks, which every type holds exactly [as the colours].
        """
        self.padded = F.pad(torch.from_numpy(mask).to(device, torch.uint8), (2, 2, 2, 2))
        self.color = torch.from_numpy(color).to(device)
        self.label = torch.from_numpy(label).to(device)
        self.palette = normalised_palette(device, dtype)
        self.mask_dtype = mask_dtype or dtype

    def __len__(self):
        return len(self.label)

    def batch(self, index):
        """index: int64 (B,) on the device. Returns x (ColoredMasks), y int64 (B,), b int64 (B, 3, 14, 14)."""
        padded, color = self.padded[index], self.color[index]
        on_grid = padded[:, None, 3:30:2, 3:30:2] * color[:, :, None, None]
        padded = padded.to(self.mask_dtype)
        patches = torch.stack([padded[:, i : i + 28, j : j + 28] for i in range(5) for j in range(5)], dim=1)
        x = ColoredMasks(patches.flatten(2), foreground=normalise(color, self.palette), background=self.palette[0])
        return x, self.label[index], bias_labels(on_grid)

    def subset(self, index):
        """The images of `index` (int64, on the CPU) alone."""
        part = copy.copy(self)
        index = index.to(self.label.device)
        part.padded, part.color, part.label = self.padded[index], self.color[index], self.label[index]
        return part


class ImageData(OnDevice):
    """Any 28x28 RGB images."""

    def __init__(self, images, label, device="cpu", dtype=torch.float32):
        """images: uint8 (N, 28, 28, 3); label: int64 (N,). NumPy arrays."""
        self.images = torch.from_numpy(images).to(device)
        self.label = torch.from_numpy(label).to(device)
        self.palette = normalised_palette(device, dtype)

    def __len__(self):
        return len(self.label)

    def batch(self, index):
        """index: int64 (B,) on the device. Returns x float (B, 3, 28, 28) in channels_last order, y and b as above."""
        images = self.images[index]
        x = normalise(images, self.palette).permute(0, 3, 1, 2)
        return x, self.label[index], bias_labels(images[:, 1::2, 1::2].permute(0, 3, 1, 2).contiguous())

    def subset(self, index):
        """The images of `index` (int64, on the CPU) alone."""
        part = copy.copy(self)
        index = index.to(self.label.device)
        part.images, part.label = self.images[index], self.label[index]
        return part


def factorise(images):
    """Splits images that are one colour on black into (mask bool (N, 28, 28), color uint8 (N, 3)).

    images: uint8 (N, 28, 28, 3). Returns None if any image has another form.
    """
    mask = images.any(axis=3)
    color = images.max(axis=(1, 2))
    exact = np.array_equal(mask[..., None] * color[:, None, None, :], images)
    return (mask, color) if exact else None


def on_device(images, label, device="cpu", dtype=torch.float32):
    """The data class that fits: factored where every image is one colour on black (the fast path), else plain."""
    factors = factorise(images)
    if factors is None:
        return ImageData(images, label, device, dtype)
    return FactoredData(*factors, label, device, dtype)


def luma(rgb):
    """ITU-R 601 luma of uint8 (..., 3) as Pillow's mode "L" computes it, in all three channels, uint8 (..., 3)."""
    r, g, b = (rgb[..., i].astype(np.uint32) for i in range(3))
    grey = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16
    return np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8)
