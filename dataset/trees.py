"""What lies in a folder: images in DIR/train/CLASS/*, DIR/train/CLASS/BIAS/* or or DIR/CLASS/...."""

import os
import unicodedata
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from common.errors import UserError

SPLITS = ("train", "val", "test")
SPLIT_WORDS = {
    "train": 0, "training": 0, "0": 0, "0.0": 0,
    "val": 1, "valid": 1, "validation": 1, "dev": 1, "1": 1, "1.0": 1,
    "test": 2, "testing": 2, "2": 2, "2.0": 2,
}  # fmt: skip
SHAPE = "images belong into DIR/train/CLASS/ or DIR/train/CLASS/BIAS/, or give a metadata.csv"


class Row(NamedTuple):
    """An image, as a row of a table or a folder names it."""

    name: str  # as given
    path: str
    place: str  # "DIR/metadata.csv, row 17", or the path in a folder tree
    split: int | None  # 0 training, 1 validation, 2 test; None where nothing says it
    label: str
    biases: list  # of str


def nfc(text):
    """A name in Unicode's composed form: the same accent has two spellings."""
    return unicodedata.normalize("NFC", text)


def is_system(name):
    """Whether a file or folder is hidden, or made by a system for itself."""
    return name.startswith((".", "__MACOSX", "@eaDir", "lost+found"))


def split_of_folder(name):
    """0, 1 or 2 of a folder that is called like a split, or None; "0" is a class."""
    return SPLIT_WORDS.get(name.casefold()) if name[:1].isalpha() else None


def pictures_below(root):
    """The images below a folder, sorted: list of tuples, of the folders and the name of each. Links are followed."""

    def refuse(error):
        raise error

    found, kinds = [], {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    for path, folders, files in os.walk(root, followlinks=True, onerror=refuse):
        folders[:] = [name for name in folders if not is_system(name)]
        above = Path(path).relative_to(root).parts
        pictures = [name for name in files if Path(name).suffix.lower() in kinds and not is_system(name)]
        found += [(*above, name) for name in pictures]
    return sorted(found)


def read_tree(root):
    """Reads a folder tree: (list of Row, each with one bias, "" for none; notes).

    Raises UserError: each message names the folder and says how the images should lie.
    """
    pictures = pictures_below(root)
    tops = sorted({parts[0] for parts in pictures if len(parts) > 1})
    splits = {name: split_of_folder(name) for name in tops if split_of_folder(name) is not None}
    rows = []
    for parts in pictures:
        if parts[0] not in (splits or tops):
            continue
        path, folders = os.path.join(root, *parts), parts[bool(splits) : -1]
        if not 1 <= len(folders) <= 2:
            raise UserError(f"{path} lies in {'too many folders' if folders else 'no class folder'}; {SHAPE}")
        bias = nfc(folders[1]) if len(folders) == 2 else ""
        rows.append(Row("/".join(parts), path, path, splits.get(parts[0]), nfc(folders[0]), [bias]))
    if not rows:
        raise UserError(f"{root} holds no images and no metadata.csv; {SHAPE}")
    beside = len(pictures) - len(rows)
    return rows, [f"left out: {beside} images beside the folders of the splits or classes"] if beside else []
