"""Biased-MNIST on the training device, and the batches f, g and h are fed: inputs x, labels y, bias labels b.

As in dataset/batches.py there is no data loader: masks and background indices live on the device as bytes. Two classes
give the same images: `BiasedData` in the factored form that the paper's f computes faster, `BiasedImageData` as pixels,
for any other network.
"""

import copy

import torch
from torch.nn import functional as F

from dataset.batches import ColoredMasks, OnDevice
from dataset.biased_mnist import BACKGROUNDS, WHITE

MEAN = STD = 0.5  # of the normalisation, all channels (published protocol): values lie in -1..1


def normalised(values, dtype):
    """Channel values 0..255, any shape, scaled to [0, 1] and normalised to [-1, 1], in `dtype`."""
    return (torch.as_tensor(values).to(dtype) / 255 - MEAN) / STD


class BiasedImageData(OnDevice):
    """Images of Biased-MNIST as pixels."""

    def __init__(self, mask, bias, label, device="cpu", dtype=torch.float32, mask_dtype=None):
        """mask: bool (N, 28, 28); bias, label: int64 (N,). NumPy arrays, of a BiasedSplit.

        dtype: of the colours. mask_dtype: of the masks in factored form, which every type holds exactly [as the
        colours].
        """
        self.mask = torch.from_numpy(mask).to(device)
        self.bias = torch.from_numpy(bias).to(device)
        self.label = torch.from_numpy(label).to(device)
        # Made once: a constant copied to a GPU in every batch makes it wait, and cannot be part of a CUDA graph.
        self.palette = normalised(BACKGROUNDS, dtype).to(device)  # (10, 3)
        self.white = normalised([WHITE] * 3, dtype).to(device)  # (3,)
        self.mask_dtype = mask_dtype or dtype

    def __len__(self):
        return len(self.label)

    def batch(self, index):
        """index: int64 (B,) on the device. Returns x (of `inputs`), y int64 (B,), b int64 (B, 1, 1, 1), 0..9."""
        bias = self.bias[index]
        return self.inputs(self.mask[index], self.palette[bias]), self.label[index], bias.view(-1, 1, 1, 1)

    def inputs(self, mask, background):
        """x of one batch, float (B, 3, 28, 28) in channels_last order. mask: bool (B, 28, 28); background: (B, 3)."""
        return torch.where(mask[..., None], self.white, background[:, None, None, :]).permute(0, 3, 1, 2)

    def subset(self, index):
        """The images of `index` (int64, on the CPU) alone."""
        part = copy.copy(self)
        index = index.to(self.label.device)
        part.mask, part.bias, part.label = self.mask[index], self.bias[index], self.label[index]
        return part


class BiasedData(BiasedImageData):
    """The same images in factored form.

    What all images share is the white of the digit, so that it takes the part of the black in Colored-MNIST: an image
    is white, but for a mask, the pixels outside the digit, that is filled with one colour.
    """

    def inputs(self, mask, background):
        """x of one batch, `ColoredMasks`."""
        outside = F.pad(~mask, (2, 2, 2, 2)).to(self.mask_dtype)
        patches = torch.stack([outside[:, i : i + 28, j : j + 28] for i in range(5) for j in range(5)], dim=1)
        return ColoredMasks(patches.flatten(2), foreground=background, background=self.white)
