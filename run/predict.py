"""Predictions of a trained classifier as a CSV with a line for each image: of new images, or of those of the test."""

import csv
import os
from pathlib import Path

import numpy as np

from common.errors import UserError, counted, one_line
from common.files import replacing
from dataset.csv_tables import column, read_rows
from dataset.photographs import Photographs
from dataset.pictures import BLACK, decode
from dataset.trees import pictures_below
from run.evaluate import evaluate

TABLES = (".csv", ".tsv")
PREDICTIONS = ["file", "class", "probability"]  # the columns that are written
AT_ONCE = 512  # new images that are in memory together


def find_images(source, image=None):
    """[(name, path)] of the images in a folder, in a table, or of a single file. Raises UserError.

    image: the table's column, as of --image.
    """
    source = Path(source)
    if source.is_dir():
        found = [("/".join(parts), str(source.joinpath(*parts))) for parts in pictures_below(source)]
    elif source.suffix.lower() in TABLES and source.is_file():
        rows = list(read_rows(source).values())
        named = column(source, list(rows[0]), "image", image, needed=True)
        found = [(row[named], str(source.parent / row[named])) for row in rows]
    elif source.is_file():
        found = [(source.name, str(source))]
    else:
        raise UserError(f"--images {source} is no folder, table (.csv) or image; give where the new images are")
    if not found:
        raise UserError(f"--images {source} holds no image that Pillow can read")
    return found


def check_out(out):
    """Raises UserError where predictions would overwrite what is not predictions of before, or have no folder."""
    if os.path.isdir(out) or not Path(out).absolute().parent.is_dir():
        raise UserError(f"--out {out}: give a file in a folder that exists")
    if not os.path.exists(out):
        return
    first = None
    if os.path.isfile(out):  # a pipe would be read for ever
        with open(out, "rb") as file:
            first = file.readline(100).rstrip()
    if first not in (b"", ",".join(PREDICTIONS).encode()):  # with a column more, it is somebody's work
        raise UserError(f"--out {out} is there and holds no predictions; give another file, or remove it")


def write_predictions(out, rows):
    """Writes the CSV `out`: file, class, probability. rows: list of these three. Through a link, as one writes a file.

    Raises UserError as `check_out` does.
    """
    check_out(out)
    with (
        replacing(os.path.realpath(out)) as temporary,
        open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        csv.writer(file).writerows([PREDICTIONS, *rows])


def predictions(evaluation, names, classes):
    """Rows (name, class, its probability by the softmax of g) of an Evaluation. names: of its images."""
    found = zip(names, evaluation.predicted.tolist(), evaluation.probability.tolist(), strict=True)
    return [(name, classes[y], f"{share:.4f}") for name, y, share in found]


def predict(
    f, g, source, out, size, classes, device="cpu", skip_broken=False, say=print, background=BLACK, image=None
):  # fmt: skip
    """Writes the predictions of every image of `source` (`find_images`) to the CSV `out`.

    size: in pixels, and background: (R, G, B) under what is transparent, as in the training. classes: the names.
    Raises UserError, and writes nothing, where an image cannot be read; `skip_broken` leaves it out, and says so.
    """
    found = find_images(source, image)
    check_out(out)  # before the work
    rows, left_out = [], []
    for start in range(0, len(found), AT_ONCE):
        some = found[start : start + AT_ONCE]
        images = np.zeros((len(some), size, size, 3), np.uint8)
        bad = decode([path for _, path in some], size, images.__setitem__, background, show=len(found) > AT_ONCE).bad
        if bad and not skip_broken:
            raise UserError(f"{next(iter(bad.values()))}, or give --skip_broken")
        left_out += [some[position][0] for position in bad]
        good = [position for position in range(len(some)) if position not in bad]
        none = np.zeros(len(good), np.int64)
        part = Photographs(images[good], none, none[:, None], device=device)
        if good:
            rows += predictions(evaluate(f, g, part), [some[position][0] for position in good], classes)
    write_predictions(out, rows)
    if left_out:
        say(f"left out: {counted(len(left_out), 'image')} that cannot be read, {one_line(', '.join(left_out[:10]))}")
    say(f"written: {out}, {counted(len(rows), 'prediction')}")
