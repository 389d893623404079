"""Images of one's own as train.py takes them.

python -m dataset.images DIR      # a look at them: is there a bias, what is broken? (dataset/inspect.py)
"""

import dataclasses
import re
from pathlib import Path

import numpy as np
import torch

from common import Flag, Parser, given, location, number, path, seed
from common.errors import UserError, exits
from common.flags import LAYERS, RESNETS
from dataset.base import AUGMENT_FLAG, BY_IMAGE, DATA_DIR, METHODS_BY_IMAGE, DataSet
from dataset.csv_tables import is_colour
from dataset.inspect import draw_sheet, overview, troubles
from dataset.photographs import MEAN, STD, InMemory, Streaming
from dataset.pictures import BLACK, color, decode, rgb, too_dark
from dataset.tables import read_table

DRY_RUN = 64  # images of each split
CGROUP = "/sys/fs/cgroup/memory.max"  # of a container, a number or "max"


def load(
    table, size, device="cpu", augment="none", skip_broken=False, colour=None, workers=None, background=BLACK, show=True
):  # fmt: skip
    """Reads a Table's images: ({split: InMemory or Streaming} of those that it has, the Table of what can be read).

    A set that fits into a quarter of the free memory is decoded once. augment: of the training images; skip_broken:
    leaves out images that cannot be read, which else raise UserError with the row; colour: (h, w) of f's map where
    table.colour.
    """
    fits = len(table) * size * size * 3 <= free_memory(device) // 4
    images = np.zeros((len(table) if fits else 0, size, size, 3), np.uint8)
    keep = images.__setitem__ if fits else lambda position, image: None
    decoded = decode(table.paths, size, keep, background, show=show)
    if decoded.bad and not skip_broken:
        position, reason = next(iter(decoded.bad.items()))
        row = f"{table.places[position]}: " if table.places[position] else ""
        more = f" ({len(decoded.bad)} such images; python -m dataset.images names them)" if len(decoded.bad) > 1 else ""
        raise UserError(f"{row}{reason}{more}, or give --skip_broken")
    table = with_content(table, decoded)
    if decoded.bad:
        good = np.setdiff1d(np.arange(len(table)), list(decoded.bad))
        table = table.take(good, f"left out: {len(decoded.bad)} images that cannot be read (--skip_broken)")
        images = images[good] if fits else images
    parts = {}
    for split in np.unique(table.split).tolist():
        mine = table.where(split)
        how = {"device": device, "colour": colour if table.colour else None, "augment": "none" if split else augment}
        labels = table.label[mine], table.bias[mine]
        if fits:
            parts[split] = InMemory(images[mine], *labels, **how)
        else:
            parts[split] = Streaming([table.paths[i] for i in mine], *labels, size, workers, background, **how)
    return parts, table


def with_content(table, decoded):
    """The table with what `decode` found of its files."""
    notes = too_dark(np.delete(decoded.brightest, list(decoded.bad)))
    return dataclasses.replace(table, content=decoded.content, notes=(*table.notes, *notes))


def free_memory(device="cpu"):
    """Bytes that a data set could take: of the machine or its container, and of the GPU where it is kept there."""
    free = []
    for file, pattern, unit in (("/proc/meminfo", r"MemAvailable: *(\d+)", 1024), (CGROUP, r"(\d+)", 1)):
        if Path(file).is_file() and (found := re.search(pattern, Path(file).read_text())):
            free.append(int(found[1]) * unit)
    if torch.device(device).type == "cuda":
        free.append(torch.cuda.mem_get_info(torch.device(device))[0])
    return min(free, default=4 << 30)


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
        Flag("init", path, "random", help="weights of a network of torchvision: imagenet, a file, or random"),
        Flag("background", color, "black", "what transparent places show: a colour's name, #RRGGBB or R,G,B"),
        AUGMENT_FLAG,
        Flag("skip_broken", action="store_true", help="leave out images that are missing or cannot be read"),
        Flag("data_seed", seed, 0, "seed of the split where the data has none"),
        Flag("workers", number(int, 0, 256), None, "threads that read the images of a set too large for the memory"),
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
        if is_colour(option.bias) and map_size(option) is None:
            raise UserError(
                "--bias colour needs features on a map: a ResNet, or --network paper, and no --split_at last"
            )

    @classmethod
    def defaults(cls, option):
        return {} if is_colour(option.bias) else BY_IMAGE  # labels of positions are the paper's own

    @classmethod
    def method_defaults(cls, option):
        return {} if is_colour(option.bias) else METHODS_BY_IMAGE

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
        self.train, self.held_out = parts[0], parts.get(1)
        self.test = {"test_accuracy": parts[2]}

    def test_files(self):
        return [self.table.names[i] for i in self.table.where(2)]

    def fingerprint(self):
        return self.table.fingerprint()

    def overview(self):
        return "\n".join([overview(self.table), *troubles(self.table)])


def some_of(table, split):
    """The positions of the first DRY_RUN images of a split, int64, and of one of each class and bias value."""
    mine = table.where(split)
    kept = np.arange(min(DRY_RUN, len(mine)))
    for values in (table.label[mine], *table.bias[mine].T):
        kept = np.union1d(kept, np.unique(values, return_index=True)[1])
    return mine[kept]


def map_size(option):
    """(h, w) of f's map, by --network, --split_at and --image_size; None where f has no map."""
    size = option.image_size
    side = {"paper": (size + 1) // 2, "simple_conv": size}.get(option.network)
    if option.network in RESNETS and option.split_at != "last":
        side = -(-size // (4 << LAYERS.index(option.split_at or "layer2")))  # models.networks.ON_MAPS
    return None if side is None or option.split_at == "last" else (side, side)


@exits
def main(arguments=None):
    """Looks at a folder of images of your own: counts by class and bias, broken files, a sheet of samples."""
    parser = Parser(prog="-m dataset.images", description=main.__doc__)
    parser.add_argument("dir", type=location, metavar="DIR", help="folder with a metadata.csv, or train, val, test")
    for flag in ImageSet.flags:
        if flag.name in ("target", "bias", "image", "image_size", "background", "data_seed"):
            flag.add_to(parser)
            parser.set_defaults(**{flag.name: flag.default})
    parser.add_argument("--out", type=location, help="a .png that is made: a row of samples for each group")
    option = parser.parse_args(arguments)
    if option.out and option.out.exists():
        raise UserError(f"{option.out} is there already; give another --out, or remove it")
    table = read_table(option.dir, option.target, option.bias, option.image, option.data_seed)
    background = rgb(option.background)
    decoded = decode(table.paths, option.image_size, lambda position, image: None, background)
    if len(decoded.bad) == len(table):
        raise UserError(f"none of the {len(table)} images can be read; the first: {next(iter(decoded.bad.values()))}")
    table = with_content(table, decoded)
    print(overview(table), "", sep="\n")
    print("\n".join(troubles(table, decoded.bad)) or "all images can be read, none is there twice")
    if decoded.bad:
        print("to train, mend these images or give --skip_broken")
    if option.out:
        draw_sheet(option.out, table, decoded.bad, option.image_size, background)


if __name__ == "__main__":
    main()
