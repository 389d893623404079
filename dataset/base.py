"""What a data set is to the trainer: its flags, its names, its batches, and what its settings are called."""

import hashlib

import torch

from common.errors import UserError

# Defaults of methods where bias labels belong to images: chosen on held-out images of two sets (docs/IMAGES.md).
BY_IMAGE = {"lntl": {"lambda_": 1.0, "mu": 1.0}, "lntl_plus": {"mu": 0.01}}


class DataSet:
    """A data set is a subclass with a `name`, in a file of this folder. An instance is one that has been loaded.

    train: data as of dataset.batches, with `stream(indices)` and `batch(handle)` -> (x, y, b).
    test: {name of its accuracy in records: data}, the first of which is the one that is reported.
    """

    name = ""
    help = ""  # for train.py --help
    flags = ()  # common.Flag; unset and not its own, a flag's value is None
    networks = ("paper",)  # values of --network that fit; the first is the default
    classes = tuple(map(str, range(10)))  # names of the labels 0, 1, ...
    biases = ("red", "green", "blue")  # name of each bias label, a head of h
    values = (
        tuple(f"{32 * k} to {32 * k + 31}" for k in range(8)),
    ) * 3  # for each bias, names of the labels 0, 1, ...
    map_bias = True  # whether bias labels belong to positions of f's map, (B, heads, h, w), or images, (B, heads, 1, 1)
    held_out = None  # data that settings are chosen by, where the data set has some of its own
    one_is_a_batch = True  # whether networks can be trained on one image (BatchNorm on a map of one position cannot)
    has_grey = False  # whether --method gray fits
    class_word = "digit"  # in figures
    mean_colors = None  # uint8 (K, 3): of the classes in training, where they have one

    @classmethod
    def resolve(cls, option):
        """Fills in its own flags, and refuses what cannot go together. Raises UserError."""

    @classmethod
    def settings(cls, option):
        """{method: {flag: default}} where another default fits than the method's own. option: after `resolve`."""
        return {}

    @classmethod
    def setting(cls, option):
        """The data set and its setting in words, for the log and the title of a figure."""
        return cls.name

    def __init__(self, option, device, grey=False):
        """Loads it by resolved options. grey: for the method that sees no colour. Raises UserError."""
        raise NotImplementedError

    @classmethod
    def of(cls, train, test=None):
        """A data set of data that is there already. test: {name: data}."""
        made = object.__new__(cls)
        made.train, made.test = train, test or {}
        return made

    def class_names(self):
        """Names of the classes for a figure; None where they are 0 to K - 1."""
        return None if self.classes == tuple(map(str, range(len(self.classes)))) else self.classes

    def overview(self):
        """What the log says of it before the training, text of any number of lines."""
        return ""

    def names(self):
        """{"classes": [name, ...], "biases": {name: [value, ...]}}: what weights files and results call them."""
        biases = zip(self.biases, map(list, self.values), strict=True)
        return {"classes": list(self.classes), "biases": dict(biases)}

    @property
    def heads(self):
        """The number of values of each bias."""
        return tuple(map(len, self.values))

    def fingerprint(self):
        """SHA-256 (hex) of the images, labels and bias labels of all parts: the same data has the same, anywhere.

        Of what a part holds as tensors of whole numbers; what is made of them (a palette of floats) may differ in the
        last bits from machine to machine.
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
    if (left := len(data) - option.holdout) < 2:
        few = "one" if left == 1 else "none"
        raise UserError(f"--holdout {option.holdout} leaves {few} of the {len(data)} training images; give less")
    shuffled = torch.randperm(len(data), generator=torch.Generator().manual_seed(option.data_seed or 0))
    return data.subset(shuffled[option.holdout :].sort().values), data.subset(shuffled[: option.holdout])
