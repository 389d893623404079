"""Image files of every mode: what a person sees is what the network gets; what cannot be read is one line."""

import argparse

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.functional import center_crop, resize

from common.errors import UserError
from dataset.pictures import color, decode, grey, read_picture, too_dark
from tests.dataset.sets import random_pictures

DISC = np.hypot(*(np.mgrid[:56, :56] - 27.5)) < 18
DEEP = np.where(DISC, 0.6 * 65535, 0.2 * 65535)


@pytest.mark.parametrize(
    ("name", "pixels", "how"),
    [
        ("grey16.png", DEEP.astype("u2"), {}),
        ("grey16.tif", DEEP.astype("u2"), {}),
        ("packed.tif", DEEP.astype("u2"), {"compression": "tiff_lzw"}),
        ("big_endian.tif", DEEP.astype(">u2"), {}),
        ("int32.tif", DEEP.astype("i4"), {}),
        ("bytes_as_int32.tif", np.where(DISC, 153, 51).astype("i4"), {}),
        ("float01.tif", np.where(DISC, 0.6, 0.2).astype("f4"), {}),
        ("float255.tif", np.where(DISC, 153, 51).astype("f4"), {}),
    ],
)
def test_deep_greys_keep_their_brightness(tmp_path, name, pixels, how):
    Image.fromarray(pixels).save(tmp_path / name, **how)
    read = read_picture(tmp_path / name, 28)
    assert read[14, 14].tolist() == [153] * 3
    assert read[1, 1].tolist() == [51] * 3


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=2, max_size=20))
def test_greys_of_any_range_keep_their_order(values):
    values = np.array([sorted(values)], np.int32)
    for mode, pixels in (("I", values), ("F", values.astype(np.float32) / 7), ("I;16", values.astype(np.uint16))):
        assert (np.diff(grey(np.sort(pixels), mode).astype(int)) >= 0).all()


def test_values_that_are_no_numbers_are_refused(tmp_path):
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(UserError, match=r"x\.tif cannot be read .*it holds values that are not finite"):
        read_picture(tmp_path / "x.tif", 8)


def test_transparent_places_show_the_background(tmp_path):
    background = 10, 20, 30
    icon, hidden = np.zeros((56, 56, 4), np.uint8), np.zeros((56, 56, 4), np.uint8)
    icon[:], icon[DISC, 3] = (200, 30, 30, 0), 255
    hidden[DISC], hidden[~DISC] = (200, 30, 30, 255), (0, 255, 0, 0)
    files = {"icon.png": Image.fromarray(icon), "hidden.png": Image.fromarray(hidden)}
    files["hidden.webp"] = files["hidden.png"]
    files["palette.gif"] = files["icon.png"]
    for name, image in files.items():
        image.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
        read = read_picture(tmp_path / name, 28, background)
        assert np.abs(read[14, 14].astype(int) - (200, 30, 30)).max() <= 2, name
        assert read[1, 1].tolist() == list(background), name


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_colour_that_stands_for_transparent(tmp_path, mode):
    if mode == "P":
        image, clear = Image.fromarray(np.where(DISC, 1, 0).astype(np.uint8)).convert("P"), 0
        image.putpalette([9, 9, 9, 200, 200, 200])
    else:
        image = Image.fromarray(np.where(DISC, 200, 7).astype(np.uint8)).convert(mode)
        clear = 7 if mode == "L" else (7, 7, 7)
    image.save(tmp_path / "x.png", transparency=clear)
    read = read_picture(tmp_path / "x.png", 28, (1, 2, 3))
    assert read[1, 1].tolist() == [1, 2, 3]
    assert abs(int(read[14, 14, 0]) - 200) < 8


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "CMYK", "LA"])
def test_white_stays_white(tmp_path, mode):
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.new("RGB", (50, 31), (255, 255, 255)).convert(mode).save(path)
    read = read_picture(path, 28)
    assert (read.shape, read.dtype, read.min()) == ((28, 28, 3), np.uint8, 255)


@pytest.mark.parametrize("name", ["x.jpg", "x.webp", "x.tif", "deep.png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_upright(tmp_path, name, orientation):
    pixels = np.zeros((40, 60), np.uint8)
    pixels[:20, :30] = 255  # bright in one quarter
    image = Image.fromarray(pixels.astype(np.uint16) * 257 if "deep" in name else pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / name, exif=exif)
    read = read_picture(tmp_path / name, 20)[..., 0]
    corners = [read[2, 2], read[2, -3], read[-3, -3], read[-3, 2]]  # clockwise
    assert np.argmax(corners) == (0, 1, 2, 3, 0, 1, 2, 3)[orientation - 1]
    assert sorted(corners)[2] < 60


def test_scaled_and_cut_as_torchvision_does_for_evaluation(tmp_path):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(256, size=(90, 30, 3), dtype=np.uint8))
    image.save(tmp_path / "x.png")
    expected = center_crop(resize(image, 15), 15)
    differ = np.abs(read_picture(tmp_path / "x.png", 15).astype(int) - np.asarray(expected))
    assert differ.max() <= 1


def cut(path):
    path.write_bytes(path.read_bytes()[:500])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "cannot be read .*; replace or remove it"),
        (lambda p: p.write_text("x"), "cannot identify image file"),
        (lambda p: p.unlink(), "is missing"),
        (lambda p: (p.unlink(), p.mkdir()), "cannot be read"),
    ],
)
def test_broken_images_are_one_line_with_their_name(tmp_path, damage, said):
    (path,), _ = random_pictures(tmp_path, 1, 40)
    damage(tmp_path / "000.png")
    with pytest.raises(UserError, match=said) as error:
        read_picture(path, 28)
    assert str(error.value).count(path) == 1
    assert "\n" not in str(error.value)
    assert "<" not in str(error.value)


def test_many_are_read_in_threads_and_the_bad_ones_named(tmp_path):
    paths, images = random_pictures(tmp_path, 70, 16)
    (tmp_path / "005.png").write_text("x")
    (tmp_path / "064.png").unlink()
    read = np.zeros_like(images)
    found = decode(paths, 16, read.__setitem__, show=False)
    assert list(found.bad) == [5, 64]
    assert all(paths[i] in reason for i, reason in found.bad.items())
    good = np.setdiff1d(np.arange(70), list(found.bad))
    assert np.array_equal(read[good], images[good])
    assert found.brightest[good].tolist() == images[good].max((1, 2, 3)).tolist()
    assert len(set(found.content[good].tolist())) == 68


def exif(damage):
    """A sound block of EXIF with an orientation, and damaged."""
    block = Image.Exif()
    block[0x0112], block[0x010E] = 6, "of a camera"
    return damage(block.tobytes())


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow says so too
@pytest.mark.parametrize("ending", ["png", "webp", "jpg"])
@pytest.mark.parametrize("damage", [lambda e: e[:10], lambda e: e[:-9], lambda e: e[:6] + b"XX" + e[8:], lambda e: b""])
def test_a_sound_picture_is_read_whatever_its_exif_is(tmp_path, ending, damage):
    path = tmp_path / f"x.{ending}"
    Image.fromarray(np.full((30, 20, 3), 90, np.uint8)).save(path, exif=exif(damage))
    assert read_picture(path, 8)[4, 4].tolist() == [90, 90, 90]


def test_a_narrow_range_of_values_is_said():
    (said,) = too_dark(np.array([4, 16, 255], np.uint8))  # 12 bits in files of 16
    assert said.startswith("in 2 of 3 images no value is above 16 of 255, so few levels are left")
    assert too_dark(np.array([16, 255, 255], np.uint8)) == too_dark(np.zeros(0, np.uint8)) == []


@pytest.mark.parametrize("text", ["nocolor", "1,2,3", "#12345", ""])
def test_what_is_no_colour(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no colour"):
        color(text)
    assert color("#0114ff") == "#0114ff"
