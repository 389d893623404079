"""Images in folders: DIR/train/CLASS/*, DIR/train/CLASS/BIAS/*, the same below val and test, or DIR/CLASS/... alone."""

import os
import re
from collections import Counter
from typing import NamedTuple

from common.errors import UserError
from dataset.pictures import extensions

SPLITS = ("train", "val", "test")
SPLIT_WORDS = {
    "train": 0, "training": 0, "0": 0, "0.0": 0,
    "val": 1, "valid": 1, "validate": 1, "validation": 1, "dev": 1, "eval": 1, "1": 1, "1.0": 1,
    "test": 2, "testing": 2, "2": 2, "2.0": 2,
}  # fmt: skip
SYSTEM = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information", "lost+found"}


class Row(NamedTuple):
    """An image as a table or a tree names it."""

    place: str  # "row 17" of a table; "" in a tree, whose paths say it all
    name: str  # as it is given
    path: str
    split: int | None  # 0, 1, 2: of SPLITS
    label: str
    bias: tuple  # of str, one for each bias; "" where there is none


def is_system(name):
    """Whether a file or folder is hidden, or made by a system for itself."""
    return name.startswith(".") or name.casefold() in SYSTEM


def is_folder(entry):
    """Whether an os.DirEntry is a folder or a link to one; a link that leads to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_file(entry):
    """Whether an os.DirEntry may be read as a file: no pipe or device, whose end never comes."""
    try:
        return entry.is_file() or not os.path.exists(entry.path)
    except OSError:
        return True  # a link that leads to itself: reading it is an error that names it


def folders_in(folder):
    """The names of the folders in a folder, sorted, without hidden ones and those of a system."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not is_system(e.name) and is_folder(e))


def pictures_below(folder, skipped):
    """The images in a folder and below, sorted: list of the folders and the name of each, as a tuple.

    skipped: Counter, to which what is left out is added. Links are followed, but not into a folder they come from.
    Raises UserError for a folder that cannot be read.
    """
    kinds = extensions()
    found = []

    def walk(path, parts, above):
        try:
            status = os.stat(path)
            with os.scandir(path) as entries:
                entries = sorted(entries, key=lambda e: e.name)
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); check its permissions") from None
        here = (status.st_dev, status.st_ino)
        if here in above:
            skipped["links in a circle"] += 1
            return
        for entry in entries:
            if is_system(entry.name):
                skipped["hidden or system files and folders"] += 1
            elif is_folder(entry):
                walk(entry.path, (*parts, entry.name), {*above, here})
            elif not is_file(entry):
                skipped["what is no file"] += 1
            elif (ending := os.path.splitext(entry.name)[1].lower()) in kinds:
                found.append((*parts, entry.name))
            else:
                skipped[f"files that are no images ({ending or 'no ending'})"] += 1

    walk(str(folder), (), frozenset())
    return found


def read_tree(root, without_bias=False):
    """Reads a folder tree: (list of Row, names of the biases: ("bias",) or (), notes).

    without_bias: leaves the level of the bias folders unused. The split of a row is None where the tree has none.
    Raises UserError: each message names the folder and says how the images should lie.
    """
    tops = folders_in(root)
    splits = {}
    for name in tops:
        split = SPLIT_WORDS.get(name.strip().casefold()) if not name.strip()[:1].isdigit() else None
        if split is not None:
            if split in splits.values():
                raise UserError(f"{root} has two folders for {SPLITS[split]}, one is {name}; put the images into one")
            splits[name] = split
    if not splits:
        check_not_one_up(root, tops)
        check_not_splits(root, tops)
    elif 0 not in splits.values():
        raise UserError(f"{root} has a folder {min(splits)} and none called train; put the training images there")
    skipped, notes, rows, classes = Counter(), [], [], {}
    for name, split in sorted(splits.items(), key=lambda s: s[1]) or [(".", None)]:
        folder = root if split is None else root / name
        classes[name] = folders_in(folder)
        for parts in pictures_below(folder, skipped):
            path = os.path.join(folder, *parts)
            if split is None and len(parts) == 1:
                skipped["images beside the folders"] += 1
                continue
            if not 2 <= len(parts) <= 3:
                where = "no class folder" if len(parts) < 2 else "too many folders"
                raise UserError(f"{path} lies in {where}; images belong into {shape_of(root, splits)}")
            given = os.path.relpath(path, root).replace(os.sep, "/")
            rows.append(Row("", given, path, split, parts[0], tuple(parts[1:-1])))
    if splits and (others := [name for name in tops if name not in splits]):
        notes.append(f"folders that are not read: {', '.join(others)}")
    if splits and (loose := [e for e in os.listdir(root) if os.path.splitext(e)[1].lower() in extensions()]):
        skipped["images beside the folders"] += sum(not is_system(name) for name in loose)
    if not rows:
        raise UserError(f"{root} holds no images and no metadata.csv; images belong into {shape_of(root, splits)}")
    check_classes(root, splits, classes, rows)
    biases = check_depth(root, rows)
    notes += [f"left out: {n} {what}" for what, n in skipped.items() if n]
    if without_bias:
        biases = ()
    rows = [r._replace(bias=(r.bias or ("",))[: len(biases)]) for r in rows]
    return rows, biases, notes


def shape_of(root, splits):
    """How images should lie, in words."""
    tree = f"{root}/{min(splits, key=splits.get) if splits else 'train'}/CLASS"
    return f"{tree}/ or {tree}/BIAS/"


def check_not_one_up(root, tops):
    """Raises UserError where the tree begins one folder further down."""
    for name in tops:
        below = {SPLIT_WORDS.get(n.casefold()) for n in folders_in(root / name) if n.isalpha()}
        if {0, 2} <= below:
            raise UserError(f"{root} has its train and test folders one further down; give {root / name}")


def check_not_splits(root, tops):
    """Raises UserError where folders that would be classes are called like splits: train_set, seg_test, val2017."""
    found = {name: {SPLIT_WORDS.get(word) for word in re.findall("[a-z]+", name.casefold())} for name in tops}
    if {0, 2} <= set.union(set(), *found.values()) and all(words - {None} for words in found.values()):
        raise UserError(
            f"{root} has the folders {', '.join(tops)}, which look like splits; call them train, val and test"
        )


def check_classes(root, splits, classes, rows):
    """Raises UserError unless every split has the same class folders, and those of the training images."""
    first = min(splits, key=splits.get) if splits else "."
    holding = {r.label for r in rows if not r.split}
    for name in classes[first] if splits else ():
        if name not in holding:
            raise UserError(f"{root / first / name} holds no image; add some, or remove this folder from all splits")
    for other, names in classes.items():
        if odd := set(names) ^ set(classes[first]):
            name = min(odd)
            lacks, has = (other, first) if name in classes[first] else (first, other)
            raise UserError(
                f"{root / lacks} lacks the class {name} that {root / has} has; give all splits the same class folders"
            )
    if len(holding) == 1:
        (name,) = holding
        deeper = sorted({r.bias[0] for r in rows if r.bias})[:3]
        where = root / first / name
        hint = f"; if its folders ({', '.join(deeper)}) are the classes, move them up" if deeper else ""
        raise UserError(f"{where} is the only class folder, and at least two are needed{hint}")


def check_depth(root, rows):
    """The names of the biases, ("bias",) or (), by the depth of the training images. Raises UserError if they mix."""
    train = [r for r in rows if not r.split]
    deep = len(train[0].bias)
    for row in rows:
        if len(row.bias) != deep and (not row.split or not deep):
            mate = train[0].name
            raise UserError(
                f"{root}/{row.name} and {root}/{mate} lie at different depths; put all images into CLASS/ or all into"
                " CLASS/BIAS/"
            )
    return ("bias",) if deep else ()
