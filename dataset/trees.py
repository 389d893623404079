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
SYSTEM = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "lost+found"}


def nfc(text):
    """A name in Unicode's composed form: the same accent has two spellings."""
    return unicodedata.normalize("NFC", text)


def is_system(name):
    """Whether a file or folder is hidden, or made by a system for itself."""
    return name.startswith(".") or name.casefold() in SYSTEM


def split_of_folder(name):
    """0, 1 or 2 of a folder that is called like a split, or None; "0" is a class."""
    return SPLIT_WORDS.get(name.casefold()) if name[:1].isalpha() else None


def folders_in(folder):
    """The names of the folders in a folder, sorted, without those of a system."""
    return sorted(e.name for e in os.scandir(folder) if not is_system(e.name) and e.is_dir())


def files_below(root):
    """The files below a folder, sorted: list of tuples, of the folders and the name of each. Links are followed."""

    def refuse(error):
        raise error

    found = []
    for path, folders, files in os.walk(root, followlinks=True, onerror=refuse):
        folders[:] = [name for name in folders if not is_system(name)]
        above = os.path.relpath(path, root).split(os.sep) if path != str(root) else []
        found += [(*above, name) for name in files if not is_system(name)]
    return sorted(found)


def pictures_below(root):
    """(the images below a folder as `files_below` gives them, notes on the files that are left out)."""
    found, kinds, skipped = [], extensions(), Counter()
    for parts in files_below(root):
        ending = os.path.splitext(parts[-1])[1].lower()
        if ending in kinds:
            found.append(parts)
        else:
            skipped[ending or "no ending"] += 1
    return found, [f"left out: {n} files that are no images ({ending})" for ending, n in skipped.items()]


def read_tree(root):
    """Reads a folder tree: (list of (name, path, split, class, bias), notes). bias "": none; split None: no splits.

    Raises UserError: each message names the folder and says how the images should lie.
    """
    tops = folders_in(root)
    splits = {name: split_of_folder(name) for name in tops if split_of_folder(name) is not None}
    if len(set(splits.values())) < len(splits):
        raise UserError(f"{root} has two folders for a split ({', '.join(splits)}); put the images into one")
    words = [{SPLIT_WORDS.get(word) for word in re.findall("[a-z]+", name.casefold())} - {None} for name in tops]
    if not splits and all(words) and {0, 2} <= set().union(*words):  # train_set, seg_test, val2017
        raise UserError(f"{root}: the folders {', '.join(tops)} look like splits; call them train, val and test")
    shape = "images belong into DIR/train/CLASS/ or DIR/train/CLASS/BIAS/, or give a metadata.csv"
    (pictures, notes), rows, beside = pictures_below(root), [], 0
    for parts in pictures:
        folders, split = parts[:-1], None
        if not folders or (splits and folders[0] not in splits):
            beside += 1
            continue
        if splits:
            split, folders = splits[folders[0]], folders[1:]
        path = os.path.join(root, *parts)
        if not 1 <= len(folders) <= 2:
            raise UserError(f"{path} lies in {'too many folders' if folders else 'no class folder'}; {shape}")
        rows.append(("/".join(parts), path, split, nfc(folders[0]), nfc(folders[1]) if len(folders) == 2 else ""))
    if not rows:
        raise UserError(f"{root} holds no images and no metadata.csv; {shape}")
    return rows, notes + ([f"left out: {beside} images beside the folders of the splits or classes"] if beside else [])


class Finder:
    """Finds the files that a table names, also where case, slashes or accents differ from what is there."""

    def __init__(self, root):
        self.root, self.index = root, None

    def __call__(self, name):
        """The path of an image, or the path at which it should be."""
        path = os.path.join(self.root, name)
        if os.path.exists(path):
            return path
        if self.index is None:
            self.index = {self.alike("/".join(parts)): os.path.join(*parts) for parts in files_below(self.root)}
        found = self.index.get(self.alike(os.path.normpath(name.replace("\\", "/"))))
        return os.path.join(self.root, found) if found else path

    @staticmethod
    def alike(path):
        """A path without case, and with one form of its accents."""
        return nfc(path).casefold()
