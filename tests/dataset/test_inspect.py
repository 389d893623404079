"""The look at one's own images: the counts, whether there is a bias, the troubles by name, and the sheet."""

import shutil

import numpy as np
import pytest
from PIL import Image

from dataset import images
from dataset.inspect import best_guess, overview, verdict
from dataset.tables import read_table
from tests.dataset import sets
from tests.dataset.sets import BIRDS, birds, random_pictures, table, tree


def look(capsys, *flags):
    """What the command prints."""
    images.main([str(flag) for flag in flags])
    return capsys.readouterr().out


def refused(capsys, *flags):
    return sets.refused(capsys, images.main, flags)


def unlike(folder, rows):
    """Gives every image of a set bytes of its own."""
    for i, row in enumerate(rows):
        (path,), _ = random_pictures(folder / "one", 1, 12, seed=i)
        shutil.move(path, folder / row[1])
    shutil.rmtree(folder / "one")


def test_a_set_with_a_bias(tmp_path, capsys):
    rows = birds(tmp_path, (40, 8, 8))
    unlike(tmp_path, rows)
    said = look(capsys, tmp_path, "--out", tmp_path / "sheet.png", "--image_size", 16)
    assert f"{tmp_path}/metadata.csv: 100 train, 32 val, 32 test images, 2 classes" in said
    counts = [line.split() for line in said.splitlines()]
    assert ["train", "0", "40", "10", "50"] in counts
    assert ["test", "0", "8", "8", "16"] in counts
    assert "in training, place alone tells 0.8000 of the labels, 0.5" in said
    assert "a bias, 2" in said
    assert "all images can be read, none is there twice" in said
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (8 * 18 + 2, 4 * 18 + 2)  # eight of each of four groups
    assert "is there already" in refused(capsys, tmp_path, "--out", tmp_path / "sheet.png")


def test_troubles_are_named(tmp_path, capsys):
    rows = birds(tmp_path)
    unlike(tmp_path, rows)
    (tmp_path / rows[3][1]).write_text("x")
    (tmp_path / rows[12][1]).unlink()
    shutil.copy(tmp_path / rows[0][1], tmp_path / rows[-1][1])
    rows.append([0, rows[5][1], 1, 2, 0, ""])
    table(tmp_path / "metadata.csv", BIRDS, rows)
    said = look(capsys, tmp_path)
    where = f"  {tmp_path}/metadata.csv, row"
    assert f"images that cannot be read: 2\n{where} 5: {rows[3][1]}: {tmp_path / rows[3][1]} cannot" in said
    assert f"{where} 14: {rows[12][1]}: {tmp_path / rows[12][1]} is missing" in said
    assert f"with the bytes of another: 2\n{where} 37: {rows[-2][1]} = " in said
    assert f"{where} 38: {rows[5][1]} = {where.strip()} 7: {rows[5][1]} (test and train; 1 and 0)" in said
    assert "20 train" in said


def test_empty_groups_several_biases_and_no_bias(tmp_path):
    rows = [r for r in birds(tmp_path) if r[3] or r[2] == 0 or r[4] == 1]
    coins = [[*r, "" if r[3] == 2 else i % 2] for i, r in enumerate(rows)]
    table(tmp_path / "metadata.csv", (*BIRDS, "coin"), coins)
    text = overview(read_table(tmp_path, bias=("place", "coin")))
    assert "groups without a training image: 1 / 0" in text
    assert text.count("(no label)") == 1
    text = overview(read_table(tmp_path, "place"))
    assert text.endswith("no bias label is known, so there are no groups; say which column with --bias")


@pytest.mark.parametrize(("values", "n", "strength", "said"), [
    (2, 1000, 0.6, "a bias"),
    (100, 1000, 0.6, "a bias"),
    (2, 1000, 0, "no more than chance"),
    (100, 300, 0, "no more than chance"),  # many rare values tell the labels of the very images they are counted on
    (250, 260, 0, "no more than chance"),
    (2, 12, 0, "no more than chance"),
])  # fmt: skip
@pytest.mark.parametrize("seed", range(3))
def test_whether_there_is_a_bias(values, n, strength, said, seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(2, size=n)
    bias = np.where(
        rng.random(n) < strength, label + 2 * rng.integers(values // 2, size=n), rng.integers(values, size=n)
    )
    line, verdict_ = verdict("place", label, bias)
    assert verdict_.startswith(said), line


def test_best_guess():
    label = np.array([0, 0, 0, 1, 1, 2])
    assert best_guess(label, np.array([0, 0, 1, 1, 1, 1])) == 4 / 6
    assert best_guess(label, np.zeros(6, int)) == 0.5


def test_a_bias_that_no_training_image_contradicts(tmp_path):
    tree(tmp_path, biases=("x",), classes=("a",))
    tree(tmp_path, biases=("z",), classes=("b",))
    line = "no training image contradicts the bias bias: nothing can be learned about the class without it; no method "
    assert f"\n{line}helps" in overview(read_table(tmp_path))
    tree(tmp_path, biases=("x",), classes=("b",), n=1)
    assert "no method helps" not in overview(read_table(tmp_path))
