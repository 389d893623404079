"""The maker of cut-outs, on small stand-ins of Debian's packages."""

import collections
import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataset.tables import read_table
from scripts import cutouts
from tests.dataset.sets import picture, refused

STAMPS = ("animals/birds/hen", "animals/mammals/dogs/fox", "animals/marsupials/koala", "food/fig", "food/nut",
          "food/fruit/Apricot_whole", "food/fruit/apricot")  # fmt: skip
DRAWN = ("animals/birds/cartoon/tux", "animals/fish/shark", "food/pizza")  # or of no class


@pytest.fixture
def debian(tmp_path):
    """(stamps, photographs): red blocks on a transparent ground, and plants less blue than water."""
    for name in STAMPS + DRAWN:
        image = Image.new("RGBA", (30, 20), (0, 0, 0, 0))
        image.paste((250, 10, 10, 255), (8, 5, 24, 15))
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / f"{name}.png")
    for name in ("Garden", "GreenMeadow", "Path"):
        picture(tmp_path / f"kde/{name}/contents/images/1x1.jpg", size=(8, 8))
        picture(tmp_path / f"kde/{name}/contents/images/9x9.jpg", (20, 40, 50), (90, 70))
    for name in ("Aqua", "Storm", "Kite"):
        picture(tmp_path / f"mate/{name}.jpg", (20, 40, 150), (90, 70))
    return cutouts.debian_stamps(tmp_path), cutouts.debian_photographs(tmp_path / "mate", tmp_path / "kde")


def made(out, debian, share=0.9, seed=0):
    cutouts.make(out, *debian, (40, 8, 8), share, seed)
    return pd.read_csv(out / "metadata.csv")


def test_debians_folders(debian):
    """Drawings are left out, things whose names begin alike are one, and of several sizes the largest is taken."""
    stamps, photographs = debian
    assert {k: sorted(v) for k, v in stamps.items()} == {
        "animal": ["fox", "hen", "koala"], "food": ["apricot", "fig", "nut"],
    }  # fmt: skip
    assert [p.stem for p in stamps["food"]["apricot"]] == ["Apricot_whole", "apricot"]
    assert [p.name for (p,) in photographs["plants"].values()] == ["9x9.jpg"] * 3
    assert sorted(photographs["water"]) == ["Aqua", "Kite", "Storm"]


def test_groups_and_splits(tmp_path, debian):
    rows = made(tmp_path / "set", debian)
    n = collections.Counter(zip(rows.split, rows.y, rows.place, strict=True))
    assert (n[0, "animal", "plants"], n[0, "food", "water"]) == (36, 36)
    assert (n[0, "animal", "water"], n[0, "food", "plants"]) == (4, 4)
    assert {count for (split, *_), count in n.items() if split} == {4}
    assert len(n) == 12
    for column in ("thing", "photograph"):
        assert (rows.groupby(column)["split"].nunique() == 1).all()  # nothing is in two splits
    table = read_table(tmp_path / "set")
    assert (table.classes, table.values) == (("animal", "food"), (("plants", "water"),))
    assert all(map(os.path.exists, table.paths))


def test_images_show_the_stamp_on_the_photograph(tmp_path, debian):
    for row in made(tmp_path / "set", debian)[::20].itertuples():
        image = Image.open(tmp_path / "set" / row.img_filename)
        assert (image.mode, image.size) == ("RGB", (64, 64))
        pixels = np.asarray(image).astype(int)
        red = pixels[..., 0] > 200
        height, width = (np.flatnonzero(red.any(axis)) for axis in (1, 0))
        assert 0.55 * 64 <= np.ptp(width) + 1 <= 0.97 * 64  # the longer side of what is not transparent
        assert red.sum() >= 0.9 * len(height) * len(width)
        assert abs(np.median(pixels[~red][:, 2]) - (150 if row.place == "water" else 50)) < 8


def test_the_same_seed_makes_the_same_images(tmp_path, debian):
    for i, seed in enumerate((3, 3, 4)):
        made(tmp_path / str(i), debian, seed=seed)
    first, same, other = ([p.read_bytes() for p in sorted((tmp_path / i / "images").iterdir())] for i in "012")
    assert first == same != other


def test_what_lacks_is_said_in_a_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cutouts, "debian_stamps", lambda: {"animal": {}})
    assert "apt-get install tuxpaint-stamps-default" in refused(capsys, cutouts.main, ["--out", tmp_path])
    (tmp_path / "metadata.csv").touch()
    assert "metadata.csv is there already" in refused(capsys, cutouts.main, ["--out", tmp_path])
