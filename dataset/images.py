"""Images of one's own as train.py takes them: kept in memory as bytes, or read ahead from files.

    python -m dataset.images DIR      # a look at them: is there a bias, what is broken? (dataset/inspect.py)

Two kinds of parts give the same batches, to the bit.
"""

import dataclasses
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from common import Flag, given, number, path, seed
from common.errors import UserError
from common.flags import LAYERS, RESNETS
from dataset.base import AUGMENT_FLAG, BY_IMAGE, DATA_DIR, METHODS_BY_IMAGE, DataSet
from dataset.batches import Augmentation, OnDevice, bias_labels
from dataset.inspect import main, overview, same_bytes, troubles
from dataset.pictures import BLACK, color, decode, read_picture, readers_may_lack, rgb, too_dark, usable_cores
from dataset.tables import COLOUR, read_table

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, which the networks of torchvision expect
STD = (0.229, 0.224, 0.225)
READY = 4  # batches that each worker reads ahead
DRY_RUN = 64  # images of each split


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


class Photographs(OnDevice):
    """What both kinds of parts share: labels on the device, and the way from bytes to a batch."""

    of_images = ("label", "bias")

    def __init__(self, label, bias, size, device="cpu", dtype=torch.float32, augment="none", colour=None):
        """label: int64 (N,), bias: int64 (N, heads), IGNORE_INDEX where there is none; NumPy arrays. size: in pixels.

        augment: of --augment. colour: (h, w) for labels from the pixels (`colour_bias`) [None].
        """
        self.label, self.bias = (torch.from_numpy(array).to(device) for array in (label, bias))
        self.size, self.dtype, self.colour = size, dtype, colour
        self.augmentation = Augmentation.of(augment, len(label), device)
        mean, std = (torch.tensor(v, device=device) for v in (MEAN, STD))
        self.scale, self.shift = 1 / (255 * std), -mean / std

    @property
    def image_bias(self):
        return self.bias if self.colour is None else None

    def finish(self, images, index, augmented):
        """images: uint8 (B, S, S, 3) on the device; index: int64 (B,). Returns x, y, b.

        x: float (B, 3, S, S) in channels_last order, normalised; y: int64 (B,); b: int64 (B, heads, 1, 1), or
        (B, 3, h, w) of the pixels' colours.
        """
        if augmented and self.augmentation:
            images = self.augmentation(images, index)
        x = (images * self.scale + self.shift).to(self.dtype).permute(0, 3, 1, 2)
        b = self.bias[index][:, :, None, None] if self.colour is None else colour_bias(images, self.colour)
        return x, self.label[index], b


class InMemory(Photographs):
    """Images that fit on the device, decoded once and kept as bytes."""

    of_images = ("label", "bias", "images")

    def __init__(self, images, label, bias, **how):
        """images: uint8 (N, S, S, 3), a NumPy array; the rest as in Photographs."""
        super().__init__(label, bias, images.shape[1], **how)
        self.images = torch.from_numpy(images).to(self.label.device)

    def batch(self, handle, augmented=False):
        """handle: int64 (B,) on the device. Returns as `finish` does."""
        return self.finish(self.images[handle], handle, augmented)


class Streaming(Photographs):
    """Images that do not fit: files, which other processes read ahead."""

    def __init__(self, paths, label, bias, size, workers=None, background=BLACK, **how):
        """paths: list of str; workers: processes that read [one less than the cores, 1 to 8], 0 for none."""
        super().__init__(label, bias, size, **how)
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
        _MultiProcessingDataLoaderIter._shutdown = (
            True  # or one that cannot start prints a traceback when it is deleted
        )
        with readers_may_lack("give fewer --workers, or 0"):
            ready = iter(loader)
        for index in indices:
            since = time.perf_counter()
            try:
                images = next(ready)
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                raise UserError("a process that reads images was ended; with less memory give fewer workers") from None
            self.waited += time.perf_counter() - since
            if isinstance(images, str):
                raise UserError(images)
            yield torch.from_numpy(images).to(self.label.device), index.to(self.label.device)

    def batch(self, handle, augmented=False):
        """handle: what `stream` gave, or int64 (B,), whose images are then read at once. Returns as `finish` does."""
        if isinstance(handle, tuple):
            return self.finish(*handle, augmented)
        images = self.files.__getitems__(handle.tolist())
        if isinstance(images, str):
            raise UserError(images)
        return self.finish(torch.from_numpy(images).to(self.label.device), handle.to(self.label.device), augmented)

    def subset(self, index):
        """The images of `index` (int64, on the CPU) alone."""
        part = super().subset(index)
        part.files = dataclasses.replace(self.files, paths=[self.files.paths[i] for i in index.tolist()])
        part.waited = 0.0
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

    A scheduler or a closed window sends them to all processes, and the batches that are read ahead are needed until
    the program has saved. Only the second SIGTERM ends a process that reads: multiprocessing sends it at exit.
    """
    for name in ("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.signal(number, signal.SIG_DFL))
    warnings.filterwarnings("ignore", module="PIL")


def load(
    table, size, device="cpu", augment="none", skip_broken=False, colour=None, memory=None, workers=None,
    background=BLACK, show=True,
):  # fmt: skip
    """Reads a Table's images: ({split: InMemory or Streaming} of those that it has, the Table of what can be read).

    A set that fits into a quarter of the free memory is decoded once. augment: of the training images; skip_broken:
    leaves out images that are missing or unreadable, which else raise UserError with the row; colour: (h, w) of f's
    map where table.colour; memory: bytes to use instead of a quarter of the free.
    """
    bad = {int(i): f"{table.paths[i]} is missing; put it back" for i in np.flatnonzero(table.missing)}
    refuse(table, {} if skip_broken else bad)  # before the others are read, which takes time
    table = left_out(table, bad)
    fits = len(table) * size * size * 3 <= (free_memory(device) // 4 if memory is None else memory)
    images = np.zeros((len(table) if fits else 0, size, size, 3), np.uint8)
    keep = images.__setitem__ if fits else lambda position, image: None
    decoded = decode(table.paths, size, keep, background, show=show)
    refuse(table, {} if skip_broken else decoded.bad)
    table = dataclasses.replace(table, content=decoded.content, notes=(*table.notes, *too_dark(decoded.brightest)))
    if decoded.bad:
        good = np.setdiff1d(np.arange(len(table)), list(decoded.bad))
        table, images = left_out(table, decoded.bad), images[good] if fits else images
    parts = {}
    for split in np.unique(table.split).tolist():
        mine = table.where(split)
        how = {"device": device, "colour": colour if table.colour else None, "augment": "none" if split else augment}
        if fits:
            parts[split] = InMemory(images[mine], table.label[mine], table.bias[mine], **how)
        else:
            files = [table.paths[i] for i in mine], table.label[mine], table.bias[mine], size, workers, background
            parts[split] = Streaming(*files, **how)
    return parts, table


def refuse(table, bad):
    """Raises UserError with the row of the first of the images that are `bad`, {position: reason}."""
    for position, reason in bad.items():
        more = f" ({len(bad)} such images; python -m dataset.images names them)" if len(bad) > 1 else ""
        row = f"{table.source}, {table.places[position]}: " if table.places[position] else ""
        raise UserError(f"{row}{reason}{more}, or give --skip_broken")


def left_out(table, bad):
    """The table without the images that are `bad`, {position: reason}."""
    good = np.setdiff1d(np.arange(len(table)), list(bad))
    what = f"left out: {len(bad)} images that are missing or cannot be read (--skip_broken)"
    return table.take(good, what) if bad else table


def free_memory(device="cpu"):
    """Bytes that a data set could take: of the machine or its container, and of the GPU where it is kept there."""
    free = [4 << 30]
    try:
        free = [int(line.split()[1]) << 10 for line in Path("/proc/meminfo").read_text().splitlines()
                if line.startswith("MemAvailable")] or free  # fmt: skip
        limit, used, parts = (Path(f"/sys/fs/cgroup/memory.{name}").read_text() for name in ("max", "current", "stat"))
        cached = int(parts.partition("inactive_file ")[2].split()[0])  # given back when it is needed
        free += [] if limit.strip() == "max" else [int(limit) - int(used) + cached]
    except (OSError, ValueError, IndexError):
        pass
    if torch.device(device).type == "cuda":
        free.append(torch.cuda.mem_get_info(torch.device(device))[0])
    return max(0, min(free))


class ImageSet(DataSet):
    """DIR/metadata.csv, another table, or DIR/train/CLASS/BIAS/* (dataset/tables.py).

    Settings are chosen by its validation images, if it has some, never by the test.
    """

    name = "images"
    help = "your own: a folder with a metadata.csv, or of folders"
    flags = (
        Flag("data_dir", path, help=DATA_DIR),
        Flag("target", given, help="column of the label; else y, label or target", metavar="COLUMN"),
        Flag(
            "bias", given, nargs="+", metavar="COLUMN",
            help="columns of the bias labels, else b, bias, a, place, spurious, attribute; colour: of the pixels",
        ),
        Flag("image", given, help="column of the image's file; else filename, image, path, ...", metavar="COLUMN"),
        Flag("image_size", number(int, 8, 1024), 224, "side in pixels to which images are scaled and cut"),
        Flag(
            "split_at", choices=(*LAYERS, "last"),
            help="f is a ResNet up to this layer, g the rest; last: all but the last linear layer of any network",
        ),
        Flag("init", path, "random", help="weights of a network of torchvision: imagenet, a file, or random"),
        Flag("background", color, "black", "what transparent places show: a colour's name, #RRGGBB or R,G,B"),
        AUGMENT_FLAG,
        Flag("skip_broken", action="store_true", help="leave out images that are missing or cannot be read"),
        Flag("data_seed", seed, 0, "seed of the split where the data has none"),
        Flag("workers", number(int, 0, 256), None, "processes that read the images of a set too large for the memory"),
    )  # fmt: skip
    networks = ("resnet18", "paper", "simple_conv")
    any_network = True
    class_word = "class"
    one_is_a_batch = False
    mean, std = MEAN, STD

    @classmethod
    def check(cls, option):
        if option.data_dir is None:
            raise UserError("--dataset images needs --data_dir DIR, a folder with a metadata.csv or with folders")
        if option.init != "random" and option.network in ("paper", "simple_conv"):
            raise UserError(f"--init is for networks of torchvision; --network {option.network} begins at random")
        if option.split_at in LAYERS and option.network not in RESNETS:
            raise UserError(f"--split_at {option.split_at} is for ResNets; --network {option.network} has last alone")
        if of_pixels(option) and map_size(option) is None:
            raise UserError(
                "--bias colour needs features on a map: a ResNet, or --network paper, and no --split_at last"
            )

    @classmethod
    def defaults(cls, option):
        return {} if of_pixels(option) else BY_IMAGE  # labels of positions are the paper's own

    @classmethod
    def method_defaults(cls, option):
        return {} if of_pixels(option) else METHODS_BY_IMAGE

    @classmethod
    def setting(cls, option):
        return str(option.data_dir)

    def __init__(self, option, device, grey=False, pixels=False):
        table = read_table(option.data_dir, option.target, option.bias, option.image, option.data_seed)
        if not (table.biases or table.colour):
            raise UserError(
                f"{table.source} has no bias label; name its column with --bias, or take --bias colour, which "
                "makes the labels of the pixels' colours"
            )
        if getattr(option, "dry_run", False):
            few = np.concatenate([some_of(table, split) for split in range(3)])
            table = table.take(np.sort(few), f"dry run: {len(few)} images alone")
        parts, self.table = load(
            table, option.image_size, device, option.augment, option.skip_broken, map_size(option),
            workers=option.workers, background=rgb(option.background),
        )  # fmt: skip
        self.size, self.classes, self.map_bias = option.image_size, self.table.classes, self.table.colour
        if not self.map_bias:
            self.biases, self.values = self.table.biases, self.table.values
        self.found = {"target": self.table.target, "bias": list(option.bias) if self.map_bias else list(self.biases)}
        self.all_aligned = self.table.all_aligned  # no training image contradicts a bias
        self.train, self.held_out = parts[0], parts.get(1)
        self.test = {"test_accuracy": parts[2]}

    def test_files(self):
        return [self.table.names[i] for i in self.table.where(2)]

    def fingerprint(self):
        return self.table.fingerprint()

    def overview(self):
        """Counts by group, how well the bias alone tells the label, and images that are there twice."""
        return "\n".join([overview(self.table), *troubles(self.table, alike=same_bytes(self.table))])


def of_pixels(option):
    """Whether --bias asks for labels from the pixels."""
    return len(option.bias or ()) == 1 and option.bias[0].casefold() in COLOUR


def some_of(table, split):
    """The positions of DRY_RUN random images of a split, int64; more where that leaves out a class or a bias value."""
    mine = np.random.default_rng(0).permutation(table.where(split))
    kept = np.arange(min(DRY_RUN, len(mine)))
    for values in (table.label[mine], *table.bias[mine].T):
        kept = np.union1d(kept, np.unique(values, return_index=True)[1])
    return mine[kept]


def map_size(option):
    """(h, w) of f's map, by --network, --split_at and --image_size; None where f has no map."""
    if option.split_at == "last":
        return None
    if option.network == "paper":
        side = (option.image_size + 1) // 2
    elif option.network == "simple_conv":
        side = option.image_size
    elif option.network in RESNETS:
        side = -(-option.image_size // (4 << LAYERS.index(option.split_at or "layer2")))  # models.networks.default_cut
    else:
        return None
    return side, side


if __name__ == "__main__":
    main()
