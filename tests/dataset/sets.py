"""Small sets of real image files, as people hold them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.batches import FactoredData, ImageData, factorise

ROOT = Path(__file__).parents[2]
BIRDS = ("img_id", "img_filename", "y", "split", "place", "place_filename")


def picture(path, color=(200, 30, 30), size=(12, 10), **how):
    """Writes an image of one colour; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, **how)
    return path


def table(path, header, rows, delimiter=",", encoding="utf-8"):
    """Writes a CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


def birds(folder, per_group=(8, 2, 2)):
    """Writes a set like Waterbirds: 2 labels x 2 places in every split; returns the rows of its metadata.csv.

    In training, the second place is rare for y = 0, the first one for y = 1.
    """
    rows = []
    for split, n in enumerate(per_group):
        for y in (0, 1):
            for place in (0, 1):
                for i in range(n if split or y == place else max(1, n // 4)):
                    name = f"{y:03d}.bird/{split}_{place}_{i}.jpg"
                    picture(folder / name, (90 * y + 10, 100, 200 * place + 5 + i))
                    rows.append([len(rows) + 1, name, y, split, place, f"/p/{place}.jpg"])
    table(folder / "metadata.csv", BIRDS, rows)
    return rows


def tree(folder, splits=("train", "test"), classes=("a", "b"), biases=("",), n=3, below=""):
    """Writes a folder tree of images; biases: ("",) for none."""
    for split in splits:
        for label, name in enumerate(classes):
            for b, bias in enumerate(biases):
                for i in range(n):
                    picture(folder / split / below / name / bias / f"{i}.png", (60 + label, 70 + 10 * b, 80 + i))
    return folder


def random_pictures(folder, n, size=16, seed=0):
    """Writes n PNG files of random bytes; returns (paths, uint8 (n, size, size, 3))."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(seed).integers(256, size=(n, size, size, 3), dtype=np.uint8)
    paths = [str(folder / f"{i:03d}.png") for i in range(n)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    return paths, images


def on_device(images, label, *where, **how):
    """The part that fits images: factored where every image is one colour on black, else plain."""
    if factors := factorise(images):
        return FactoredData(*factors, label, *where, **how)
    return ImageData(images, label, *where, **how)


def data_of(kind, train, test):
    """A data set of parts that are there already. test: {name: part}."""
    made = object.__new__(kind)
    made.train, made.test = train, test
    return made


def refused(capsys, main, flags):
    """The one line that a command ends with."""
    with pytest.raises(SystemExit) as error:
        main([str(flag) for flag in flags])
    assert error.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("reading")]
    return line
