"""The data on the training device as bytes, and the batches made of it there: inputs x, labels y, bias labels b."""

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

MEAN = (0.4914, 0.4822, 0.4465)  # of the normalisation, per channel (official)
STD = (0.2023, 0.1994, 0.2010)
IGNORE_INDEX = 255  # bias label of a position or an image that has none
AUGMENT = ("none", "flip", "crop", "affine")
AREA, RATIO = (0.7, 1.0), 4 / 3  # of a crop: the share of the area, and most of width by height or height by width
TURN, SHIFT, ZOOM = math.radians(20), 0.1, 0.1  # most of an affine change: angle, share of the side, scale


@dataclass(frozen=True)
class ColoredMasks:
    """Normalised images in factored form: each pixel is `background`, or `foreground` where the mask is set."""

    patches: torch.Tensor  # 0 or 1, float or bfloat16 (B, 25, 784): the mask around every pixel (5x5), 0 outside
    foreground: torch.Tensor  # float (B, 3): normalised colour of the image
    background: torch.Tensor  # float (3,): normalised colour that all images share, black or white

    def __len__(self):
        return len(self.foreground)


def mask_patches(padded):
    """`patches` of ColoredMasks. padded: masks with two pixels of 0 around them, (B, 32, 32)."""
    return torch.stack([padded[:, i : i + 28, j : j + 28] for i in range(5) for j in range(5)], dim=1).flatten(2)


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


def augment(images, kinds):
    """Images changed at random, never in their colours, drawn at each call from PyTorch's global generator.

    images: uint8 (B, S, S, 3) or bool (B, S, S), and so returned. kinds: of AUGMENT. torchvision's v2 transforms do not
    fit: they draw one set of numbers for all images of a batch.
    """
    matrices = affine_matrices(torch.rand(len(images), 9, device=images.device), kinds)
    pixels = images.reshape(*images.shape[:3], -1).permute(0, 3, 1, 2).float()
    grid = F.affine_grid(matrices, pixels.shape, align_corners=False)
    moved = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    return moved.permute(0, 2, 3, 1).reshape(images.shape).round().to(images.dtype)


def affine_matrices(draws, kinds):
    """From the output's square [-1, 1]² to the input's: turned, scaled and moved, then a part of it, mirrored.

    draws: (B, 9) in [0, 1): of the mirror, area and shape of the part, its place (2), angle, scale, shift (2); those of
    other kinds do not count. Returns float (B, 2, 3).
    """
    flip, area, ratio = draws.T[:3]
    both = 2 * draws.T - 1  # in [-1, 1)
    scale, offset = draws.new_ones(2, len(draws)), draws.new_zeros(2, len(draws))  # of x and y
    angle, size, shift = torch.zeros_like(flip), torch.ones_like(flip), torch.zeros_like(scale)
    if "crop" in kinds:
        area, ratio = AREA[0] + (AREA[1] - AREA[0]) * area, torch.exp(math.log(RATIO) * both[2])
        scale = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()]).clamp(max=1)
        offset = (1 - scale) * both[3:5]
    if "flip" in kinds:
        scale = scale * torch.stack([torch.where(flip < 0.5, -1.0, 1.0), torch.ones_like(flip)])
    if "affine" in kinds:
        angle, size, shift = TURN * both[5], 1 + ZOOM * both[6], 2 * SHIFT * both[7:9]
    turned = torch.stack([torch.cos(angle), -torch.sin(angle), torch.sin(angle), torch.cos(angle)]).view(2, 2, -1)
    linear = scale[:, None] * turned / size
    return torch.cat([linear, (scale * shift + offset)[:, None]], dim=1).permute(2, 0, 1)


class OnDevice:
    """A part of a data set that lives on the device as bytes: an index is all that a batch takes."""

    image_bias = None  # int64 (N, heads) where bias labels belong to images
    augment = "none"  # as of --augment
    of_images = ("label",)  # attributes with a row for every image

    def __len__(self):
        return len(self.label)

    def stream(self, indices):
        """A handle for each of `indices` (int64 (B,), on the device), for `batch`: itself."""
        yield from indices

    def subset(self, index):
        """The images of `index` (int64, on the CPU) alone."""
        part, index = copy.copy(self), index.to(self.label.device)
        for name in self.of_images:
            setattr(part, name, getattr(self, name)[index])
        return part


class FactoredData(OnDevice):
    """Images that consist of a mask and one colour each, which is what Colored-MNIST is."""

    of_images = ("padded", "color", "label")

    def __init__(self, mask, color, label, device="cpu", dtype=torch.float32, mask_dtype=None):
        """mask: bool (N, 28, 28); color: uint8 (N, 3); label: int64 (N,). NumPy arrays.

        dtype: of the colours; mask_dtype: of the masks, which every type holds exactly [as the colours].
        """
        self.padded = F.pad(torch.from_numpy(mask).to(device, torch.uint8), (2, 2, 2, 2))
        self.color, self.label = torch.from_numpy(color).to(device), torch.from_numpy(label).to(device)
        self.palette = normalised_palette(device, dtype)
        self.mask_dtype = mask_dtype or dtype

    def batch(self, index, augmented=False):
        """index: int64 (B,) on the device. Returns x (ColoredMasks), y int64 (B,), b int64 (B, 3, 14, 14)."""
        padded, color = self.padded[index], self.color[index]
        on_grid = padded[:, None, 3:30:2, 3:30:2] * color[:, :, None, None]
        patches = mask_patches(padded.to(self.mask_dtype))
        x = ColoredMasks(patches, foreground=normalise(color, self.palette), background=self.palette[0])
        return x, self.label[index], bias_labels(on_grid)


class ImageData(OnDevice):
    """Any 28x28 RGB images."""

    of_images = ("images", "label")

    def __init__(self, images, label, device="cpu", dtype=torch.float32):
        """images: uint8 (N, 28, 28, 3); label: int64 (N,). NumPy arrays."""
        self.images, self.label = torch.from_numpy(images).to(device), torch.from_numpy(label).to(device)
        self.palette = normalised_palette(device, dtype)

    def batch(self, index, augmented=False):
        """index: int64 (B,) on the device. Returns x float (B, 3, 28, 28) in channels_last order, y and b as above."""
        images = self.images[index]
        x = normalise(images, self.palette).permute(0, 3, 1, 2)
        return x, self.label[index], bias_labels(images[:, 1::2, 1::2].permute(0, 3, 1, 2).contiguous())


def factorise(images):
    """(mask bool (N, 28, 28), color uint8 (N, 3)) of uint8 (N, 28, 28, 3), of one colour on black; else None."""
    mask, color = images.any(axis=3), images.max(axis=(1, 2))
    return (mask, color) if np.array_equal(mask[..., None] * color[:, None, None, :], images) else None


def luma(rgb):
    """ITU-R 601 luma of uint8 (..., 3) as Pillow's mode "L" computes it, in all three channels, uint8 (..., 3)."""
    r, g, b = (rgb[..., i].astype(np.uint32) for i in range(3))
    grey = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16
    return np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8)
