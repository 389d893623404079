"""Photographs as batches: inputs x, labels y, bias labels b, of images kept in memory or read ahead from files.

Two classes with one interface, that of dataset/batches.py and a little more:

    for handle in data.stream(list_of_index_tensors):    # in the given order
        x, y, b = data.batch(handle)

What an image looks like in an epoch depends on the seed, the epoch and the image alone: neither on the class, nor on
the order or the size of the batches, nor on where a resumed run begins.
"""

import copy
import dataclasses
import math
import os
import signal
import time
import warnings
import weakref
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

from common.errors import UserError
from dataset.batches import OnDevice, bias_labels
from dataset.pictures import BLACK, each_picture, read_picture, read_pictures, usable_cores

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, which the networks of torchvision expect
STD = (0.229, 0.224, 0.225)
AUGMENT = ("none", "flip", "crop")
AREA, RATIO = (0.7, 1.0), (3 / 4, 4 / 3)  # of a random crop: the share of the area, and width by height
READY = 4  # batches that each worker reads ahead


def colour_bias(images, size):
    """The paper's bias labels of any images: the bins of 32 levels of the pixels at the centres of an (h, w) grid.

    images: uint8 (B, H, W, 3); size: (h, w) of f's map. Returns int64 (B, 3, h, w), 0..7, or IGNORE_INDEX
    where a channel is 0. For 28x28 images and a 14x14 map these are the labels of Colored-MNIST.
    """
    rows, columns = (
        ((2 * torch.arange(few, device=images.device) + 1) * many) // (2 * few)
        for few, many in zip(size, images.shape[1:3], strict=True)
    )
    return bias_labels(images[:, rows[:, None], columns].permute(0, 3, 1, 2).contiguous())


def mix(key):
    """Scrambles int64 values so that neighbours have nothing in common (the finaliser of SplitMix64, on the device)."""
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685), (31, 1)):
        key = (key ^ ((key >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return key


def draws(seed, epoch, index, count):
    """Numbers in [0, 1) that depend on seed, epoch (int64 tensors ()) and image alone: float32 (B, count)."""
    key = mix(mix(mix(seed) + epoch) + index)[:, None] + torch.arange(1, count + 1, device=index.device) * (1 << 32)
    return ((mix(key) >> 40) & 0xFFFFFF).float() / (1 << 24)


def augmented(images, kind, numbers):
    """Images as the network sees them in training: mirrored at random ("flip"), and of a random part as well ("crop").

    images: uint8 (B, S, S, 3); numbers: of `draws`, (B, 5). Returns uint8 of the same shape.
    """
    if kind == "none":
        return images
    mirrored = numbers[:, 0] < 0.5
    if kind == "flip":
        return torch.where(mirrored[:, None, None, None], images.flip(2), images)
    area = AREA[0] + (AREA[1] - AREA[0]) * numbers[:, 1]
    ratio = torch.exp(math.log(RATIO[0]) + math.log(RATIO[1] / RATIO[0]) * numbers[:, 2])
    width, height = ((area * r).sqrt().clamp(max=1) for r in (ratio, 1 / ratio))
    theta = images.new_zeros((len(images), 2, 3), dtype=torch.float32)  # from the output's square to the input's
    theta[:, 0, 0], theta[:, 1, 1] = width * torch.where(mirrored, -1.0, 1.0), height
    theta[:, 0, 2], theta[:, 1, 2] = ((1 - length) * (2 * numbers[:, i] - 1) for length, i in ((width, 3), (height, 4)))
    pixels = images.permute(0, 3, 1, 2).float()
    grid = F.affine_grid(theta, pixels.shape, align_corners=False)
    cut = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return cut.round().to(torch.uint8).permute(0, 2, 3, 1)


class Photographs:
    """What both classes share: labels on the device, and the way from bytes to a batch."""

    def __init__(self, label, bias, size, device="cpu", dtype=torch.float32, augment="none", seed=0, colour=None):
        """label: int64 (N,), bias: int64 (N, heads), IGNORE_INDEX where there is none; NumPy arrays. size: in pixels.

        augment: one of AUGMENT; seed: of its draws; colour: (h, w) for labels from the pixels (`colour_bias`) [None].
        """
        self.device = torch.device(device)
        self.label = torch.from_numpy(label).to(self.device)
        self.bias = torch.from_numpy(bias).to(self.device)
        self.identity = torch.arange(len(label), device=self.device)  # of each image in its draws
        self.size, self.dtype, self.augment, self.colour = size, dtype, augment, colour
        self.seed, self.epoch = (torch.tensor(v, dtype=torch.int64, device=self.device) for v in (seed, 0))
        mean, std = (torch.tensor(v, device=self.device) for v in (MEAN, STD))
        self.scale, self.shift = 1 / (255 * std), -mean / std

    def __len__(self):
        return len(self.label)

    def set_epoch(self, epoch):
        """The epoch whose draws are used from now on. In place: a captured CUDA graph sees it."""
        self.epoch.fill_(epoch)

    def finish(self, images, index):
        """images: uint8 (B, S, S, 3) on the device; index: int64 (B,). Returns x, y and b as `batch` does."""
        if self.augment != "none":
            images = augmented(images, self.augment, draws(self.seed, self.epoch, self.identity[index], 5))
        x = (images * self.scale + self.shift).to(self.dtype).permute(0, 3, 1, 2)
        b = self.bias[index][:, :, None, None] if self.colour is None else colour_bias(images, self.colour)
        return x, self.label[index], b

    def _part(self, index):
        """A copy of this object with the images of `index` alone, but for the images themselves."""
        part = copy.copy(self)
        index = index.to(self.device)
        part.label, part.bias, part.identity = self.label[index], self.bias[index], self.identity[index]
        part.epoch = self.epoch.clone()
        return part


class InMemory(Photographs, OnDevice):
    """Images that fit on the device, decoded once and kept as bytes."""

    def __init__(self, images, label, bias, **how):
        """images: uint8 (N, S, S, 3), a NumPy array; the rest as in Photographs."""
        super().__init__(label, bias, images.shape[1], **how)
        self.images = torch.from_numpy(images).to(self.device)

    def batch(self, handle):
        """handle: int64 (B,) on the device. Returns x, y, b.

        x: float (B, 3, S, S) in channels_last order, normalised; y: int64 (B,); b: int64 (B, heads, 1, 1), or
        (B, 3, h, w) of the pixels' colours.
        """
        return self.finish(self.images[handle], handle)

    def subset(self, index):
        """The images of `index` (int64, on the CPU) alone."""
        part = self._part(index)
        part.images = self.images[index.to(self.device)]
        return part


class Streaming(Photographs):
    """Images that do not fit: files, which other processes read ahead."""

    def __init__(self, paths, label, bias, size, workers=None, background=BLACK, **how):
        """paths: list of str; workers: processes that read [one less than the cores, 1 to 8], 0 for none."""
        super().__init__(label, bias, size, **how)
        self.paths, self.background = list(paths), background
        self.workers = max(1, min(8, usable_cores() - 1)) if workers is None else workers
        self.waited = 0.0
        self._order, self._loader = [], []  # a list of one, so that its end can be seen to without this object
        weakref.finalize(self, self._loader.clear)

    def stream(self, indices):
        """A handle for each of `indices` (int64 (B,)), in order; the next ones are read meanwhile.

        Raises UserError where an image cannot be read, or a reading process ends. One stream at a time.
        """
        indices = list(indices)
        self._order[:] = [index.tolist() for index in indices]  # in place: the loader holds it
        if not self._loader:
            loader = DataLoader(
                Files(self.paths, self.size, self.background),
                batch_sampler=self._order,
                num_workers=self.workers,
                collate_fn=as_read,
                worker_init_fn=quiet,
                pin_memory=self.device.type == "cuda",
                persistent_workers=self.workers > 0,
                generator=torch.Generator(),  # else every stream draws from the one of the training
                prefetch_factor=READY if self.workers else None,
            )
            self._loader.append(loader)
        ready = iter(self._loader[0])
        for index in indices:
            since = time.perf_counter()
            try:
                read = next(ready)
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                raise UserError("a process that reads images was ended; with less memory give fewer workers") from None
            self.waited += time.perf_counter() - since
            if read.error:
                raise UserError(read.error)
            yield read.images.to(self.device, non_blocking=True), index.to(self.device)

    def batch(self, handle):
        """handle: what `stream` gave, or int64 (B,), whose images are then read at once. Returns as InMemory does."""
        if isinstance(handle, tuple):
            return self.finish(*handle)
        images = [read_picture(self.paths[i], self.size, self.background) for i in handle.tolist()]
        return self.finish(torch.from_numpy(np.stack(images)).to(self.device), handle.to(self.device))

    def subset(self, index):
        """The images of `index` (int64, on the CPU) alone, with reading processes of its own."""
        part = self._part(index)
        part.paths = [self.paths[i] for i in index.tolist()]
        part.waited, part._order, part._loader = 0.0, [], []
        weakref.finalize(part, part._loader.clear)
        return part


class Files:
    """The files of a Streaming set, for its reading processes: a batch at a time, as NumPy's array.

    Not as tensors: these would pass through shared memory, of which a container has 64 MB.
    """

    def __init__(self, paths, size, background):
        self.paths, self.size, self.background = paths, size, background

    def __getitems__(self, index):
        """The images of a list of positions, (uint8 (B, S, S, 3), None), or (None, what is wrong with one)."""
        try:
            return np.stack([read_picture(self.paths[i], self.size, self.background) for i in index]), None
        except UserError as error:
            return None, str(error)


class Read:
    """A batch as a reading process hands it over: NumPy's array, which becomes a (pinned) tensor on arrival."""

    def __init__(self, array, error):
        self.array, self.error = array, error

    @property
    def images(self):
        """uint8 (B, S, S, 3)."""
        return torch.from_numpy(self.array) if isinstance(self.array, np.ndarray) else self.array

    def pin_memory(self):
        """Called by the DataLoader where batches go to a GPU."""
        return self if self.error else Read(self.images.pin_memory(), None)


def as_read(fetched):
    """The collate function: what Files gives, as Read."""
    return Read(*fetched)


def quiet(worker):
    """At the start of a reading process: signals are for the program that trains, warnings were seen before.

    A scheduler or a closed window sends them to all processes, and the batches that are read ahead are needed until
    the program has saved. Only the second SIGTERM ends a process that reads: multiprocessing sends it at exit.
    """
    for name in ("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.signal(number, signal.SIG_DFL))
    warnings.filterwarnings("ignore", module="PIL")


def load(table, size, device="cpu", augment="none", skip_broken=False, colour=None, memory=None, show=True, **how):
    """Reads a Table's images: ({split: InMemory or Streaming} of those that it has, the Table of what can be read).

    A set that fits into a quarter of the free memory is decoded once. augment: of the training images; skip_broken:
    leaves out images that are missing or unreadable, which else raise UserError with the row; colour: (h, w) of f's
    map where table.colour; memory: bytes to use instead of a quarter of the free; how: as in Photographs and Streaming.
    """
    memory = free_memory(device) // 4 if memory is None else memory
    background = how.get("background", BLACK)
    fits = len(table) * size * size * 3 <= memory
    content = np.zeros(len(table), np.uint32)
    if fits:
        images, bad = read_pictures(table.paths, size, background, show=show, content=content)
    else:
        bad = each_picture(table.paths, size, lambda position, image: None, background, show=show, content=content)
    table = dataclasses.replace(table, content=content)
    if bad:
        position, reason = next(iter(bad.items()))
        if not skip_broken:
            more = f" ({len(bad)} such images; python -m dataset.images names them)" if len(bad) > 1 else ""
            row = f"{table.source}, {table.places[position]}: " if table.places[position] else ""
            raise UserError(f"{row}{reason}{more}, or give --skip_broken")
        good = np.setdiff1d(np.arange(len(table)), list(bad))
        table = table.take(good, f"left out: {len(bad)} images that are missing or cannot be read (--skip_broken)")
        images = images[good] if fits else None
    if fits:
        how = {k: v for k, v in how.items() if k not in ("workers", "background")}
    parts = {}
    for split in np.unique(table.split).tolist():
        mine = table.where(split)
        labels = (table.label[mine], table.bias[mine])
        settings = {"device": device, "colour": colour if table.colour else None, **how}
        settings["augment"] = augment if split == 0 else "none"
        if fits:
            parts[split] = InMemory(images[mine], *labels, **settings)
        else:
            parts[split] = Streaming([table.paths[i] for i in mine], *labels, size, **settings)
    return parts, table


def free_memory(device="cpu"):
    """Bytes that a data set could take: of the machine or its container, and of the GPU where it is kept there."""
    free = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable")]
        limit, used, parts = (Path(f"/sys/fs/cgroup/memory.{name}").read_text() for name in ("max", "current", "stat"))
        cached = int(parts.partition("inactive_file ")[2].split()[0])  # given back when it is needed
        free += [] if limit.strip() == "max" else [int(limit) - int(used) + cached]
    except (OSError, ValueError, IndexError):
        pass
    if not free:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 if hasattr(os, "sysconf") else 4 << 30
        free.append(pages)
    if torch.device(device).type == "cuda":
        free.append(torch.cuda.mem_get_info(torch.device(device))[0])
    return max(0, min(free))
