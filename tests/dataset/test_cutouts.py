"""The maker of cut-outs, on small stand-ins of Debian's packages and of one's own folders."""

import collections
import csv

import numpy as np
import pytest
from PIL import Image

from dataset.tables import read_table
from scripts import cutouts
from tests.dataset.sets import picture, refused

COUNTS = ("--images", 40, 8, 8)


def stamp(path, color=(250, 10, 10)):
    """Writes a cut-out: an opaque block of one colour on a transparent ground."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGBA", (30, 20), (0, 0, 0, 0))
    image.paste((*color, 255), (8, 5, 24, 15))
    image.save(path)


@pytest.fixture
def folders(tmp_path):
    """The flags for cut-outs and photographs in folders of their own, five of each kind, each of another colour."""
    for i in range(5):
        for j, name in enumerate(("cup", "hat")):
            stamp(tmp_path / "stamps" / name / f"{name}{i}.png", (255, 40 * i, 100 * j))
        for j, name in enumerate(("sand", "snow")):
            picture(tmp_path / "grounds" / name / f"{name}{i}.jpg", (20, 40 * i, 100 * j + 50), (90, 70))
    return ["--stamps", tmp_path / "stamps", "--backgrounds", tmp_path / "grounds"]


def made(out, *flags):
    """Makes a set: the rows of its metadata.csv."""
    cutouts.main([str(flag) for flag in (*flags, "--out", out)])
    with open(out / "metadata.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_groups_and_splits(tmp_path, folders):
    rows = made(tmp_path / "set", *folders, *COUNTS, "--share", 0.9)
    n = collections.Counter((row["split"], row["y"], row["place"]) for row in rows)
    own, other = [("cup", "sand"), ("hat", "snow")], [("cup", "snow"), ("hat", "sand")]
    assert {n["0", *group] for group in own} == {36}
    assert {n["0", *group] for group in other} == {4}
    assert {n[split, *group] for split in "12" for group in own + other} == {4}
    for column in ("thing", "photograph"):
        splits = collections.defaultdict(set)
        for row in rows:
            splits[row[column]].add(row["split"])
        assert len(splits) == 10
        assert all(len(s) == 1 for s in splits.values())  # nothing is in two splits
    table = read_table(tmp_path / "set")
    assert (table.classes, table.biases, table.values) == (("cup", "hat"), ("place",), (("sand", "snow"),))


def test_images_show_the_stamp_on_the_photograph(tmp_path, folders):
    for row in made(tmp_path / "set", *folders, *COUNTS)[::20]:
        image = Image.open(tmp_path / "set" / row["img_filename"])
        assert (image.mode, image.size) == ("RGB", (64, 64))
        pixels = np.asarray(image).astype(int)
        red = pixels[..., 0] > 200
        height, width = (np.flatnonzero(red.any(axis)) for axis in (1, 0))
        assert 0.55 * 64 <= np.ptp(width) + 1 <= 0.97 * 64  # the longer side of what is not transparent
        assert red.sum() >= 0.9 * len(height) * len(width)
        blue = 100 * (row["place"] == "snow") + 50
        assert abs(np.median(pixels[~red][:, 2]) - blue) < 8


def test_the_same_seed_makes_the_same_images(tmp_path, folders, capsys):
    sets = [made(tmp_path / str(i), *folders, *COUNTS, "--seed", seed) for i, seed in enumerate((3, 3, 4))]
    digests = [line.split()[-1] for line in capsys.readouterr().out.splitlines() if line.startswith("SHA-256")]
    assert sets[0] == sets[1] != sets[2]
    assert digests[0] == digests[1] != digests[2]
    name = sets[0][0]["img_filename"]
    assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()


def test_three_kinds(tmp_path, folders):
    for i in range(3):
        stamp(tmp_path / "stamps/pen" / f"{i}.png")
        picture(tmp_path / "grounds/wood" / f"{i}.jpg", size=(80, 80))
    rows = made(tmp_path / "set", *folders, *COUNTS)
    n = collections.Counter((row["y"], row["place"]) for row in rows if row["split"] == "0")
    assert sum(n.values()) == 120
    assert n["pen", "wood"] == n["cup", "sand"] == n["hat", "snow"] == 38
    assert n["pen", "sand"] + n["pen", "snow"] == 2


def test_debians_folders(tmp_path):
    """Drawings are left out, things whose names begin alike are one, and of several sizes the largest is taken."""
    for name in ("animals/birds/hen", "animals/birds/cartoon/tux", "animals/mammals/dogs/fox", "animals/fish/shark"):
        stamp(tmp_path / f"{name}.png")
    for name in ("food/fruit/Apricot_whole", "food/fruit/apricot", "food/pizza", "animals/marsupials/koala"):
        stamp(tmp_path / f"{name}.png")
    found = cutouts.debian_stamps(tmp_path)
    assert {k: sorted(v) for k, v in found.items()} == {"animal": ["fox", "hen", "koala"], "food": ["apricot"]}
    assert [p.stem for p in found["food"]["apricot"]] == ["Apricot_whole", "apricot"]
    picture(tmp_path / "kde/Path/contents/images/1x1.jpg", size=(8, 8))
    large = picture(tmp_path / "kde/Path/contents/images/9x9.jpg", size=(99, 99))
    storm = picture(tmp_path / "mate/Storm.jpg")
    found = cutouts.debian_photographs(tmp_path / "mate", tmp_path / "kde")
    assert found == {"plants": {"Path": [large]}, "water": {"Storm": [storm]}}


def test_what_lacks_is_said_in_a_line(tmp_path, capsys, folders, monkeypatch):
    out = ["--out", tmp_path / "set"]
    monkeypatch.setattr(cutouts, "debian_stamps", lambda: {})
    assert "apt-get install tuxpaint-stamps-default" in refused(capsys, cutouts.main, [*folders[2:], *out])
    (tmp_path / "grounds/sand/sand0.jpg").write_bytes(b"no image")
    assert "sand0.jpg cannot be read" in refused(capsys, cutouts.main, [*folders, *out])
    for i in range(3):
        (tmp_path / f"stamps/hat/hat{i}.png").unlink()
    said = "stamps: 2 of the kind hat; at least two kinds of three each are needed"
    assert said in refused(capsys, cutouts.main, [*folders, *out])
