"""Photographs as parts of a data set: kept in memory as bytes, or read ahead from files. Both give the same batches."""

import dataclasses
import errno
import signal
import warnings

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from common.errors import UserError
from dataset.batches import Augmentation, OnDevice, bias_labels
from dataset.pictures import BLACK, read_picture, usable_cores

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, which the networks of torchvision expect
STD = (0.229, 0.224, 0.225)
READY = 4  # batches that each worker reads ahead


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
    """Images that do not fit: files, which other processes read ahead."""

    of_images = ("label", "bias")

    def __init__(self, paths, label, bias, size, workers=None, background=BLACK, **how):
        """paths: list of str; workers: processes that read [one less than the cores, 1 to 8], 0 for none."""
        super().__init__(np.zeros((0, size, size, 3), np.uint8), label, bias, **how)
        self.files = Files(list(paths), size, background)
        self.workers = max(1, min(8, usable_cores() - 1)) if workers is None else workers

    def stream(self, indices):
        """A handle for each of `indices` (int64 (B,)), in order; the next ones are read meanwhile.

        Raises UserError where an image cannot be read, or a reading process ends.
        """
        indices = list(indices)
        loader = DataLoader(
            self.files, batch_sampler=[index.tolist() for index in indices], collate_fn=as_it_is,
            num_workers=self.workers, prefetch_factor=READY if self.workers else None, worker_init_fn=quiet,
            generator=torch.Generator(),  # else every stream draws from the one of the training
        )  # fmt: skip
        _MultiProcessingDataLoaderIter._shutdown = True  # else one that cannot start prints a traceback at its end
        try:
            ready = iter(loader)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise UserError("/dev/shm is full: processes that read need it; enlarge it, or give --workers 0") from None
        for index in indices:
            try:
                images = next(ready)
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                raise UserError("a process that reads images was ended; with less memory give fewer workers") from None
            yield self.on_device(images), index.to(self.label.device)

    def batch(self, handle, augmented=False):
        """handle: what `stream` gave, or int64 (B,), whose images are then read at once. Returns as above."""
        if not isinstance(handle, tuple):
            handle = self.on_device(self.files.__getitems__(handle.tolist())), handle.to(self.label.device)
        return self.finish(*handle, augmented)

    def on_device(self, images):
        """What Files gave as a tensor. Raises UserError where it is what is wrong."""
        if isinstance(images, str):
            raise UserError(images)
        return torch.from_numpy(images).to(self.label.device)

    def subset(self, index):
        part = super().subset(index)
        part.files = dataclasses.replace(self.files, paths=[self.files.paths[i] for i in index.tolist()])
        return part


@dataclasses.dataclass
class Files(Dataset):
    """The files of a Streaming part, for its reading processes: a batch at a time, as NumPy's array.

    Not as tensors: these would pass through shared memory, of which a container has 64 MB.
    """

    paths: list
    size: int
    background: tuple

    def __getitems__(self, index):
        """The images of a list of positions, uint8 (B, S, S, 3), or str: what is wrong with one."""
        try:
            return np.stack([read_picture(self.paths[i], self.size, self.background) for i in index])
        except UserError as error:
            return str(error)


def as_it_is(batch):
    """The loader's collate function: Files gives batches."""
    return batch


def quiet(worker):
    """At the start of a reading process: signals are for the program that trains, warnings were seen before.

    A scheduler or a closed window sends them to all processes, and batches are needed until the program has saved.
    Only the second SIGTERM ends a process that reads: multiprocessing sends it at exit.
    """
    for name in {"SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"} & set(signal.Signals.__members__):
        signal.signal(signal.Signals[name], signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.signal(number, signal.SIG_DFL))
    warnings.filterwarnings("ignore", module="PIL")
