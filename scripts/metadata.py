"""What the scripts that make a set of images share: its metadata.csv, and the checks of their folders."""

import csv
import os
import shlex

from common.errors import UserError
from common.files import replacing
from dataset.trees import Finder

TABLE = "metadata.csv"


def check_folders(out, images=None):
    """Raises UserError unless `out` can get a table, without one in it, and `images` is a folder."""
    if images is not None and not images.is_dir():
        raise UserError(f"--images {images} is not a folder; give the one with the images")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; give a folder")
    if (out / TABLE).exists():
        raise UserError(f"{out / TABLE} is there already; give another --out, or remove it")


def write_metadata(out, images, header, rows, flags=""):
    """Writes `out`/metadata.csv and says so; the first cell of each row is the name of a file in `images`.

    Paths are written from `out` on where the images lie in it, else in full. flags: of the next command.
    Raises UserError where an image is missing.
    """
    finder, missing, lines = Finder(images, [name for name, *_ in rows]), [], []
    for name, *cells in rows:
        path = os.path.abspath(finder(name))
        missing += [] if os.path.exists(path) else [name]
        inside = os.path.relpath(path, os.path.abspath(out))
        lines.append([path if inside.startswith(os.pardir) else inside.replace(os.sep, "/"), *cells])
    if missing:
        names = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise UserError(f"{images} lacks {len(missing)} of the {len(rows)} images: {names}; give the folder with all")
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / TABLE) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines])
    print(f"written: {out / TABLE}, {len(lines)} images")
    print(f"next: python -m dataset.images {shlex.quote(str(out))}{flags}")
