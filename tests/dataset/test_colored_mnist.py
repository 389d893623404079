"""Colored-MNIST: its bytes, its recipe, the data set that train.py takes, and the command."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import dataset
from common.errors import UserError
from dataset import colored_mnist, data_sets
from dataset.base import hold_out
from dataset.batches import FactoredData, ImageData, luma
from dataset.colored_mnist import COLOR_VARS, MEAN_COLORS, ColoredSet, Split, build, jitter
from tests.processes import refused

CARD = Path(dataset.__file__).with_name("README.md").read_text("utf-8")


def option(**changes):
    given = {"color_var": 0.02, "data_dir": None, "data_seed": 0, "holdout": 0, "dry_run": False}
    return SimpleNamespace(**(given | changes))


@pytest.mark.parametrize("color_var", [COLOR_VARS[0], COLOR_VARS[-1]])
def test_the_bytes_are_those_of_the_data_card(color_var):
    data = ColoredSet(option(color_var=color_var), "cpu")
    assert f"| {color_var} | `{data.fingerprint()}` |" in CARD


def test_the_recipe(mnist):
    data = build(0.0125, 3, mnist)
    assert np.array_equal(data.train.mask, mnist.train_images > 128)
    assert np.array_equal(data.test_gray, mnist.test_images)
    digits = [data.train.color[data.train.label == digit] / 255 for digit in range(10)]
    for mean, colors in zip(MEAN_COLORS / 255, digits, strict=True):
        inner = (mean > 0.3) & (mean < 0.7)  # where next to nothing is drawn again
        assert np.allclose(colors[:, inner].mean(0), mean[inner] - 0.5 / 255, atol=0.006)
        assert np.allclose(colors[:, inner].std(0), np.sqrt(0.0125), rtol=0.05)
    nearest = (((data.test.color[:, None] / 255 - MEAN_COLORS / 255) ** 2).sum(2)).argmin(1)
    assert (nearest == data.test.label).mean() == pytest.approx(0.1, abs=0.02)


def test_colours_are_drawn_again_and_not_clipped():
    drawn = jitter(np.full((50_000, 3), 250), 0.05, np.random.RandomState(0)) / 255
    free = np.random.RandomState(1).normal(250 / 255, np.sqrt(0.05), (200_000, 3))
    kept = free[(free > 0) & (free < 1)]
    assert drawn.mean() == pytest.approx(kept.mean() - 0.5 / 255, abs=0.003)
    assert drawn.std() == pytest.approx(kept.std(), abs=0.003)


@pytest.mark.parametrize("color_var", [0.0001, 0.0125, 0.00515, 0.1])
def test_any_variance_is_built_and_none_is_rounded(color_var):
    data = ColoredSet(option(color_var=color_var, dry_run=True), "cpu")
    assert ColoredSet.setting(option(color_var=color_var)) == f"σ² = {color_var}"
    assert len(data.train) == 128
    assert data.fingerprint() != ColoredSet(option(color_var=round(color_var, 3) or 0.001), "cpu").fingerprint()
    (flag,) = (flag for flag in ColoredSet.flags if flag.name == "color_var")
    assert flag.type(str(color_var)) == color_var
    for wrong in ("0", "0.11", "-1", "nan"):
        with pytest.raises(Exception, match="above 0 and up to 0"):
            flag.type(wrong)


@pytest.mark.parametrize(("grey", "fingerprint"), [
    (False, "3b678d1cbcd870424e72d0633976964e440441a80668232ab6264e178a6215fb"),
    (True, "cbe41d67652aed78bca53c850ccb2a98dfec1b459dc33b20c0fd407e208cc05e"),
])  # fmt: skip
def test_the_data_set_is_that_of_earlier_runs(grey, fingerprint):
    data = ColoredSet(option(), "cpu", grey=grey)
    assert data.fingerprint() == fingerprint  # of commit 3bf2ffc: runs compare it when they go on
    assert list(data.test) == ["test_accuracy", *(["test_luma_accuracy"] if grey else [])]
    assert data.train.image_bias is None
    assert data.inputs()["size"] == 28


def test_pixels_and_grey_are_the_same_images():
    for grey in (False, True):
        masks, pixels = (ColoredSet(option(dry_run=True), "cpu", grey, pixels=p) for p in (False, True))
        assert (type(masks.train), type(pixels.train)) == (FactoredData, ImageData)
        part = masks.train
        images = Split(part.padded[:, 2:-2, 2:-2].numpy() > 0, part.color.numpy(), part.label.numpy()).images()
        assert np.array_equal(pixels.train.images.numpy(), images)
        assert np.array_equal(luma(images), images) == grey


def test_held_out_images_and_their_unbiased_colours():
    data, given = ColoredSet(option(), "cpu"), option(holdout=1000)
    train, held_out = hold_out(data.train, given)
    assert (len(train), len(held_out)) == (59000, 1000)
    other = data.unbiased_holdout(held_out, given)
    assert torch.equal(other.padded, held_out.padded)
    nearest = ((other.color[:, None].float() - torch.from_numpy(MEAN_COLORS).float()) ** 2).sum(2).argmin(1)
    assert (nearest == other.label).float().mean() < 0.15
    with pytest.raises(UserError, match="--holdout 59999 leaves less than two of the 60000"):
        hold_out(data.train, option(holdout=59999))


def test_wrong_flags(tmp_path):
    ColoredSet.check(option(data_seed=1))
    with pytest.raises(UserError, match="--data_seed is for data that is built"):
        ColoredSet.check(option(data_dir=str(tmp_path), data_seed=1))
    with pytest.raises(UserError, match=r"No such file.*leave --data_dir out"):
        ColoredSet(option(data_dir=str(tmp_path)), "cpu")


def test_the_command_writes_a_released_file(tmp_path, capsys):
    flags = ["--color_var", "0.02", "--out", str(tmp_path / "data")]
    colored_mnist.main(flags)
    data = ColoredSet(option(data_dir=str(tmp_path / "data")), "cpu")
    assert data.fingerprint() == ColoredSet(option(), "cpu").fingerprint()
    assert "is there already" in refused(capsys, colored_mnist, *flags)


def test_data_sets_are_found_by_their_files():
    assert list(data_sets()) == ["colored_mnist", "biased_mnist", "images"]
