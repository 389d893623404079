"""What a data set is to the trainer: its flags, its names, its batches, and what its settings are called."""

import hashlib

import torch

from common import Flag
from common.errors import UserError
from dataset.batches import AUGMENT, MEAN, STD

# Defaults where bias labels belong to images, chosen on validation images (docs/LNTL_PLUS.md): of all methods, of one.
BY_IMAGE = {"optimizer": "adam", "lr": 0.002, "lr_decay_period": 0, "batch_size": 32, "max_step": 24}
BY_IMAGE |= {"augment": ["affine"], "select": "worst_group"}
METHODS_BY_IMAGE = {
    "lntl": {"lambda_": 0.01, "mu": 0.1, "sampling": "balanced"},
    "lntl_plus": {"lambda_": 0.0, "mu": 0.0, "prior": "drawn", "smoothing": 0.0, "sampling": "half"},
}

DATA_DIR = "folder of the data: the released files (unset, it is built), or your images"  # help of --data_dir
AUGMENT_HELP = "of training images, any of: mirrored, a random part, turned to 20 degrees, moved and zoomed by a tenth"
AUGMENT_FLAG = Flag("augment", choices=AUGMENT, default="none", nargs="+", help=AUGMENT_HELP)


class DataSet:
    """A data set is a subclass with a `name`, in a file of this folder. An instance is one that has been loaded.

    It is made by (resolved options, device, grey=False, pixels=False). grey: for the method that sees no colour.
    pixels: for a method that mixes images: x are tensors, never ColoredMasks.
    train: a *part*, of dataset.batches or with the same methods: `len`, `label` (int64 (N,), on the device),
        `image_bias` (int64 (N, heads), or None where bias labels belong to positions), `stream(indices)`,
        `batch(handle, augmented=False)` -> (x, y, b), `subset(index)`.
    test: {name of its accuracy in records: part}, the first of which is the one that is reported.
    """

    name = ""
    help = ""  # for train.py --help
    flags = ()  # common.Flag; unset and not its own, a flag's value is None
    usual_method = "lntl_plus"  # of train.py where none is named
    networks = ("paper",)  # values of --network that fit; the first is the default
    any_network = False  # whether networks of torchvision fit as well
    classes = tuple(map(str, range(10)))  # names of the labels 0, 1, ...
    biases = ("red", "green", "blue")  # name of each bias label, a head of h
    values = (tuple(f"{32 * k} to {32 * k + 31}" for k in range(8)),) * 3  # for each bias, names of its labels
    map_bias = True  # whether bias labels belong to positions of f's map, (B, heads, h, w), or images, (B, heads, 1, 1)
    held_out = None  # a part that settings are chosen by, where the data set has one of its own
    images_an_epoch = 0  # fewest of an epoch: of fewer training images it has several passes
    one_is_a_batch = True  # whether networks can be trained on one image (BatchNorm on a map of one position cannot)
    has_grey = False  # whether --method gray fits
    class_word = "digit"  # in figures
    mean_colors = None  # uint8 (K, 3): of the classes in training, where they have one
    found = {}  # noqa: RUF012  {"target": column, "bias": [column, ...]} where they were found in the data
    size, mean, std = 28, MEAN, STD  # of `inputs`

    @classmethod
    def check(cls, option):
        """Raises UserError for what cannot go together."""

    @classmethod
    def defaults(cls, option):
        """{common flag: value} where this data set has another default."""
        return {}

    @classmethod
    def method_defaults(cls, option):
        """{method: {flag: value}} where another default fits than the method's own."""
        return {}

    @classmethod
    def setting(cls, option):
        """The data set and its setting in words, for the log and the title of a figure."""
        return cls.name

    def class_names(self):
        """Names of the classes for a figure; None where they are 0 to K - 1."""
        return None if self.classes == tuple(map(str, range(len(self.classes)))) else self.classes

    def overview(self):
        """What the log says of it before the training, in lines."""
        return ""

    def names(self):
        """{"classes": [name, ...], "biases": {name: [value, ...]}}: what weights files and results call them."""
        biases = zip(self.biases, map(list, self.values), strict=True)
        return {"classes": list(self.classes), "biases": dict(biases)}

    def inputs(self):
        """How images are prepared for f: {"size": pixels, "mean": [3 floats], "std": [3]}, of values in [0, 1]."""
        return {"size": self.size, "mean": list(self.mean), "std": list(self.std)}

    def test_files(self):
        """What the images of the reported test are called, in its order, for a table of predictions."""
        return [f"test/{i}" for i in range(len(next(iter(self.test.values()))))]

    @property
    def heads(self):
        """The number of values of each bias."""
        return tuple(map(len, self.values))

    def fingerprint(self):
        """SHA-256 (hex) of the images, labels and bias labels of all parts: the same data has the same, anywhere.

        Of tensors of whole numbers alone: floats may differ in the last bits from machine to machine.
        """
        digest = hashlib.sha256()
        for title, part in {"train": self.train, **self.test}.items():
            for name, value in sorted(vars(part).items()):
                if isinstance(value, torch.Tensor) and value.dim() and not value.is_floating_point():
                    digest.update(f"{title} {name} {value.dtype} {tuple(value.shape)};".encode())
                    digest.update(value.detach().cpu().contiguous().numpy())
        return digest.hexdigest()

    def unbiased_holdout(self, held_out, option):
        """Held-out images whose bias is made as that of the test, to choose settings by; None where that cannot be."""


def hold_out(data, option):
    """(data without `option.holdout` images, those alone or None): the same ones for every run on this data seed."""
    if not option.holdout:
        return data, None
    if len(data) - option.holdout < 2:
        raise UserError(f"--holdout {option.holdout} leaves less than two of the {len(data)} training images")
    shuffled = torch.randperm(len(data), generator=torch.Generator().manual_seed(option.data_seed or 0))
    return data.subset(shuffled[option.holdout :].sort().values), data.subset(shuffled[: option.holdout])
