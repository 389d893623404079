"""The suite of biases: counts, and what tells of the bias and of the label."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scripts import biases
from scripts.biases import BIASES
from tests.dataset.sets import refused


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(biases, "TRAIN", 400)
    monkeypatch.setattr(biases, "VAL", 20)
    monkeypatch.setattr(biases, "TEST", 100)


def made(folder, *words):
    biases.main([*words, "--out", str(folder)])
    table = pd.read_csv(folder / "metadata.csv", dtype=str)
    return table, np.stack([np.asarray(Image.open(folder / name)) for name in table.filename])


@pytest.mark.parametrize("name", BIASES)
def test_counts_are_exact(name, tmp_path):
    table, pictures = made(tmp_path / "set", name)
    kind = BIASES[name]
    assert pictures.shape[1:] == (32, 32, 3)
    assert set(table.label) == set(kind.labels)
    train = pd.crosstab(table[table.split == "train"].label, table[table.split == "train"].bias)
    each = 400 // len(kind.labels)
    for k, label in enumerate(kind.labels):
        own = kind.values[k * len(kind.values) // len(kind.labels)]
        assert train.loc[label, own] == round(each * kind.share)
        others = train.loc[label].drop(own)
        assert others.sum() == each - round(each * kind.share)
        assert others.max() - others.min() <= 1
    for split in ("val", "test"):
        part = table[table.split == split]
        counts = pd.crosstab(part.label, part.bias)
        assert counts.shape == (len(kind.labels), len(kind.values))
        assert counts.min().min() == counts.max().max() >= 1


def test_the_same_seed_gives_the_same_pixels(tmp_path):
    table, pictures = made(tmp_path / "a", "texture")
    again, same = made(tmp_path / "b", "texture")
    _, different = made(tmp_path / "c", "texture", "--seed", "1")
    assert table.equals(again)
    assert np.array_equal(pictures, same)
    assert not np.array_equal(pictures, different)


def test_one_value_in_n_is_no_bias(tmp_path):
    table, _ = made(tmp_path / "set", "texture", "--share", "0.25")
    train = table[table.split == "train"]
    assert pd.crosstab(train.label, train.bias).to_numpy().tolist() == [[25] * 4] * 4


def measure(name, picture):
    """A number that tells the first value of the bias from the second by its sign; of `mark`, its place."""
    grey = picture.astype(float).mean(2)
    if name == "place":
        return np.abs(grey - np.median(grey))[:, :16].sum() - np.abs(grey - np.median(grey))[:, 16:].sum()
    if name == "brightness":
        return 127 - grey.mean()
    return np.abs(np.diff(grey, axis=0)).max() - 90


@pytest.mark.parametrize("name", ["place", "brightness", "blur"])
def test_the_bias_is_what_it_says(name, tmp_path):
    table, pictures = made(tmp_path / "set", name)
    first = table.bias == BIASES[name].values[0]
    found = np.array([measure(name, picture) > 0 for picture in pictures])
    assert (found == first).mean() > 0.9


def test_wrong_input_is_one_line(tmp_path, capsys):
    assert "not a number from 0 to 1" in refused(capsys, biases.main, ["texture", "--share", "2", "--out", "x"])
    (tmp_path / "metadata.csv").touch()
    assert "is there already" in refused(capsys, biases.main, ["texture", "--out", tmp_path])
