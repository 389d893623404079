"""The paper's dogs and cats, from stand-ins of the form that their files have."""

import csv

import numpy as np
import pytest

from dataset.tables import read_table
from scripts import dogs_and_cats
from tests.dataset.sets import picture, refused

CATS_AND_DOGS = {"bright": ["cat.0.jpg", "dog.1.jpg", "dog.10.jpg"], "dark": ["cat.1.jpg", "cat.22.jpg", "dog.3.jpg"]}


def read_rows(path):
    """A CSV file as a list of dictionaries."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def animals(tmp_path):
    """The flags for a stand-in of Kaggle's images and the two lists."""
    for names in CATS_AND_DOGS.values():
        for name in names:
            picture(tmp_path / "kaggle/train" / name)
    for coat, names in CATS_AND_DOGS.items():
        (tmp_path / f"list_{coat}.txt").write_text("\n".join(names) + "\n")
    flags = ["--images", tmp_path / "kaggle/train", "--bright", tmp_path / "list_bright.txt"]
    return [*flags, "--dark", tmp_path / "list_dark.txt", "--out", tmp_path / "out"]


@pytest.mark.parametrize("train", ["TB1", "TB2"])
def test_dogs_and_cats(tmp_path, animals, train):
    dogs_and_cats.main([*map(str, animals), "--train", train])
    rows = read_rows(tmp_path / "out/metadata.csv")
    assert len(rows) == 6
    tb1 = {("dog", "bright"), ("cat", "dark")}
    for row in rows:
        name = row["filename"].rpartition("/")[2]
        assert row["label"] == name[:3]
        assert name in CATS_AND_DOGS[row["bias"]]
        assert (row["split"] == "train") == (((row["label"], row["bias"]) in tb1) == (train == "TB1"))
    read = read_table(tmp_path / "out")
    assert (read.classes, read.values) == (("cat", "dog"), (("bright", "dark"),))
    assert np.bincount(read.split).tolist() == ([4, 0, 2] if train == "TB1" else [2, 0, 4])


def test_files_within_the_folder_are_named_from_it_on(tmp_path, animals):
    animals[animals.index("--out") + 1] = tmp_path
    dogs_and_cats.main([*map(str, animals)])
    assert read_rows(tmp_path / "metadata.csv")[0]["filename"] == "kaggle/train/cat.0.jpg"


WRONG_ANIMALS = [
    (lambda f: (f / "list_dark.txt").unlink(), "No such file"),
    (lambda f: (f / "kaggle/train/cat.0.jpg").unlink(), "lacks cat.0.jpg"),
    (lambda f: picture(f / "out/metadata.csv/x.png"), "is there already"),
]


@pytest.mark.parametrize(("change", "said"), WRONG_ANIMALS)
def test_wrong_lists_of_animals(tmp_path, capsys, animals, change, said):
    change(tmp_path)
    assert said in refused(capsys, dogs_and_cats.main, animals)
    assert not (tmp_path / "out/metadata.csv").is_file()
