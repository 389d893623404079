"""Folder trees of images: splits, classes and biases by folder, what is left out, and trees that cannot be."""

import os
import shutil

import numpy as np
import pytest

from common.errors import UserError
from dataset.batches import IGNORE_INDEX
from dataset.tables import read_table
from tests.dataset.sets import picture, random_pictures, tree


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
        assert read_table(tmp_path, bias=("colour",)).biases == ()


def test_a_test_tree_without_bias_folders(tmp_path):
    tree(tmp_path, ("train",), biases=("sea", "land"))
    tree(tmp_path, ("test",))
    read = read_table(tmp_path)
    assert (read.bias[read.split == 2] == IGNORE_INDEX).all()


# ---- trees that hold more than images


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda t: picture(t / ".ipynb_checkpoints/0-checkpoint.png"), "left out: 1 hidden"),
        (lambda t: picture(t / "a/.ipynb_checkpoints/0.png"), "left out: 1 hidden"),
        (lambda t: picture(t / "__MACOSX/a/._0.png"), "left out: 1 hidden"),
        (lambda t: (t / "a/._0.png").write_bytes(b"\0\5\x16\7" * 30), "left out: 1 hidden"),
        (lambda t: (t / "a/Thumbs.db").write_bytes(b"x"), "left out: 1 hidden"),
        (lambda t: os.symlink(".", t / "a/latest"), "left out: 1 links in a circle"),
        (lambda t: os.symlink("..", t / "a/up"), "left out: 1 links in a circle"),
        (lambda t: os.symlink("self", t / "a/self"), "files that are no images (no ending)"),
        (lambda t: (t / "a/notes.txt").write_text("x"), "left out: 1 files that are no images (.txt)"),
        (lambda t: picture(t.parent / "docs/0.png"), "folders that are not read: docs"),
        (lambda t: picture(t.parent / "0.png"), "left out: 1 images beside the folders"),
    ],
)
def test_what_is_no_image_of_the_set_is_left_out_with_a_count(tmp_path, change, note):
    tree(tmp_path)
    change(tmp_path / "train")
    read = read_table(tmp_path)
    assert (read.classes, len(read.where(0))) == (("a", "b"), 6)
    assert any(note in said for said in read.notes), read.notes


def test_all_formats_of_pillow_are_taken(tmp_path):
    tree(tmp_path)
    for ending in ("gif", "avif", "webp", "TIFF"):
        picture(tmp_path / f"train/a/x.{ending}")
    shutil.copy(picture(tmp_path / "x.jpg"), tmp_path / "train/a/x.jfif")
    assert len(read_table(tmp_path).where(0)) == 11


def test_folders_called_by_numbers_are_ordered_as_numbers(tmp_path):
    names = tuple(str(i) for i in range(1, 11))
    tree(tmp_path, classes=names, n=1)
    assert read_table(tmp_path).classes == names
    random_pictures(tmp_path / "digits/0", 4)
    random_pictures(tmp_path / "digits/1", 4, seed=1)
    random_pictures(tmp_path / "digits/2", 4, seed=2)
    assert read_table(tmp_path / "digits").classes == ("0", "1", "2")  # classes, not splits


def lone(folder):
    for name in ("train/b", "test/b"):
        shutil.rmtree(folder / name)


def nothing(folder):
    shutil.rmtree(folder / "train")
    shutil.rmtree(folder / "test")


def emptied(folder):
    for path in (folder / "train/b").iterdir():
        path.unlink()


TREES = [
    (nothing, "holds no images and no metadata.csv; images belong into .*/train/CLASS/"),
    (lambda f: shutil.rmtree(f / "train"), "has a folder test and none called train"),
    (lambda f: shutil.rmtree(f / "test"), "has no test images"),
    (lambda f: shutil.rmtree(f / "test/b"), "/test lacks the class b that .*/train has"),
    (lambda f: (f / "test/b").rename(f / "test/B"), "/train lacks the class B that .*/test has"),
    (emptied, "/train/b holds no image"),
    (lone, "/train/a is the only class folder"),
    (lambda f: picture(f / "train/x.png"), r"/train/x\.png lies in no class folder"),
    (lambda f: picture(f / "train/a/b/c/x.png"), r"/train/a/b/c/x\.png lies in too many folders"),
    (lambda f: picture(f / "train/a/b/x.png"), "lie at different depths"),
    (lambda f: picture(f / "test/a/b/x.png"), "lie at different depths"),
    (lambda f: (f / "metadata.jsonl").write_text("{}"), "jsonl cannot be read; write its columns as metadata.csv"),
    (lambda f: shutil.copytree(f / "train", f / "training"), "has two folders for train"),
]


@pytest.mark.parametrize(("change", "said"), TREES)
def test_wrong_trees_end_in_one_line(tmp_path, change, said):
    tree(tmp_path)
    change(tmp_path)
    with pytest.raises(UserError, match=said) as error:
        read_table(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_a_tree_one_folder_too_deep(tmp_path):
    tree(tmp_path / "one", below="data")
    with pytest.raises(UserError, match=r"train/data is the only class folder.*\(a, b\) are the classes, move them up"):
        read_table(tmp_path / "one")
    tree(tmp_path / "two/set")
    with pytest.raises(UserError, match=r"one further down; give .*two/set"):
        read_table(tmp_path / "two")


def test_flags_that_a_tree_has_no_use_for(tmp_path):
    tree(tmp_path)
    with pytest.raises(UserError, match="--target y names nothing"):
        read_table(tmp_path, "y")
    with pytest.raises(UserError, match="has no bias folders"):
        read_table(tmp_path, bias=("bias",))
    with pytest.raises(UserError, match="does not exist"):
        read_table(tmp_path / "nowhere")
    with pytest.raises(UserError, match="neither a folder nor"):
        read_table(picture(tmp_path / "x.png"))


@pytest.mark.parametrize(
    "splits", [("training_set", "test_set"), ("train2017", "val2017", "test2017"), ("seg_train", "seg_test")]
)
def test_folders_that_look_like_splits_are_no_classes(tmp_path, splits):
    tree(tmp_path, splits=splits)
    with pytest.raises(UserError, match="look like splits; call them train, val and test"):
        read_table(tmp_path)


def test_other_words_for_validation(tmp_path):
    for word in ("validate", "eval", "dev"):
        tree(tmp_path / word, splits=("train", word, "test"))
        assert len(read_table(tmp_path / word).where(1)) == 6


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_is_not_read(tmp_path):
    tree(tmp_path)
    os.mkfifo(tmp_path / "train" / "a" / "pipe.png")
    assert "left out: 1 what is no file" in read_table(tmp_path).notes


def test_folders_may_have_any_name(tmp_path):
    tree(tmp_path, classes=("null", "nan", " "))
    assert read_table(tmp_path).classes == (" ", "nan", "null")


def test_stray_tables_beside_folders_of_images(tmp_path):
    for name in ("a", "b"):
        random_pictures(tmp_path / name, 10)
    (tmp_path / "predictions.csv").write_text("file,class,probability\na/000.png,b,0.9\n")
    assert read_table(tmp_path).classes == ("a", "b")
