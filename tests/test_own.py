"""Data of one's own: trees of images become a data set that trains, and broken ones end in one line."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from dataset import own
from dataset.released import OWN, read_released, released_name
from errors import UserError
from tests.processes import run
from tests.test_options import refused

NAMES = ("apple", "pear")


def tree(folder, images, suffix="png"):
    """Writes uint8 (classes, n, height, width, 3) as a tree of image files; returns its folder."""
    for name, group in zip(NAMES, images, strict=True):
        (folder / name).mkdir(parents=True)
        for index, image in enumerate(group):
            Image.fromarray(image).save(folder / name / f"{index:03d}.{suffix}")
    return folder


@pytest.fixture
def flags(tmp_path):
    """The flags for two trees of random images, and where the data set goes."""
    rng = np.random.default_rng(0)
    for name, n in (("train", 32), ("test", 4)):
        tree(tmp_path / name, rng.integers(256, size=(2, n, 28, 28, 3), dtype=np.uint8))
    return ["--train", tmp_path / "train", "--test", tmp_path / "test", "--out", tmp_path / "data"]


def test_images_of_the_right_size_are_kept_as_they_are(tmp_path, flags, capsys):
    own.main([*map(str, flags)])
    data = read_released(tmp_path / "data" / released_name(OWN))
    for name, n, images, labels in (("train", 32, *data[:2]), ("test", 4, *data[2:4])):
        assert labels.tolist() == [0] * n + [1] * n
        for label, fruit in enumerate(NAMES):
            for index in range(n):
                with Image.open(tmp_path / name / fruit / f"{index:03d}.png") as image:
                    assert np.array_equal(images[label * n + index], np.asarray(image))
    with Image.open(tmp_path / "test/pear/003.png") as image:
        assert np.array_equal(data.test_gray[-1], np.asarray(image.convert("L")))
    out = capsys.readouterr().out
    assert "classes: 0 apple, 1 pear" in out
    assert f"bash train.sh --data_dir {tmp_path / 'data'} --color_var 1" in out


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "CMYK"])
def test_every_mode_and_size_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.new("RGB", (50, 31), (255, 255, 255)).convert(mode).save(path)
    read = own.read_image(path)
    assert (read.shape, read.dtype, read.min()) == ((28, 28, 3), np.uint8, 255)


def test_photographs_are_turned_upright(tmp_path):
    image = Image.new("RGB", (60, 40))
    image.paste((255, 255, 255), (0, 0, 30, 40))  # the left half; turned as its EXIF says, the upper one
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "x.jpg", exif=exif)
    read = own.read_image(tmp_path / "x.jpg")
    assert read[:12].min() > 200
    assert read[-12:].max() < 50


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of odd metadata
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_flipped_bytes_are_one_line_or_an_image(tmp_path, suffix):
    rng = np.random.default_rng(1)
    path = tmp_path / f"x.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rng.integers(256, size=(40, 30, 3), dtype=np.uint8)).save(path, exif=exif)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    refusals = 0
    for _ in range(150):
        changed = whole.copy()
        changed[rng.integers(min(200, len(whole)), size=3)] = rng.integers(256, size=3)
        path.write_bytes(changed.tobytes())
        try:
            assert own.read_image(path).shape == (28, 28, 3)
        except UserError:
            refusals += 1
    assert refusals > 10


def no_folder(folder):
    shutil.rmtree(folder / "test")
    return "is not a folder"


def no_class(folder):
    for name in NAMES:
        shutil.rmtree(folder / "test" / name)
    return "class folder"


def other_classes(folder):
    (folder / "test/pear").rename(folder / "test/plum")
    return "test lacks the class pear"


def empty_class(folder):
    for path in (folder / "train/pear").iterdir():
        path.unlink()
    return "pear"


def many_classes(folder):
    for label in range(9):
        shutil.copytree(folder / "train/pear", folder / f"train/x{label}")
    return "11 classes"


def no_image(folder):
    (folder / "train/pear/000.png").write_text("x")
    return "pear/000.png cannot be read"


def cut_image(folder):
    path = folder / "train/pear/001.png"
    path.write_bytes(path.read_bytes()[:500])
    return "pear/001.png cannot be read"


def file_in_the_way(folder):
    (folder / "data").write_text("mine")
    return "--out"


BREAK = (no_folder, no_class, other_classes, empty_class, many_classes, no_image, cut_image, file_in_the_way)


@pytest.mark.parametrize("damage", BREAK)
def test_broken_trees(tmp_path, flags, capsys, damage):
    expected = damage(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert expected in refused(capsys, own, *flags)
    assert sorted(tmp_path.rglob("*")) == before


def test_decompression_bombs_and_too_many_images(tmp_path, flags, capsys, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)  # refused from twice as many on
    assert "cannot be read" in refused(capsys, own, *flags)
    monkeypatch.setattr(own, "MAX_BYTES", 64 * 28 * 28 * 3)
    assert "give fewer" in refused(capsys, own, *flags)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("method", ["lntl", "blindeye", "lntl_plus", "gray"])
def test_all_methods_train_on_them(tmp_path, flags, method):
    own.main([*map(str, flags)])
    data = f"--data_dir {tmp_path / 'data'} --color_var 1 --save_dir {tmp_path}"
    short = f"{data} --device cpu --threads 1 --max_step 1 --batch_size 16 --random_seed 1"
    start = []
    if method in ("lntl", "blindeye"):
        refusal = run("-e", "own", "--method", method, *short.split())
        assert "train one (--method baseline)" in refusal.stderr  # rather than Colored-MNIST's
        first = run("-e", "baseline", "--method", "baseline", *short.split())
        assert first.returncode == 0, first.stderr
        start = ["--checkpoint", str(tmp_path / "baseline/final.pth")]
    trained = run("-e", "own", "--method", method, *short.split(), *start)
    assert trained.returncode == 0, trained.stderr
    metrics = json.loads((tmp_path / "own/metrics.json").read_text())
    assert metrics["n"] == 8
    assert sum(map(sum, metrics["confusion"])) == 8
    assert (tmp_path / "own/confusion_matrix.png").exists()
