"""The metadata.csv of the commands that make a set of images: dogs and cats, faces, cut-outs."""

import csv
import os

from common.errors import UserError
from common.files import replacing
from dataset.csv_tables import Finder

TABLE = "metadata.csv"


def write_metadata(out, images, header, rows):
    """Writes `out`/metadata.csv; the first cell of each row is the name of a file in `images`.

    Paths are written from `out` on where the images lie in it, else in full. Raises UserError where one is missing.
    """
    finder, missing, lines = Finder(images, [name for name, *_ in rows]), [], []
    for name, *cells in rows:
        path = os.path.abspath(finder(name))
        if not os.path.exists(path):
            missing.append(name)
        inside = os.path.relpath(path, os.path.abspath(out))
        lines.append([path if inside.startswith(os.pardir) else inside.replace(os.sep, "/"), *cells])
    if missing:
        names = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise UserError(
            f"{images} lacks {len(missing)} of the {len(rows)} images: {names}; give the folder that has all"
        )
    out.mkdir(parents=True, exist_ok=True)
    path = out / TABLE
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines])
    return path


def check_images(folder):
    """Raises UserError unless `folder`, that of --images, is one."""
    if not folder.is_dir():
        raise UserError(f"--images {folder} is not a folder; give the one with the images")


def check_out(folder):
    """Raises UserError unless `folder`, that of --out, is one or nothing, without a table in it."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder} is a file; give a folder")
    if (folder / TABLE).exists():
        raise UserError(f"{folder / TABLE} is there already; give another --out, or remove it")
