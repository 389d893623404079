"""Predictions of a trained classifier for new images: a CSV with a line for each, what one wants at the end."""

import csv
import os
import stat
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from common.errors import UserError, counted, one_line
from common.files import replacing
from dataset.csv_tables import PREDICTIONS, RECOGNISED, Finder, column_recognised, listed, read_lines
from dataset.folder_trees import pictures_below
from dataset.image_batches import InMemory
from dataset.pictures import BLACK, extensions, read_pictures
from run.evaluate import running_statistics

TABLES = (".csv", ".tsv")
AT_ONCE = 512  # images that are in memory together


def find_images(source):
    """([(name, path)], notes) of the images in a folder, in a table, or of a single file. Raises UserError."""
    source = Path(source)
    if source.is_dir():
        skipped = Counter()
        found = [("/".join(parts), str(source.joinpath(*parts))) for parts in pictures_below(source, skipped)]
        notes = [f"left out: {n} {what}" for what, n in skipped.items()]
    elif source.suffix.lower() in TABLES and source.is_file():
        lines = read_lines(source)
        column = column_recognised(lines, "image", [], None)
        if column is None:
            wanted = ", ".join(RECOGNISED["image"])
            raise UserError(
                f"{source} has no column for the image, called one of {wanted}. Its columns: {listed(lines.header)}"
            )
        if empty := [number for number, row in lines.rows if not row[column]]:
            raise UserError(f"{source}, row {empty[0]} names no image; name it, or remove this row")
        names = [row[column] for _, row in lines.rows]
        find = Finder(source.parent, names)
        found, notes = [(name, find(name)) for name in names], []
    elif source.is_file() and source.suffix.lower() in extensions():
        found, notes = [(source.name, str(source))], []
    else:
        raise UserError(f"--images {source} is no folder, table (.csv) or image; give where the new images are")
    if not found:
        raise UserError(f"--images {source} holds no image that Pillow can read")
    return found, notes


def may_be_replaced(out):
    """Whether a file is not there, empty, or holds predictions of before: not a table or an image of the user."""
    first = ",".join(PREDICTIONS).encode()
    try:
        if not stat.S_ISREG(os.stat(out).st_mode):  # a pipe would be read for ever
            return False
        with open(out, "rb") as file:
            return file.readline(100).rstrip() in (b"", first)  # with a column more, it is somebody's work
    except FileNotFoundError:
        return True


def predict(f, g, source, out, size, classes, device="cpu", skip_broken=False, say=print, background=BLACK):
    """Writes the CSV `out`: file, class, probability (of that class, by the softmax of g) of every image of `source`.

    f, g: in any mode, which stays as it is. size: in pixels, and background: (R, G, B) under what is transparent, as in
    the training. classes: the names.
    Raises UserError, and writes nothing, where an image cannot be read; `skip_broken` leaves it out, and says so.
    """
    found, notes = find_images(source)
    if os.path.isdir(out) or not Path(out).absolute().parent.is_dir():
        raise UserError(f"--out {out}: give a file in a folder that exists")
    if not may_be_replaced(out):
        raise UserError(f"--out {out} is there and holds no predictions; give another file, or remove it")
    rows, left_out = [], []
    for start in range(0, len(found), AT_ONCE):
        part = found[start : start + AT_ONCE]
        images, bad = read_pictures([path for _, path in part], size, background, show=len(found) > AT_ONCE)
        if bad and not skip_broken:
            raise UserError(f"{next(iter(bad.values()))}, or give --skip_broken")
        left_out += [part[position][0] for position in bad]
        none = np.zeros(len(part), np.int64)
        data = InMemory(images, none, none[:, None], device=device)
        some = torch.arange(len(part)).to(device).split(64)
        with running_statistics(f, g):
            p = torch.cat([g(f(data.batch(index)[0])).float().softmax(1) for index in some])
        for position, (share, label) in enumerate(zip(*p.max(1), strict=True)):
            if position not in bad:
                rows.append((part[position][0], classes[int(label)], f"{share.item():.4f}"))
    with (
        replacing(out) as temporary,
        open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        csv.writer(file).writerows([PREDICTIONS, *rows])
    for note in notes:
        say(one_line(note))
    if left_out:
        say(f"left out: {counted(len(left_out), 'image')} that cannot be read, {one_line(', '.join(left_out[:10]))}")
    say(f"written: {out}, {counted(len(rows), 'prediction')}")
