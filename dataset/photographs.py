"""Photographs as parts of a data set: kept in memory as bytes, or read ahead from files. Both give the same batches."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from dataset.batches import Augmentation, OnDevice, bias_labels
from dataset.pictures import BLACK, read_picture, usable_cores

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, which the networks of torchvision expect
STD = (0.229, 0.224, 0.225)
READY = 4  # batches that are read ahead


def colour_bias(images, size):
    """The paper's bias labels of any images: the bins of 32 levels of the pixels at the centres of an (h, w) grid.

    images: uint8 (B, H, W, 3); size: (h, w) of f's map. Returns int64 (B, 3, h, w), 0..7, or IGNORE_INDEX
    where a channel is 0.
    """
    rows, columns = (
        ((2 * torch.arange(few, device=images.device) + 1) * many) // (2 * few)
        for few, many in zip(size, images.shape[1:3], strict=True)
    )
    return bias_labels(images[:, rows[:, None], columns].permute(0, 3, 1, 2).contiguous())


class InMemory(OnDevice):
    """Images that fit on the device, decoded once and kept as bytes."""

    of_images = ("label", "bias", "images")

    def __init__(self, images, label, bias, device="cpu", augment="none", colour=None):
        """images: uint8 (N, S, S, 3); label: int64 (N,); bias: int64 (N, heads), IGNORE_INDEX for none. NumPy arrays.

        augment: of --augment. colour: (h, w) for labels from the pixels (`colour_bias`) [None].
        """
        self.images, self.label, self.bias = (torch.from_numpy(array).to(device) for array in (images, label, bias))
        self.size, self.colour, self.augmentation = images.shape[1], colour, Augmentation.of(augment)
        mean, std = (torch.tensor(v, device=device) for v in (MEAN, STD))
        self.scale, self.shift = 1 / (255 * std), -mean / std

    @property
    def image_bias(self):
        return self.bias if self.colour is None else None

    def batch(self, handle, augmented=False):
        """handle: int64 (B,) on the device. Returns x, y, b.

        x: float (B, 3, S, S) in channels_last order, normalised; y: int64 (B,); b: int64 (B, heads, 1, 1), or
        (B, 3, h, w) of the pixels' colours.
        """
        return self.finish(self.images[handle], handle, augmented)

    def finish(self, images, index, augmented):
        """The batch of some images, uint8 (B, S, S, 3) on the device, and their positions."""
        if augmented and self.augmentation:
            images = self.augmentation(images)
        x = (images * self.scale + self.shift).permute(0, 3, 1, 2)
        b = self.bias[index][:, :, None, None] if self.colour is None else colour_bias(images, self.colour)
        return x, self.label[index], b


class Streaming(InMemory):
    """Images that do not fit: files, which threads read ahead (Pillow decodes without Python's lock)."""

    of_images = ("label", "bias")

    def __init__(self, paths, label, bias, size, workers=None, background=BLACK, **how):
        """paths: list of str; workers: threads that read [the cores, at most 16]."""
        super().__init__(np.zeros((0, size, size, 3), np.uint8), label, bias, **how)
        self.paths, self.background = list(paths), background
        self.workers = workers or min(16, usable_cores())

    def stream(self, indices):
        """A handle for each of `indices` (int64 (B,)), in order; the next ones are read meanwhile.

        Raises UserError where an image cannot be read.
        """
        indices, ahead = list(indices), deque()
        pool = ThreadPoolExecutor(self.workers)
        try:
            for index in [*indices, *[None] * READY]:
                if index is not None:
                    ahead.append((pool.map(self.read, index.tolist()), index))
                if ahead and (index is None or len(ahead) > READY):
                    yield self.on_device(*ahead.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def batch(self, handle, augmented=False):
        """handle: what `stream` gave, or int64 (B,), whose images are then read at once. Returns as above."""
        if not isinstance(handle, tuple):
            handle = self.on_device(map(self.read, handle.tolist()), handle)
        return self.finish(*handle, augmented)

    def read(self, position):
        return read_picture(self.paths[position], self.size, self.background)

    def on_device(self, images, index):
        device = self.label.device
        return torch.from_numpy(np.stack(list(images))).to(device), index.to(device)

    def subset(self, index):
        part = super().subset(index)
        part.paths = [self.paths[i] for i in index.tolist()]
        return part
