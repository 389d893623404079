"""Folder trees of images: splits, classes and biases by folder, what is left out, and trees that cannot be."""

import shutil

import numpy as np
import pytest

from common.errors import UserError
from dataset.tables import read_table
from tests.dataset.sets import picture, random_pictures, table, tree


@pytest.mark.parametrize("biases", [("",), ("sea", "land")])
def test_folder_trees(tmp_path, biases):
    tree(tmp_path, ("Train", "valid", "test"), ("cat", "dog"), biases)
    read = read_table(tmp_path)
    assert read.classes == ("cat", "dog")
    assert read.values == ((("land", "sea"),) if len(biases) == 2 else ())
    assert np.bincount(read.split).tolist() == [6 * len(biases)] * 3
    assert [read.classes[y] for y in read.label] == [name.split("/")[1] for name in read.names]
    if len(biases) == 2:
        assert [read.values[0][b] for b in read.bias[:, 0]] == [name.split("/")[2] for name in read.names]


@pytest.mark.parametrize(("change", "note"), [
    (lambda t: picture(t / ".ipynb_checkpoints/0-checkpoint.png"), None),
    (lambda t: (t / "a/Thumbs.db").write_bytes(b"x"), None),
    (lambda t: (t / "a/notes.txt").write_text("x"), None),
    (lambda t: picture(t.parent / "docs/0.png"), "left out: 1 images beside the folders of the splits or classes"),
    (lambda t: picture(t.parent / "samples.png"), "left out: 1 images beside the folders of the splits or classes"),
])  # fmt: skip
def test_what_is_no_image_of_the_set_is_left_out(tmp_path, change, note):
    tree(tmp_path)
    change(tmp_path / "train")
    read = read_table(tmp_path)
    assert (read.classes, len(read.where(0))) == (("a", "b"), 6)
    assert read.notes == ((note,) if note else ())


def test_folders_may_be_numbers(tmp_path):
    names = [str(i) for i in range(1, 11)]
    tree(tmp_path / "split", classes=names, n=1)
    assert list(read_table(tmp_path / "split").classes) == names  # numbers are ordered as numbers
    for name in names:
        random_pictures(tmp_path / "whole" / name, 4)
    assert list(read_table(tmp_path / "whole").classes) == names  # 0, 1, 2 are classes, not splits


TREES = [
    (lambda f: [shutil.rmtree(f / s) for s in ("train", "test")], {}, "holds no images and no metadata.csv; images"),
    (lambda f: shutil.rmtree(f / "test"), {}, "has no test images"),
    (lambda f: (f / "test/b").rename(f / "test/B"), {}, "the class B has no training image"),
    (lambda f: picture(f / "train/x.png"), {}, r"/train/x\.png lies in no class folder"),
    (lambda f: picture(f / "train/a/b/c/x.png"), {}, r"/train/a/b/c/x\.png lies in too many folders"),
    (lambda f: picture(f / "train/a/b/x.png"), {}, r"train/a/0\.png, bias has no value"),
    (lambda f: None, {"target": "y"}, "so --target y names nothing"),
]


@pytest.mark.parametrize(("change", "how", "said"), TREES)
def test_wrong_trees_end_in_one_line(tmp_path, change, how, said):
    tree(tmp_path)
    change(tmp_path)
    with pytest.raises(UserError, match=said) as error:
        read_table(tmp_path, **how)
    assert str(tmp_path) in str(error.value)


def table_beside_tree(folder, change=lambda row: row):
    """A tree of classes and biases with a table that names its images; change: of the rows of dogs."""
    tree(folder, classes=("cat", "dog"), biases=("in", "out"))
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.png"))
    rows = [[name, name.split("/")[1], name.split("/")[2]] for name in names]
    table(folder / "labels.csv", ("path", "label", "place"), [change(r) if r[1] == "dog" else r for r in rows])


def test_a_table_beside_split_folders_is_read(tmp_path):
    table_beside_tree(tmp_path)
    read = read_table(tmp_path)
    assert read.source == f"{tmp_path}/labels.csv"
    assert (read.biases, np.bincount(read.split).tolist()) == (("place",), [12, 0, 12])
    table(tmp_path / "other.csv", ("path", "label"), [["train/cat/in/0.png", "x"]])
    with pytest.raises(UserError, match=r"several tables \(labels.csv, other.csv\); give one of them itself"):
        read_table(tmp_path)
    (tmp_path / "labels.csv").unlink()
    (tmp_path / "other.csv").write_text("who,when\nme,today\n")
    with pytest.raises(UserError, match=r"other.csv has no column for the label"):
        read_table(tmp_path)


@pytest.mark.parametrize("change", [
    lambda r: [r[0], "wolf", r[2]],  # most agree
    lambda r: [r[0], "cat" if r[0].endswith("0.png") else "dog", r[2]],
])  # fmt: skip
def test_a_table_that_contradicts_its_folders_is_an_error(tmp_path, change):
    table_beside_tree(tmp_path, change)
    with pytest.raises(
        UserError, match=r"labels.csv, row 8: label is (wolf|cat), but the image lies in the folder dog"
    ):
        read_table(tmp_path)


def test_without_splits_every_group_is_split_by_a_seed(tmp_path):
    tree(tmp_path, ("",), biases=("sea", "land"), n=10)
    read = read_table(tmp_path)
    groups = read.label * 2 + read.bias[:, 0]
    for group in range(4):
        assert np.bincount(read.split[groups == group]).tolist() == [7, 1, 2]
    assert any("70 % / 10 % / 20 % within groups, with seed 0" in note for note in read.notes)
    assert (read_table(tmp_path).split == read.split).all()
    assert (read_table(tmp_path, seed=1).split != read.split).any()
