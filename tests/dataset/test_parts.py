"""Parts of image sets: batches of images that are kept in memory or in a file, and how training images are changed."""

import math

import numpy as np
import pytest
import torch

from common.errors import UserError
from dataset import photographs
from dataset.batches import IGNORE_INDEX, affine_matrices, augment
from dataset.images import load
from dataset.photographs import MEAN, STD, Photographs
from dataset.pictures import read_picture
from dataset.tables import read_table
from tests.dataset.sets import birds

N, SIZE = 23, 16
EVERYTHING = ["flip", "crop", "affine"]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(256, size=(N, SIZE, SIZE, 3), dtype=np.uint8)


def part_of(images, kinds="none"):
    """The images as a part, all with label 0."""
    return Photographs(images, np.zeros(N, np.int64), np.zeros((N, 1), np.int64), augment=kinds)


def test_a_batch_is_the_specification(images):
    rng, index = np.random.default_rng(3), torch.tensor([4, 0, 22, 4])
    label, bias, position = rng.integers(4, size=N), rng.integers(3, size=(N, 2)), rng.permutation(N)
    bias[4] = IGNORE_INDEX
    data = Photographs(images, label, bias, augment=EVERYTHING, position=position)
    x, y, b = data.batch(index)  # not augmented, where it is not asked for
    expected = (torch.from_numpy(images[position])[index].double() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    torch.testing.assert_close(x.double(), expected.permute(0, 3, 1, 2), rtol=0, atol=1e-5)
    assert (x.dtype, x.is_contiguous(memory_format=torch.channels_last)) == (torch.float32, True)
    assert y.tolist() == label[index].tolist()
    assert (b.shape, b.dtype) == ((4, 2, 1, 1), torch.int64)
    assert b[:, :, 0, 0].tolist() == bias[index].tolist()
    assert (len(data), data.image_bias.tolist()) == (N, bias.tolist())
    part = data.subset(torch.tensor([3, 1, 20]))
    assert (len(part), part.label.tolist()) == (3, label[[3, 1, 20]].tolist())
    (handle,) = part.stream([torch.tensor([1])])
    assert all(map(torch.equal, part.batch(handle), data.batch(torch.tensor([1]))))


# ---- augmentation


@pytest.mark.parametrize("kinds", [["flip"], ["crop"], ["affine"], EVERYTHING])
def test_an_image_differs_at_each_draw_and_follows_the_global_generator(images, kinds):
    kept = part_of(images, kinds)
    index = torch.zeros(12, dtype=torch.int64)  # balanced draws give an image many times
    state = torch.get_rng_state()
    first, second = (kept.batch(index, augmented=True)[0] for _ in range(2))
    assert len(first.flatten(1).unique(dim=0)) == (2 if kinds == ["flip"] else 12)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(kept.batch(index, augmented=True)[0], first)


def test_flips_are_mirrored_images(images):
    kept = part_of(images, "flip")
    plain, seen = (kept.batch(torch.arange(N), augmented=augmented)[0] for augmented in (False, True))
    mirrored = (seen != plain).flatten(1).any(1)
    assert 0 < mirrored.sum() < N
    assert torch.equal(seen, torch.where(mirrored[:, None, None, None], plain.flip(3), plain))


def test_an_affine_change_keeps_its_bounds():
    draws = torch.rand(2000, 9, generator=torch.Generator().manual_seed(3))
    plain, mirrored = (affine_matrices(draws, kinds) for kinds in (["affine"], ["affine", "flip"]))
    centre, axes = plain[:, :, 2], plain[:, :, :2]
    assert 0.19 < centre.abs().max() <= 0.2  # of a side that is 2 long
    size = torch.linalg.det(axes).sqrt()
    assert 1 / 1.1 <= size.min() < 0.92
    assert 1.08 < size.max() <= 1 / 0.9 + 1e-6
    angle = torch.atan2(axes[:, 1, 0], axes[:, 0, 0]).abs().max()
    assert math.radians(19) < angle <= math.radians(20) + 1e-6
    torch.testing.assert_close(axes @ axes.mT, size[:, None, None] ** 2 * torch.eye(2).expand_as(axes))
    differ = (mirrored != plain).any(2)
    assert 0.45 < differ[:, 0].float().mean() < 0.55
    assert not differ[:, 1].any()
    assert torch.equal(mirrored[differ], -plain[differ])


def test_a_crop_is_a_part_of_the_image():
    matrices = affine_matrices(torch.rand(2000, 9, generator=torch.Generator().manual_seed(3)), ["crop"])
    width, height = matrices[:, 0, 0], matrices[:, 1, 1]
    assert (matrices[:, :, 2].abs() + torch.stack([width, height], 1) <= 1 + 1e-6).all()
    area, ratio = width * height, width / height
    assert 0.65 < area.min() < 0.72
    assert 3 / 4 - 1e-6 <= ratio.min() < ratio.max() <= 4 / 3 + 1e-6


def test_pixels_are_moved_as_the_matrices_say():
    ramp = torch.arange(32) * 4 + 40
    images = torch.stack([ramp.expand(32, 32), ramp.expand(32, 32).T, torch.full((32, 32), 77)], 2)
    images = images.expand(40, 32, 32, 3).to(torch.uint8).contiguous()
    torch.manual_seed(1)
    seen = augment(images, EVERYTHING)
    torch.manual_seed(1)
    matrices = affine_matrices(torch.rand(40, 9), EVERYTHING)
    at = (2 * torch.arange(32) + 1) / 32 - 1  # of the pixels' centres
    where = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)  # (32, 32, 2), x and y
    source = (where @ matrices[:, None, :, :2].mT + matrices[:, None, None, :, 2]).clamp(-31 / 32, 31 / 32)
    expected = 40 + 4 * (source * 32 + 31) / 2
    assert (seen[..., :2].float() - expected).abs().max() <= 0.51
    assert (seen[..., 2] == 77).all()  # no colour is changed
    assert augment(images[..., 0] > 100, EVERYTHING).dtype == torch.bool


# ---- from a table


@pytest.fixture(params=[1 << 30, 0], ids=["in memory", "in a file"])
def room(request, monkeypatch):
    monkeypatch.setattr(photographs, "IN_MEMORY", request.param)


def test_load_from_a_table(tmp_path, room):
    birds(tmp_path)
    read = read_table(tmp_path)
    parts, same_table = load(read, SIZE, augment="flip", show=False)
    assert (same_table.names, same_table.content.all()) == (read.names, True)
    assert sorted(parts) == [0, 1, 2]
    for split, data in parts.items():
        mine = read.where(split)
        expected = np.stack([read_picture(read.paths[i], SIZE) for i in mine])
        assert torch.equal(data.images[data.position], torch.from_numpy(expected))
        assert data.label.tolist() == read.label[mine].tolist()
        assert data.augment == ("none" if split else "flip")


def test_load_and_broken_images(tmp_path, room):
    rows = birds(tmp_path)
    (tmp_path / rows[3][1]).write_text("x")
    (tmp_path / rows[9][1]).write_text("x")
    with pytest.raises(UserError, match=r"metadata.csv, row 5: .*cannot be read .*2 such images.*give --skip_broken"):
        load(read_table(tmp_path), SIZE, show=False)
    (tmp_path / rows[12][1]).unlink()
    parts, less = load(read_table(tmp_path), SIZE, skip_broken=True, show=False)
    assert (len(parts[0]), len(less)) == (17, len(rows) - 3)
    assert "left out: 3 images that cannot be read (--skip_broken)" in less.notes
    expected = np.stack([read_picture(path, SIZE) for path in less.paths])
    assert torch.equal(parts[0].images[parts[0].position], torch.from_numpy(expected[less.where(0)]))


def test_a_set_that_no_folder_has_room_for():
    with pytest.raises(UserError, match=r"images take 150528000.0 GB, which .* has no room for; .*TMPDIR"):
        photographs.room_for((10**12, 224, 224, 3))
