"""Images of one's own as train.py takes them.

python -m dataset.images DIR      # a look at them: is there a bias, what is broken? (dataset/inspect.py)
"""

import dataclasses

import numpy as np
import torch

from common import Flag, Parser, given, location, number, path, seed
from common.errors import UserError, exits
from dataset.base import AUGMENT_FLAG, BY_IMAGE, DATA_DIR, METHODS_BY_IMAGE, DataSet
from dataset.inspect import draw_sheet, overview, troubles
from dataset.photographs import MEAN, STD, Photographs, room_for
from dataset.pictures import BLACK, color, decode, rgb, too_dark
from dataset.tables import read_table

DRY_RUN = 64  # images of each split
FINE_TUNING_LR = 0.0002  # of weights that are trained already, chosen on validation images (docs/LNTL_PLUS.md)


def load(table, size, device="cpu", augment="none", skip_broken=False, background=BLACK, show=True):
    """Reads a Table's images: ({split: Photographs} of those that it has, the Table of what can be read).

    augment: of the training images; skip_broken: leaves out images that cannot be read, which else raise UserError
    with the row.
    """
    images = room_for((len(table), size, size, 3))
    decoded = decode(table.paths, size, images.__setitem__, background, show=show)
    if decoded.bad and not skip_broken:
        position, reason = next(iter(decoded.bad.items()))
        row = "" if table.places[position] == table.paths[position] else f"{table.places[position]}: "
        more = f" ({len(decoded.bad)} such images; python -m dataset.images names them)" if len(decoded.bad) > 1 else ""
        raise UserError(f"{row}{reason}{more}, or give --skip_broken")
    table, good = with_content(table, decoded), np.arange(len(table))
    if decoded.bad:
        good = np.setdiff1d(good, list(decoded.bad))
        table = table.take(good, f"left out: {len(decoded.bad)} images that cannot be read (--skip_broken)")
    images = torch.from_numpy(images).to("cpu" if isinstance(images, np.memmap) else device)
    parts = {}
    for split in np.unique(table.split).tolist():
        mine = table.where(split)
        how = {"device": device, "augment": "none" if split else augment, "position": good[mine]}
        parts[split] = Photographs(images, table.label[mine], table.bias[mine], **how)
    return parts, table


def with_content(table, decoded):
    """The table with what `decode` found of its files."""
    notes = too_dark(np.delete(decoded.brightest, list(decoded.bad)))
    return dataclasses.replace(table, content=decoded.content, notes=(*table.notes, *notes))


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
            help="columns of the bias labels, else b, bias, a, place, spurious, attribute",
        ),
        Flag("image", given, help="column of the image's file; else filename, image, path, ...", metavar="COLUMN"),
        Flag("image_size", number(int, 8, 1024), 224, "side in pixels to which images are scaled and cut"),
        Flag("init", path, "random", help="weights of a network of torchvision: imagenet, a file, or random"),
        Flag("background", color, "black", "what transparent places show: a colour's name or #RRGGBB"),
        AUGMENT_FLAG,
        Flag("skip_broken", action="store_true", help="leave out images that are missing or cannot be read"),
        Flag("data_seed", seed, 0, "seed of the split where the data has none"),
    )  # fmt: skip
    networks = ("resnet18", "paper", "simple_conv")
    any_network = True
    map_bias = False
    class_word = "class"
    one_is_a_batch = False
    images_an_epoch = 1280  # 40 batches of 32
    mean, std = MEAN, STD

    @classmethod
    def check(cls, option):
        if option.data_dir is None:
            raise UserError("--dataset images needs --data_dir DIR, a folder with a metadata.csv or with folders")
        if option.init != "random" and option.network in ("paper", "simple_conv"):
            raise UserError(f"--init is for networks of torchvision; --network {option.network} begins at random")

    @classmethod
    def defaults(cls, option):
        return BY_IMAGE | ({} if option.init in (None, "random") else {"lr": FINE_TUNING_LR})

    @classmethod
    def method_defaults(cls, option):
        return METHODS_BY_IMAGE

    @classmethod
    def setting(cls, option):
        return str(option.data_dir)

    def __init__(self, option, device, grey=False, pixels=False):
        table = read_table(option.data_dir, option.target, option.bias, option.image, option.data_seed)
        if not table.biases:
            raise UserError(f"{table.source} has no bias label; name its column with --bias")
        if getattr(option, "dry_run", False):
            few = np.concatenate([some_of(table, split) for split in range(3)])
            table = table.take(np.sort(few), f"dry run: {len(few)} images alone")
            self.images_an_epoch = 0
        how = {"skip_broken": option.skip_broken, "background": rgb(option.background)}
        parts, self.table = load(table, option.image_size, device, option.augment, **how)
        self.size, self.classes = option.image_size, self.table.classes
        self.biases, self.values = self.table.biases, self.table.values
        self.found = {"target": self.table.target, "bias": list(self.biases)}
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
    table = with_content(table, decoded)
    print(overview(table), "", sep="\n")
    print("\n".join(troubles(table, decoded.bad)) or "all images can be read, none is there twice")
    if option.out:
        draw_sheet(option.out, table, decoded.bad, option.image_size, background)


if __name__ == "__main__":
    main()
