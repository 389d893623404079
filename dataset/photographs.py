"""Photographs as parts of a data set: decoded once and kept as bytes, in memory or in a file."""

import math
import shutil
import tempfile

import numpy as np
import torch

from common.errors import UserError
from dataset.batches import OnDevice, augment

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, which the networks of torchvision expect
STD = (0.229, 0.224, 0.225)
IN_MEMORY = 1 << 30  # bytes: sets that decode to more are kept in a file


def room_for(shape):
    """A uint8 array for decoded images: in memory, or in a temporary file that is gone at the end. Raises UserError."""
    size, folder = math.prod(shape), tempfile.gettempdir()
    if size <= IN_MEMORY:
        return np.zeros(shape, np.uint8)
    if size > shutil.disk_usage(folder).free:
        raise UserError(
            f"the decoded images take {size / 1e9:.1f} GB, which {folder} has no room for; give a smaller "
            "--image_size, or set TMPDIR to another folder"
        )
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint8, "w+", shape=shape)


class Photographs(OnDevice):
    """Images as bytes, on the device or not, with a label and bias labels each."""

    of_images = ("label", "bias", "position")

    def __init__(self, images, label, bias, device="cpu", augment="none", position=None):
        """images: uint8 (M, S, S, 3), which parts may share, a NumPy array or a tensor anywhere.

        label: int64 (N,); bias: int64 (N, heads), IGNORE_INDEX for none; position: int64 (N,), where in `images` they
        are [in order]. NumPy arrays. augment: of --augment.
        """
        position = np.arange(len(label)) if position is None else position
        self.label, self.bias, self.position = (torch.from_numpy(array).to(device) for array in (label, bias, position))
        self.images, self.augment = torch.as_tensor(images), augment
        mean, std = (torch.tensor(v, device=device) for v in (MEAN, STD))
        self.scale, self.shift = 1 / (255 * std), -mean / std

    @property
    def image_bias(self):
        return self.bias

    def batch(self, index, augmented=False):
        """index: int64 (B,) on the device. Returns x, y, b.

        x: float (B, 3, S, S) in channels_last order, normalised; y: int64 (B,); b: int64 (B, heads, 1, 1).
        """
        images = self.images[self.position[index].to(self.images.device)].to(self.label.device)
        if augmented and "none" not in self.augment:
            images = augment(images, self.augment)
        x = (images * self.scale + self.shift).permute(0, 3, 1, 2)
        return x, self.label[index], self.bias[index][:, :, None, None]
