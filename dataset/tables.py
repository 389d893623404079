"""A set of images of one's own as a table: a file, a split, a label y and bias labels b for every image, all by name.

`read_table` takes a folder: one with a metadata.csv, CelebA's pair of lists, or a tree of folders (csv_tables.py,
folder_trees.py). Everything that is wrong with it ends in one line that names the file and the row or folder.
"""

import dataclasses
import hashlib
import os
import re
from pathlib import Path

import numpy as np

from common.errors import UserError
from dataset.batches import IGNORE_INDEX
from dataset.csv_tables import (
    PREDICTIONS,
    column_recognised,
    find_tables,
    listed,
    read_celeba,
    read_lines,
    read_table_file,
)
from dataset.folder_trees import SPLIT_WORDS, SPLITS, folders_in, read_tree

COLOUR = ("colour", "color")  # --bias colour: labels from the pixels, as the paper makes them
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
    places: list  # of str: "row 17", or "" in a folder tree
    split: np.ndarray  # int64 (N,): 0 training, 1 validation, 2 test
    label: np.ndarray  # int64 (N,), 0 .. number of classes - 1
    bias: np.ndarray  # int64 (N, biases), 0 .. number of values - 1, or IGNORE_INDEX where there is none (val and test)
    classes: tuple  # of str
    biases: tuple  # of str: the names of the biases, often one
    values: tuple  # for each bias, a tuple of str
    missing: np.ndarray  # bool (N,): whether there is no such file
    doubled: tuple  # of (position, position of the first): listed twice
    notes: tuple  # of str: what was decided or left out in reading
    target: str | None  # the column of the label; None in a folder tree
    colour: bool = False  # the bias labels come from the pixels
    content: np.ndarray | None = None  # uint32 (N,): CRC-32 of every file, once the images were read

    def __len__(self):
        return len(self.label)

    def where(self, split):
        """The positions of the images of a split (0, 1 or 2), int64."""
        return np.flatnonzero(self.split == split)

    def place(self, position):
        """Where an image stands, for a message: "DIR/metadata.csv, row 17: x.png" or its path."""
        row = self.places[position]
        return f"{self.source}, {row}: {self.names[position]}" if row else self.paths[position]

    def take(self, positions, *notes):
        """The table of some images alone, with all classes and values. Raises UserError as read_table does."""
        positions = np.asarray(positions, np.int64)
        new = {int(p): i for i, p in enumerate(positions)}
        part = dataclasses.replace(
            self,
            **{f: [getattr(self, f)[p] for p in positions] for f in ("names", "paths", "places")},
            **{f: getattr(self, f)[positions] for f in ("split", "label", "bias", "missing")},
            content=None if self.content is None else self.content[positions],
            doubled=tuple((new[a], new[b]) for a, b in self.doubled if a in new and b in new),
            notes=(*self.notes, *notes),
        )
        check(part)
        return part

    def fingerprint(self):
        """SHA-256 of the names, splits, labels and biases, and of what the files hold, once they were read."""
        digest = hashlib.sha256(repr((self.classes, self.biases, self.values, self.colour, self.names)).encode())
        for array in (self.split, self.label, self.bias, [] if self.content is None else self.content):
            digest.update(np.ascontiguousarray(array, "<i8").tobytes())
        return digest.hexdigest()


def read_table(folder, target=None, bias=(), seed=0):
    """Reads a folder of images, or a .csv file, as a Table.

    target: the label's column [y, label or target]; bias: the columns of the bias labels [bias, b, a, place, spurious
    or attribute; none of them: no bias], or ("colour",) for labels from the pixels; seed: of the split by group where
    the data has none. Raises UserError.
    """
    folder, bias, notes = Path(folder).expanduser(), (bias,) if isinstance(bias, str) else tuple(bias or ()), []
    if not folder.exists():
        raise UserError(f"{folder} does not exist; give the folder of your images, or a metadata.csv")
    colour = len(bias) == 1 and bias[0].casefold() in COLOUR
    how, tables = sources(folder)
    if how == "tree":
        rows, biases, notes = tree_rows(folder, target, bias, colour)
        source, label_name = str(folder), "class folder"
    else:
        source, (label_name, *biases), rows, notes = table_rows(how, tables, folder, target, None if colour else bias)
        header = [name for path, *_ in tables for name in read_lines(path[0] if how == "celeba" else path).header]
        if colour and any(name.casefold() in COLOUR for name in header):
            notes.append(f"--bias {bias[0]} takes the colours of the pixels, not the column of that name")
    return build(source, rows, label_name, tuple(biases), notes, colour, seed)


def table_rows(how, tables, folder, target, biases):
    """(source, names of the columns of the label and the biases, rows, notes) of a table, or of one for each split.

    Of several, the one of the test or validation images may lack the biases. Raises UserError.
    """
    rows, notes, named = [], [], None
    for path, root, split in tables:
        lacks = bool(named and split) and not set(named[1:]) <= set(read_lines(path).header)
        if how == "celeba":
            lines, columns, found, said = read_celeba(root, *path, target, biases)
        else:
            lines, columns, found, said = read_table_file(path, root, target, None if lacks else biases, split)
        own = [lines.header[i] for i in (columns["label"], *columns["bias"])]
        named = named or own
        if own != (named[:1] if lacks else named):
            raise UserError(f"{lines.source} has other columns than {tables[0][0]}; give both the same")
        place = f"{path.relative_to(folder)}, " if len(tables) > 1 else ""
        rows += [r._replace(place=place + r.place, bias=r.bias or ("",) * (len(named) - 1)) for r in found]
        notes += said
    used = [f"label {named[0]}", *(f"bias {name}" for name in named[1:])]
    used += [f"split {lines.header[columns['split']]}"] if columns["split"] is not None else []
    notes = [f"columns: image {lines.header[columns['image']]}, {', '.join(used)}", *notes]
    return lines.source if len(tables) == 1 else str(folder), named, rows, notes


def sources(folder):
    """Where the images of a folder are named: ("tree", []), or ("table" or "celeba", [(path, root, split or None)])."""
    if folder.is_file():
        if folder.suffix.lower() not in (".csv", ".tsv"):
            raise UserError(f"{folder} is neither a folder nor a .csv file; give the folder of your images")
        return "table", [(folder, folder.parent, None)]
    found = find_tables(folder)
    if found["metadata"]:
        return "table", [(found["metadata"], folder, None)]
    if found["celeba"]:
        return "celeba", [(found["celeba"], folder, None)]
    if found["parts"]:
        return "table", [(path, path.parent, split) for split, path in sorted(found["parts"].items())]
    if found["refused"]:
        raise UserError(f"{found['refused'][0]} cannot be read; write its columns as metadata.csv")
    has_splits = any(SPLIT_WORDS.get(name.casefold()) is not None for name in folders_in(folder) if name.isalpha())
    found["other"] = [path for path in found["other"] if not folders_in(folder) or names_images(path)]
    if found["other"] and not has_splits:
        if len(found["other"]) > 1:
            names = listed([path.name for path in found["other"]], 5)
            raise UserError(f"{folder} has no metadata.csv, and several tables ({names}); give one of them itself")
        return "table", [(found["other"][0], folder, None)]
    return "tree", []


def names_images(path):
    """Whether a .csv file is a table of images: beside folders of images, there may be notes, and predictions."""
    try:
        lines = read_lines(path)
        return tuple(lines.header) != PREDICTIONS and column_recognised(lines, "image", [], None) is not None
    except UserError:
        return False


def tree_rows(folder, target, bias, colour):
    """The rows of a folder tree, the names of its biases, and notes. Raises UserError."""
    named = bias if not colour else ()
    if target or len(named) > 1 or (named and named != ("bias",)):
        flag = f"--target {target}" if target else f"--bias {' '.join(named)}"
        raise UserError(f"{folder} has no metadata.csv, so {flag} names nothing: its folders are the labels and biases")
    rows, biases, notes = read_tree(folder, without_bias=colour)
    if named and not biases:
        raise UserError(f"{folder} has no bias folders; put the images into CLASS/BIAS/, or give --bias colour")
    return rows, biases, notes


def build(source, rows, label_name, biases, notes, colour=False, seed=0):
    """A Table of rows (folder_trees.Row), whose labels and biases become numbers. Raises UserError."""
    named = label_name == "class folder"
    label, classes, said = encode(source, rows, [r.label for r in rows], label_name, named, MOST_CLASSES)
    columns, values, notes = [], [], [*notes, *said]
    for i, name in enumerate(biases):
        column, names, said = encode(source, rows, [r.bias[i] for r in rows], name, named, MOST_BIASES, True)
        columns, values, notes = [*columns, column], [*values, names], [*notes, *said]
    bias = np.stack(columns, 1) if columns else np.zeros((len(rows), 0), np.int64)
    names = [r.name for r in rows]
    if rows[0].split is None:
        split = split_by_group(names, np.column_stack([label, bias]), seed)
        shares = " / ".join(f"{100 * share:.0f} %" for share in SHARES)
        notes.append(f"nothing says which images are for the test: split {shares} within every group, with seed {seed}")
    else:
        split = np.array([r.split for r in rows])
    status = [file_status(r.path) for r in rows]
    keys = [s and ((s.st_dev, s.st_ino) if s.st_ino else r.path) for s, r in zip(status, rows, strict=True)]
    first, doubled = {}, []
    for i, key in enumerate(keys):
        key = key or os.path.normpath(rows[i].path)
        if key in first:
            doubled.append((i, first[key]))
        first.setdefault(key, i)
    table = Table(
        source, names, [r.path for r in rows], [r.place for r in rows], split.astype(np.int64), label, bias, classes,
        biases, tuple(values), np.array([s is None for s in status]),
        tuple(doubled), tuple(notes), None if named else label_name, colour,
    )  # fmt: skip
    check(table)
    return dataclasses.replace(table, notes=(*table.notes, *remarks(table)))


def file_status(path):
    """os.stat of a file, or None where there is none."""
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def encode(source, rows, texts, name, named, most, may_lack=False):
    """Turns a column's texts into numbers: (int64 (N,), names in order, notes).

    Whole numbers, 1.0 among them, are ordered as numbers, everything else as text. named: the column is a level of
    folders; may_lack: validation and test may have no value, which becomes IGNORE_INDEX. Raises UserError.
    """
    what = name if named else f"column {name}"
    for row, text in zip(rows, texts, strict=True):
        if is_missing(text, named) and not (may_lack and row.split):
            advice = "only test and validation images may lack one" if may_lack else "fill it in, or remove the row"
            raise UserError(f"{source}, {row.place or row.name}, {what} has no value; {advice}")
    known = {text for text in texts if not is_missing(text, named)}
    numbers = {text for text in known if WHOLE.fullmatch(text)} if not named else {t for t in known if t.isdecimal()}
    if known and not named and len(numbers) < len(known) and all(is_number(text) for text in known):
        text = min(known - numbers)
        row = rows[texts.index(text)]
        raise UserError(
            f"{source}, {row.place}, {what}: {text} is no class; labels are words or whole numbers: make bins of the"
            " values, or name another column"
        )
    all_whole = bool(known) and numbers == known
    canonical = {t: str(int(t.split(".")[0])) if all_whole and not named else t for t in known}
    names = sorted(set(canonical.values()), key=(lambda t: (int(t), t)) if all_whole else str)
    if len(names) > most:
        some = ", ".join(names[:3])
        raise UserError(
            f"{source}, {what} has {len(names)} values ({some}, ...), at most {most} can be told apart; name another"
            " column, or make bins of it"
        )
    notes = []
    if len({n.casefold() for n in names}) < len(names):
        folded = [n.casefold() for n in names]
        alike = [n for n in names if folded.count(n.casefold()) > 1]
        notes.append(f"{what} has values that differ by case alone: {listed(alike, 6)}")
    if numbers and not all_whole and not named:
        notes.append(f"{what} holds numbers and words; all are taken as words")
    number = {text: names.index(canonical[text]) for text in known}
    return np.array([number.get(text, IGNORE_INDEX) for text in texts], np.int64), tuple(names), notes


def is_missing(text, named):
    """Whether a cell holds no value; a folder (named) has a name, whatever it is."""
    return not text or (not named and text.casefold() in MISSING)


def is_number(text):
    """Whether a text is a number of any kind."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def split_by_group(names, groups, seed):
    """Splits by SHARES within every group: int64 (N,), 0, 1 or 2. Every group keeps at least one training image.

    names: of the images, whose order it depends on, not that of the rows; groups: int64 (N, columns).
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
            first = table.place(int(np.flatnonzero(mine)[0]))
            raise UserError(f"the class {name} has no training image ({first}); add some, or leave this class out")
    if len(set(table.label[train].tolist())) == 1:
        raise UserError(f"all training images of {table.source} are of one class; at least two are needed")
    for i, name in enumerate(table.biases):
        seen = set(table.bias[train, i].tolist())
        if len(seen) == 1:
            value = table.values[i][min(seen)]
            raise UserError(
                f"{table.source}: all training images have the bias {name} = {value}, so there is none to unlearn; name"
                " another column with --bias, or give --bias colour"
            )


def remarks(table):
    """What a person should know of the bias values, as a list of sentences."""
    said = []
    for i, name in enumerate(table.biases):
        for split in (1, 2):
            lacking = int((table.bias[table.where(split), i] == IGNORE_INDEX).sum())
            if lacking:
                n = len(table.where(split))
                said.append(f"{SPLITS[split]}: {lacking} of {n} images have no {name}, so they are in no group")
        seen = set(table.bias[table.where(0), i].tolist())
        if unseen := [value for b, value in enumerate(table.values[i]) if b not in seen]:
            said.append(f"{name}: {listed(unseen, 5)} does not occur in training")
    return said
