"""What the scripts that make a set of images share: its metadata.csv."""

import csv
import os

from common.errors import UserError
from common.files import replacing

TABLE = "metadata.csv"


def check_out(out):
    """Raises UserError where the folder `out` has a table already."""
    if (out / TABLE).exists():
        raise UserError(f"{out / TABLE} is there already; give another --out, or remove it")


def write_metadata(out, images, header, rows):
    """Writes `out`/metadata.csv and says so; the first cell of each row is the name of a file in `images`.

    Paths are written from `out` on where the images lie in it, else in full. Raises UserError where one is missing.
    """
    lines = []
    for name, *cells in rows:
        path = os.path.abspath(os.path.join(images, name))
        if not os.path.exists(path):
            raise UserError(f"{images} lacks {name}; give the folder with all images")
        inside = os.path.relpath(path, os.path.abspath(out))
        lines.append([path if inside.startswith(os.pardir) else inside.replace(os.sep, "/"), *cells])
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / TABLE) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines])
    print(f"written: {out / TABLE}, {len(lines)} images")
