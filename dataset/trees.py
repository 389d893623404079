"""What lies in a folder: images in DIR/train/CLASS/*, DIR/train/CLASS/BIAS/* or DIR/CLASS/..., and files by name."""

import os
import re
import unicodedata
from collections import Counter

from common.errors import UserError
from dataset.pictures import extensions

SPLITS = ("train", "val", "test")
SPLIT_WORDS = {
    "train": 0, "training": 0, "0": 0, "0.0": 0,
    "val": 1, "valid": 1, "validate": 1, "validation": 1, "dev": 1, "eval": 1, "1": 1, "1.0": 1,
    "test": 2, "testing": 2, "2": 2, "2.0": 2,
}  # fmt: skip
SYSTEM = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information", "lost+found"}


def nfc(text):
    """A name in Unicode's composed form: the same accent has two spellings."""
    return unicodedata.normalize("NFC", text)


def is_system(name):
    """Whether a file or folder is hidden, or made by a system for itself."""
    return name.startswith(".") or name.casefold() in SYSTEM


def split_of_folder(name):
    """0, 1 or 2 of a folder that is called like a split, or None; "0" is a class."""
    return SPLIT_WORDS.get(name.strip().casefold()) if name.strip()[:1].isalpha() else None


def folders_in(folder):
    """The names of the folders in a folder, sorted, without hidden ones and those of a system."""
    return sorted(e.name for e in os.scandir(folder) if not is_system(e.name) and os.path.isdir(e.path))


def walk(root, skipped):
    """The files below a folder, sorted: list of tuples, of the folders and the name of each.

    skipped: Counter, to which what is left out is added. Links are followed, but not into a folder they come from.
    Raises UserError for a folder that cannot be read.
    """
    found = []

    def enter(path, parts, above):
        try:
            status = os.stat(path)
            entries = sorted(os.scandir(path), key=lambda e: e.name)
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); check its permissions") from None
        here = (status.st_dev, status.st_ino)
        if here in above:
            skipped["links in a circle"] += 1
            return
        for entry in entries:
            if is_system(entry.name):
                skipped["hidden or system files and folders"] += 1
            elif os.path.isdir(entry.path):
                enter(entry.path, (*parts, entry.name), {*above, here})
            elif os.path.isfile(entry.path) or not os.path.exists(entry.path):  # no pipe, whose end never comes
                found.append((*parts, entry.name))
            else:
                skipped["what is no file"] += 1

    enter(str(root), (), frozenset())
    return found


def pictures_below(root, skipped):
    """The images below a folder, as `walk` gives them."""
    found, kinds = [], extensions()
    for parts in walk(root, skipped):
        ending = os.path.splitext(parts[-1])[1].lower()
        if ending in kinds:
            found.append(parts)
        else:
            skipped[f"files that are no images ({ending or 'no ending'})"] += 1
    return found


def read_tree(root):
    """Reads a folder tree: (list of (name, path, split, class, bias), notes). bias "": none; split None: no splits.

    Raises UserError: each message names the folder and says how the images should lie.
    """
    tops = folders_in(root)
    splits = {name: split_of_folder(name) for name in tops if split_of_folder(name) is not None}
    if len(set(splits.values())) < len(splits):
        raise UserError(f"{root} has two folders for a split ({', '.join(splits)}); put the images into one")
    if not splits:
        check_tops(root, tops)
    elif 0 not in splits.values():
        raise UserError(f"{root} has a folder {min(splits)} and none called train; put the training images there")
    tree = f"{root}/{min(splits, key=splits.get) if splits else 'train'}/CLASS"
    shape = f"images belong into {tree}/ or {tree}/BIAS/, or give a metadata.csv"
    skipped, rows = Counter(), []
    for parts in pictures_below(root, skipped):
        split, *folders = (None, *parts[:-1])
        if splits:
            if not folders or folders[0] not in splits:
                skipped["images beside the split folders"] += 1
                continue
            split, *folders = (splits[folders[0]], *folders[1:])
        elif not folders:
            skipped["images beside the class folders"] += 1
            continue
        path = os.path.join(root, *parts)
        if not 1 <= len(folders) <= 2:
            raise UserError(f"{path} lies in {'too many folders' if folders else 'no class folder'}; {shape}")
        rows.append(("/".join(parts), path, split, nfc(folders[0]), nfc(folders[1]) if len(folders) == 2 else ""))
    if not rows:
        raise UserError(f"{root} holds no images and no metadata.csv; {shape}")
    return rows, [f"left out: {n} {what}" for what, n in skipped.items()]


def check_tops(root, tops):
    """Raises UserError where folders that would be classes hold splits, or look like splits."""
    for name in tops:
        if {0, 2} <= set(map(split_of_folder, folders_in(root / name))):
            raise UserError(f"{root} has its train and test folders one further down; give {root / name}")
    found = [{SPLIT_WORDS.get(word) for word in re.findall("[a-z]+", name.casefold())} for name in tops]
    if {0, 2} <= set().union(*found) and all(words - {None} for words in found):  # train_set, seg_test, val2017
        raise UserError(
            f"{root} has the folders {', '.join(tops)}, which look like splits; call them train, val and test"
        )


class Finder:
    """Finds the files that a table names, also where case, slashes or accents differ from what is there.

    Where none of the names is a file, their first one or two folders may be left out, as in CelebA's and Kaggle's
    tables. Where some are, a file of that name further down is another one, and the one that is meant is missing.
    """

    def __init__(self, root, names):
        """names: all that the table has."""
        self.root, self.names, self.index, self.found_otherwise = root, names, None, 0

    def __call__(self, name):
        """The path of an image, or the path at which it should be. Raises UserError where two could be meant."""
        path = os.path.join(self.root, name)
        if os.path.exists(path):
            return path
        if self.index is None:
            self.most = 1 if any(n and os.path.exists(os.path.join(self.root, n)) for n in self.names) else 3
            self.index = {}
            for parts in walk(self.root, Counter()):
                for less in range(min(self.most, len(parts))):  # folders that a name leaves out
                    self.index.setdefault((less, self.alike("/".join(parts[less:]))), []).append("/".join(parts))
        key = self.alike(os.path.normpath(name.replace("\\", "/")).replace(os.sep, "/"))
        for less in range(self.most):
            paths = self.index.get((less, key), ())
            if len(paths) > 1:
                raise UserError(f"{name} could be {paths[0]} or {paths[1]} in {self.root}; write in the table which")
            if paths:
                self.found_otherwise += not less
                return os.path.join(self.root, paths[0])
        return path

    @staticmethod
    def alike(path):
        """A path without case, and with one form of its accents."""
        return nfc(path).casefold()
