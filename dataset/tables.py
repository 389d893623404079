"""A set of images of one's own as a table: a file, a split, a label y and bias labels b for every image, all by name.

`read_table` takes a folder with a table (dataset/csv_tables.py), or of folders alone (dataset/trees.py). What is wrong
with it ends in one line that names the file and the row or folder.
"""

import dataclasses
import hashlib
import re
from pathlib import Path

import numpy as np

from common.errors import UserError
from dataset.batches import IGNORE_INDEX
from dataset.csv_tables import FLAGS, from_tables, listed, sources
from dataset.trees import SPLITS, read_tree

MISSING = {"", "nan", "na", "n/a", "<na>", "null", "#n/a", "#n/a n/a"}  # cells that hold no value, in lower case
MOST_CLASSES, MOST_BIASES = 1000, IGNORE_INDEX  # a bias label of IGNORE_INDEX means that there is none
WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
SHARES = (0.7, 0.1, 0.2)  # of training, validation and test where nothing says which is which


@dataclasses.dataclass(frozen=True)
class Table:
    """N images, their labels and bias labels. Arrays are NumPy's; names are what the user wrote."""

    source: str  # the file or folder it was read from
    names: list  # of the images, as given
    paths: list  # of str
    places: list  # of str: "DIR/metadata.csv, row 17: x.png", or the path in a folder tree
    split: np.ndarray  # int64 (N,): 0 training, 1 validation, 2 test
    label: np.ndarray  # int64 (N,), 0 .. number of classes - 1
    bias: np.ndarray  # int64 (N, biases), 0 .. number of values - 1, or IGNORE_INDEX where there is none (val and test)
    classes: tuple  # of str
    biases: tuple  # of str: the names of the biases, often one
    values: tuple  # for each bias, a tuple of str
    notes: tuple  # of str: what was decided or left out in reading
    target: str | None  # the column of the label; None in a folder tree
    content: np.ndarray | None = None  # uint32 (N,): CRC-32 of every file, once the images were read

    def __len__(self):
        return len(self.label)

    def where(self, split):
        """The positions of the images of a split (0, 1 or 2), int64."""
        return np.flatnonzero(self.split == split)

    def take(self, positions, *notes):
        """The table of some images alone, with all classes and values. Raises UserError as read_table does."""
        arrays = ("split", "label", "bias") + (() if self.content is None else ("content",))
        part = dataclasses.replace(
            self,
            **{f: [getattr(self, f)[p] for p in positions] for f in ("names", "paths", "places")},
            **{f: getattr(self, f)[positions] for f in arrays},
            notes=(*self.notes, *notes),
        )
        check(part)
        return part

    def fingerprint(self):
        """SHA-256 of the names, splits, labels and biases, and of what the files hold, once they were read."""
        names = (self.classes, self.biases, self.values, False, self.names)  # False: once an option, in all records
        digest = hashlib.sha256(repr(names).encode())
        for array in (self.split, self.label, self.bias, [] if self.content is None else self.content):
            digest.update(np.ascontiguousarray(array, "<i8").tobytes())
        return digest.hexdigest()


def read_table(folder, target=None, bias=(), image=None, seed=0):
    """Reads a folder of images, or a .csv file, as a Table.

    target, bias, image: columns of the label, of the biases and of the image, else those of RECOGNISED; no bias column:
    no bias. seed: of the split by group where the data has no split. Raises UserError.
    """
    folder, bias = Path(folder).expanduser(), (bias,) if isinstance(bias, str) else tuple(bias or ())
    if not folder.exists():
        raise UserError(f"{folder} does not exist; give the folder of your images, or a metadata.csv")
    wanted = {"image": (image,) if image else (), "label": (target,) if target else (), "bias": bias}
    if tables := sources(folder):
        return make_table(*from_tables(folder, tables, wanted), seed)
    if target or image or bias not in ((), ("bias",)):
        flag = next(f"{FLAGS[role]} {' '.join(names)}" for role, names in wanted.items() if names)
        raise UserError(f"{folder} has no metadata.csv, so {flag} names nothing: its folders are labels and biases")
    rows, notes = read_tree(folder)
    return make_table(str(folder), None, ["bias"] if any(row.biases[0] for row in rows) else [], rows, notes, seed)


def make_table(source, target, biases, rows, notes, seed=0):
    """The Table of a list of Row, whose labels and biases become numbers. Raises UserError.

    target: the label's column, None for folders. biases: the names of those of each row that count.
    """
    names, paths, places, splits, labels, texts = map(list, zip(*rows, strict=True))
    label, classes = encode(source, places, labels, target or "class", MOST_CLASSES, [False] * len(rows))
    heads = zip(biases, zip(*texts, strict=True), strict=False)
    coded = [encode(source, places, head, name, MOST_BIASES, splits) for name, head in heads]
    bias = np.stack([codes for codes, _ in coded], 1) if coded else np.zeros((len(rows), 0), np.int64)
    if splits[0] is None:
        splits = split_by_group(names, np.column_stack([label, bias]), seed)
        shares = " / ".join(f"{100 * share:.0f} %" for share in SHARES)
        notes = [*notes, f"nothing says which images are for the test: split {shares} within groups, with seed {seed}"]
    values = tuple(values for _, values in coded)
    places = [path if place == path else f"{place}: {name}" for name, path, place, *_ in rows]
    given = (source, names, paths, places, np.array(splits, np.int64), label, bias, classes)
    table = Table(*given, tuple(biases), values, tuple(notes), target)
    check(table)
    return table


def encode(source, where, texts, name, most, may_lack):
    """A column's texts as numbers: (int64 (N,), names in order). Whole numbers, 1.0 among them, are ordered as numbers.

    where: what each row is called. may_lack: whether each may be missing, which becomes IGNORE_INDEX. Raises UserError.
    """
    missing = [text.casefold() in MISSING for text in texts]
    for place, text, lacks, may in zip(where, texts, missing, may_lack, strict=True):
        if lacks and not may:
            said = f" ({text} counts as missing)" if text else ""
            raise UserError(f"{place}, {name} has no value{said}; fill it in, or remove this image")
    known = {text for text, lacks in zip(texts, missing, strict=True) if not lacks}
    numbers = bool(known) and all(map(WHOLE.fullmatch, known))
    canonical = {text: text.split(".")[0] if numbers else text for text in known}
    names = sorted(set(canonical.values()), key=(lambda text: (int(text), text)) if numbers else str)
    if len(names) > most:
        raise UserError(
            f"{source}, {name} has {len(names)} values ({listed(names, 3)}), at most {most} can be told apart; name "
            "another column, or make bins of it"
        )
    code = {text: names.index(canonical[text]) for text in known}
    codes = [IGNORE_INDEX if lacks else code[text] for text, lacks in zip(texts, missing, strict=True)]
    return np.array(codes, np.int64), tuple(names)


def split_by_group(names, groups, seed):
    """Splits by SHARES within every group: int64 (N,), 0, 1 or 2. Every group keeps at least one training image.

    It depends on the names' order, not on that of the rows. groups: int64 (N, columns).
    """
    split = np.zeros(len(names), np.int64)
    rng = np.random.default_rng(seed)
    _, member = np.unique(groups, axis=0, return_inverse=True)
    for group in range(member.max() + 1):
        positions = sorted(np.flatnonzero(member.ravel() == group), key=lambda i: names[i])
        order = rng.permutation(positions)
        test = min(round(SHARES[2] * len(order)), len(order) - 1)
        val = min(round(SHARES[1] * len(order)), len(order) - 1 - test)
        split[order[:test]], split[order[test : test + val]] = 2, 1
    return split


def check(table):
    """Raises UserError for what cannot be trained or evaluated on."""
    train = table.split == 0
    for split, word in ((0, "training"), (2, "test")):
        if not (table.split == split).any():
            advice = "call the validation images test" if split and (table.split == 1).any() else "name some"
            raise UserError(f"{table.source} has no {word} images (split {split}, or {SPLITS[split]}); {advice}")
    if len(table.classes) == 1:
        raise UserError(f"{table.source} has one class only, {table.classes[0]}; at least two are needed")
    for label, name in enumerate(table.classes):
        if (mine := table.label == label).any() and not (mine & train).any():
            first = table.places[np.flatnonzero(mine)[0]]
            raise UserError(f"the class {name} has no training image ({first}); add some, or leave this class out")
    for i, name in enumerate(table.biases):
        seen = set(table.bias[train, i].tolist())
        if len(seen) == 1:
            raise UserError(
                f"{table.source}: all training images have the bias {name} = {table.values[i][min(seen)]}, so there is "
                "none to unlearn; name another column with --bias"
            )
