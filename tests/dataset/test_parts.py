"""Parts of image sets: kept and streamed ones give the same, whatever the order, the epoch's start or the processes."""

import math

import numpy as np
import pytest
import torch

from common.errors import UserError
from dataset import images as image_sets
from dataset.batches import IGNORE_INDEX, Augmentation, bias_labels
from dataset.images import load
from dataset.photographs import MEAN, STD, InMemory, Streaming, colour_bias
from dataset.tables import read_table
from tests.dataset.sets import birds, random_pictures

N, SIZE = 23, 16
EVERYTHING = ["flip", "crop", "affine"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(paths, images, labels, biases) of a small set."""
    paths, images = random_pictures(tmp_path_factory.mktemp("set"), N, SIZE)
    rng = np.random.default_rng(3)
    bias = rng.integers(3, size=(N, 2))
    bias[4] = IGNORE_INDEX
    return paths, images, rng.integers(4, size=N), bias


def both(files, workers=0, **how):
    """The same set in memory and streaming."""
    paths, images, label, bias = files
    return InMemory(images, label, bias, **how), Streaming(paths, label, bias, SIZE, workers=workers, **how)


def same(one, other):
    """Whether two batches are equal to the bit."""
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_batch_is_the_specification(files):
    _, images, label, bias = files
    index = torch.tensor([4, 0, 22, 4])
    for data in both(files, augment=EVERYTHING):
        x, y, b = data.batch(index)  # not augmented, where it is not asked for
        expected = (torch.from_numpy(images)[index].double() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
        torch.testing.assert_close(x.double(), expected.permute(0, 3, 1, 2), rtol=0, atol=1e-5)
        assert (x.dtype, x.is_contiguous(memory_format=torch.channels_last)) == (torch.float32, True)
        assert y.tolist() == label[index].tolist()
        assert (b.shape, b.dtype) == ((4, 2, 1, 1), torch.int64)
        assert b[:, :, 0, 0].tolist() == bias[index].tolist()
        assert (len(data), data.image_bias.tolist()) == (N, bias.tolist())
        part = data.subset(torch.tensor([3, 1, 20]))
        assert (len(part), part.label.tolist()) == (3, label[[3, 1, 20]].tolist())
        (handle,) = part.stream([torch.tensor([1])])
        assert same(part.batch(handle), data.batch(torch.tensor([1])))


@pytest.mark.parametrize("workers", [1, 3])
def test_streams_are_what_is_in_memory(files, workers):
    kept, streamed = both(files, workers, augment=EVERYTHING, colour=(4, 4))
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1)).split(6)
    seen = []
    for data in (kept, streamed):
        torch.manual_seed(7)
        seen.append([(data.batch(handle), data.batch(handle, augmented=True)) for handle in data.stream(order)])
    for one, other in zip(*seen, strict=True):
        assert same(one[0], other[0])
        assert same(one[1], other[1])
        assert not torch.equal(one[0][0], one[1][0])
    rng = torch.random.get_rng_state()
    next(stream := streamed.stream(order))  # left early, and begun again
    del stream
    assert torch.equal(rng, torch.random.get_rng_state())  # the training's draws are its own
    for index, handle in zip(order[2:], streamed.stream(order[2:]), strict=True):
        assert same(streamed.batch(handle), kept.batch(index))


def test_colour_labels_are_those_of_colored_mnist():
    images = torch.from_numpy(np.random.default_rng(0).integers(256, size=(5, 28, 28, 3), dtype=np.uint8))
    images[:, ::3] = 0
    labels = colour_bias(images, (14, 14))
    assert torch.equal(labels, bias_labels(images[:, 1::2, 1::2].permute(0, 3, 1, 2).contiguous()))
    assert (labels == IGNORE_INDEX).any()
    assert colour_bias(images[:, :20], (3, 7)).shape == (5, 3, 3, 7)
    data = InMemory(images.numpy(), *torch.zeros(2, 5, 1).long().numpy(), colour=(14, 14))
    assert data.image_bias is None


# ---- augmentation


@pytest.mark.parametrize("kinds", [["flip"], ["crop"], ["affine"], EVERYTHING])
def test_an_image_differs_at_each_draw_and_follows_the_global_generator(files, kinds):
    kept, _ = both(files, augment=kinds)
    index = torch.zeros(12, dtype=torch.int64)  # balanced draws give an image many times
    state = torch.get_rng_state()
    first, second = (kept.batch(index, augmented=True)[0] for _ in range(2))
    assert len(first.flatten(1).unique(dim=0)) == (2 if kinds == ["flip"] else 12)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(kept.batch(index, augmented=True)[0], first)


def test_flips_are_mirrored_images(files):
    kept, _ = both(files, augment="flip")
    plain, seen = (kept.batch(torch.arange(N), augmented=augmented)[0] for augmented in (False, True))
    mirrored = (seen != plain).flatten(1).any(1)
    assert 0 < mirrored.sum() < N
    assert torch.equal(seen, torch.where(mirrored[:, None, None, None], plain.flip(3), plain))


def centre_and_axes(kinds, n=2000):
    """Where the centre of the output lies in the input, and the two axes: float (n, 2), (n, 2, 2)."""
    matrices = Augmentation(kinds).matrices(torch.rand(n, 9, generator=torch.Generator().manual_seed(3)))
    return matrices[:, :, 2], matrices[:, :, :2]


def test_an_affine_change_keeps_its_bounds():
    centre, axes = centre_and_axes(["affine"])
    assert 0.19 < centre.abs().max() <= 0.2  # of a side that is 2 long
    size = torch.linalg.det(axes).sqrt()
    assert 1 / 1.1 <= size.min() < 0.92
    assert 1.08 < size.max() <= 1 / 0.9 + 1e-6
    angle = torch.atan2(axes[:, 1, 0], axes[:, 0, 0]).abs().max()
    assert math.radians(19) < angle <= math.radians(20) + 1e-6
    torch.testing.assert_close(axes @ axes.mT, size[:, None, None] ** 2 * torch.eye(2).expand_as(axes))


def test_a_crop_is_a_part_of_the_image():
    centre, axes = centre_and_axes(["crop"])
    width, height = axes[:, 0, 0], axes[:, 1, 1]
    assert (centre.abs() + torch.stack([width, height], 1) <= 1 + 1e-6).all()
    area, ratio = width * height, width / height
    assert 0.65 < area.min() < 0.72
    assert 3 / 4 - 1e-6 <= ratio.min() < ratio.max() <= 4 / 3 + 1e-6
    mirrored = centre_and_axes(["crop", "flip"])[1][:, 0, 0] < 0
    assert 0.45 < mirrored.float().mean() < 0.55


def test_pixels_are_moved_as_the_matrices_say():
    augmentation = Augmentation(EVERYTHING)
    ramp = torch.arange(32) * 4 + 40
    images = torch.stack([ramp.expand(32, 32), ramp.expand(32, 32).T, torch.full((32, 32), 77)], 2)
    images = images.expand(40, 32, 32, 3).to(torch.uint8).contiguous()
    torch.manual_seed(1)
    seen = augmentation(images)
    torch.manual_seed(1)
    matrices = augmentation.matrices(torch.rand(40, 9))
    at = (2 * torch.arange(32) + 1) / 32 - 1  # of the pixels' centres
    where = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)  # (32, 32, 2), x and y
    source = (where @ matrices[:, None, :, :2].mT + matrices[:, None, None, :, 2]).clamp(-31 / 32, 31 / 32)
    expected = 40 + 4 * (source * 32 + 31) / 2
    assert (seen[..., :2].float() - expected).abs().max() <= 0.51
    assert (seen[..., 2] == 77).all()  # no colour is changed
    assert augmentation(images[..., 0] > 100).dtype == torch.bool


# ---- what goes wrong


@pytest.mark.parametrize("workers", [1, 3])
def test_an_image_that_breaks_during_training_is_one_line(files, tmp_path, workers):
    _, _, label, bias = files
    paths, _ = random_pictures(tmp_path, N, SIZE)
    data = Streaming(paths, label, bias, SIZE, workers=workers)
    (tmp_path / "007.png").write_text("x")
    with pytest.raises(UserError, match=r"007\.png cannot be read"):
        list(data.stream(torch.arange(N).split(4)))


# ---- from a table


def test_load_from_a_table(tmp_path, monkeypatch):
    birds(tmp_path)
    read = read_table(tmp_path)
    kept, same_table = load(read, SIZE, augment="flip", show=False)
    monkeypatch.setattr(image_sets, "free_memory", lambda device: 0)
    streamed, _ = load(read, SIZE, augment="flip", workers=0, show=False)
    assert (same_table.names, same_table.content.all()) == (read.names, True)
    assert sorted(kept) == sorted(streamed) == [0, 1, 2]
    for split, data in kept.items():
        assert (type(data), type(streamed[split])) == (InMemory, Streaming)
        assert same(data.batch(torch.arange(len(data))), streamed[split].batch(torch.arange(len(data))))
        assert data.label.tolist() == read.label[read.split == split].tolist()
        assert (data.augmentation is None) == (split > 0)


@pytest.mark.parametrize("memory", [1 << 40, 0], ids=["in memory", "streaming"])
def test_load_and_broken_images(tmp_path, monkeypatch, memory):
    monkeypatch.setattr(image_sets, "free_memory", lambda device: memory)
    rows = birds(tmp_path)
    (tmp_path / rows[3][1]).write_text("x")
    (tmp_path / rows[9][1]).write_text("x")
    with pytest.raises(UserError, match=r"metadata.csv, row 5: .*cannot be read .*2 such images.*give --skip_broken"):
        load(read_table(tmp_path), SIZE, show=False)
    (tmp_path / rows[12][1]).unlink()
    parts, less = load(read_table(tmp_path), SIZE, skip_broken=True, show=False)
    assert (len(parts[0]), len(less)) == (17, len(rows) - 3)
    assert "left out: 3 images that cannot be read (--skip_broken)" in less.notes
    (handle,) = parts[0].stream([torch.arange(17)])
    assert parts[0].batch(handle)[1].tolist() == less.label[less.split == 0].tolist()
