"""One's own images as train.py takes them: photographs with a label and a bias label each, from a table or folders."""

import numpy as np

from common import Flag, given, number, path, pattern, seed
from common.errors import UserError
from common.flags import LAYERS, RESNETS
from dataset.base import BY_IMAGE, DataSet
from dataset.image_batches import AUGMENT, load
from dataset.images import overview, same_bytes, troubles
from dataset.pictures import color, rgb, usable_cores
from dataset.tables import COLOUR, read_table

DRY_RUN = 64  # images of each split


class ImageSet(DataSet):
    """DIR/metadata.csv, CelebA's pair of lists, or DIR/train/CLASS/BIAS/* (dataset/tables.py).

    Settings are chosen by its validation images, if it has some, never by the test.
    """

    name = "images"
    help = "your own: a folder with a metadata.csv, or of folders"
    flags = (
        Flag("data_dir", path, help="folder of the data: the released files (unset, it is built), or your images"),
        Flag("target", given, help="column of the label; else y, label or target", metavar="COLUMN"),
        Flag(
            "bias", given, nargs="+", metavar="COLUMN",
            help="columns of the bias labels, else b, bias, a, place, spurious, attribute; colour: of the pixels",
        ),
        Flag("image_size", number(int, 8, 1024), 224, "side in pixels to which images are scaled and cut"),
        Flag("split_at", choices=LAYERS, default="layer2", help="f is a ResNet up to this layer, g the rest"),
        Flag(
            "bias_predictor",
            choices=("linear", "conv"),
            default="linear",
            help="h of a ResNet: a linear layer, or a convolution with BatchNorm before it",
        ),
        Flag("init", path, "random", help="weights of a ResNet: imagenet (downloaded), a file, or random"),
        Flag("init_sha256", pattern(r"[0-9a-f]{64}", "SHA-256 in lower case"), help="of the file of --init [recorded]"),
        Flag("background", color, "black", "what transparent places show: a colour's name, #RRGGBB or R,G,B"),
        Flag("augment", choices=AUGMENT, default="none", help="of training images: mirrored, or random crops as well"),
        Flag("skip_broken", action="store_true", help="leave out images that cannot be read"),
        Flag("data_seed", seed, 0, "seed of the split where the data has none"),
        Flag("workers", number(int, 0, 256), None, "processes that read the images of a set too large for the memory"),
    )  # fmt: skip
    networks = ("resnet18", *RESNETS[1:], "paper", "simple_conv")
    class_word = "class"
    one_is_a_batch = False

    @classmethod
    def resolve(cls, option):
        if option.split_at not in (None, "layer2") and not option.network.startswith("resnet"):
            raise UserError(f"--split_at is for ResNets; --network {option.network} has an f of its own")
        if option.bias_predictor not in (None, "linear") and not option.network.startswith("resnet"):
            raise UserError(f"--bias_predictor is for ResNets; --network {option.network} has an h of its own")
        if option.data_dir is None:
            raise UserError("--dataset images needs --data_dir DIR, a folder with a metadata.csv or with folders")
        for flag in cls.flags:
            if getattr(option, flag.name, None) is None:
                setattr(option, flag.name, False if flag.action else flag.default)
        if option.init != "random" and not option.network.startswith("resnet"):
            raise UserError(f"--init is for ResNets; --network {option.network} begins with random weights")
        if option.init_sha256 and option.init in ("random", "imagenet"):
            raise UserError("--init_sha256 is of a file that --init names; give both, or none")

    @classmethod
    def settings(cls, option):
        of_pixels = len(option.bias or ()) == 1 and option.bias[0].casefold() in COLOUR
        return {} if of_pixels else BY_IMAGE  # labels of positions are the paper's own

    @classmethod
    def setting(cls, option):
        return str(option.data_dir)

    def __init__(self, option, device, grey=False):
        table = read_table(option.data_dir, option.target, tuple(option.bias or ()), option.data_seed)
        if getattr(option, "dry_run", False):
            few = np.concatenate([some_of(table, split) for split in range(3)])
            table = table.take(np.sort(few), f"dry run: {len(few)} images alone")
        size = option.image_size
        workers = option.workers if option.workers is not None else max(1, min(8, usable_cores() - 1))
        parts, self.table = load(
            table, size, device, option.augment, option.skip_broken, map_size(option.network, option.split_at, size),
            seed=option.random_seed or 0, workers=workers, background=rgb(option.background),
        )  # fmt: skip
        self.classes = self.table.classes
        self.map_bias = self.table.colour
        if not self.map_bias:
            if not self.table.biases:
                raise UserError(
                    f"{self.table.source} has no bias label; name its column with --bias, or take --bias colour, which "
                    "makes the labels of the pixels' colours"
                )
            self.biases, self.values = self.table.biases, self.table.values
            option.bias = list(self.biases)  # as it was found, for the record
        option.target = self.table.target
        self.train, self.held_out = parts[0], parts.get(1)
        self.test = {"test_accuracy": parts[2]}

    def fingerprint(self):
        return self.table.fingerprint()

    def overview(self):
        """Counts by group, how well the bias alone tells the label, and images that are there twice."""
        return "\n".join([overview(self.table), *troubles(self.table, alike=same_bytes(self.table))])


def some_of(table, split):
    """The positions of DRY_RUN random images of a split, int64; more where that leaves out a class or a bias value."""
    mine = np.random.default_rng(0).permutation(table.where(split))
    kept = np.arange(min(DRY_RUN, len(mine)))
    for values in (table.label[mine], *table.bias[mine].T):
        kept = np.union1d(kept, np.unique(values, return_index=True)[1])
    return mine[kept]


def map_size(network, split_at, size):
    """(h, w) of f's map for images of `size` pixels."""
    if network == "paper":
        side = (size + 1) // 2
    elif network == "simple_conv":
        side = size
    else:
        side = -(-size // (4 << LAYERS.index(split_at)))
    return side, side
