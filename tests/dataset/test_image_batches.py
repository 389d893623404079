"""Batches of photographs: both classes give the same, whatever the order, the epoch's start or the processes."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from dataset.batches import IGNORE_INDEX, bias_labels
from dataset.image_batches import MEAN, STD, InMemory, Streaming, augmented, colour_bias, draws, free_memory, load
from dataset.tables import read_table
from tests.dataset.sets import BIRDS, birds, random_pictures, table

N, SIZE = 23, 16


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
    for data in both(files):
        x, y, b = data.batch(index)
        expected = (torch.from_numpy(images)[index].double() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
        torch.testing.assert_close(x.double(), expected.permute(0, 3, 1, 2), rtol=0, atol=1e-5)
        assert x.dtype == torch.float32
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert y.tolist() == label[index].tolist()
        assert (b.shape, b.dtype) == ((4, 2, 1, 1), torch.int64)
        assert b[:, :, 0, 0].tolist() == bias[index].tolist()
        assert b[0].unique().tolist() == [IGNORE_INDEX]
        assert (len(data), data.label.tolist()) == (N, label.tolist())


@pytest.mark.parametrize("augment", ["none", "flip", "crop"])
@pytest.mark.parametrize("workers", [0, 2])
def test_streams_are_what_is_in_memory(files, augment, workers):
    kept, streamed = both(files, workers, augment=augment, seed=5, colour=(4, 4))
    rng = torch.random.get_rng_state()
    for epoch in (1, 2):
        order = [torch.randperm(N, generator=torch.Generator().manual_seed(epoch))[i : i + 6] for i in range(0, N, 6)]
        for data in (kept, streamed):
            data.set_epoch(epoch)
        pairs = list(zip(kept.stream(order), streamed.stream(order), strict=True))
        assert len(pairs) == 4
        for one, other in pairs:
            assert same(kept.batch(one), streamed.batch(other))
            assert same(kept.batch(one), streamed.batch(one))
    assert streamed.waited > 0
    assert torch.equal(rng, torch.random.get_rng_state())  # the training's draws are its own


def test_a_stream_that_is_left_early_and_begun_again(files):
    kept, data = both(files, 2)
    order = list(torch.arange(N).split(2))
    stream = data.stream(order)
    next(stream)
    del stream
    for start in (3, 7):
        for index, handle in zip(order[start:], data.stream(order[start:]), strict=True):
            assert same(data.batch(handle), kept.batch(index))


@pytest.mark.parametrize("augment", ["flip", "crop"])
def test_an_image_depends_on_seed_epoch_and_itself_alone(files, augment):
    kept, _ = both(files, augment=augment, seed=1)
    kept.set_epoch(3)
    whole = kept.batch(torch.arange(N))[0]
    assert torch.equal(kept.batch(torch.tensor([9, 2]))[0], whole[[9, 2]])
    part = kept.subset(torch.tensor([7, 9]))
    assert torch.equal(part.batch(torch.tensor([1]))[0], whole[[9]])
    part.set_epoch(4)
    assert torch.equal(kept.batch(torch.arange(N))[0], whole)  # an epoch of its own
    kept.set_epoch(4)
    assert not torch.equal(kept.batch(torch.arange(N))[0], whole)
    other, _ = both(files, augment=augment, seed=2)
    other.set_epoch(3)
    assert not torch.equal(other.batch(torch.arange(N))[0], whole)


def test_subsets(files):
    _, _, label, _ = files
    index = torch.tensor([3, 1, 20])
    for data in both(files, 1):
        part = data.subset(index)
        assert (len(part), part.label.tolist()) == (3, label[index].tolist())
        assert same(part.batch(torch.tensor([2, 0])), data.batch(torch.tensor([20, 3])))
        (handle,) = part.stream([torch.tensor([1])])
        assert same(part.batch(handle), data.batch(torch.tensor([1])))


def test_draws_are_even_and_unrelated():
    seed, epoch = torch.tensor(0), torch.tensor(1)
    numbers = draws(seed, epoch, torch.arange(20000), 5)
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert (numbers.mean(0) - 0.5).abs().max() < 0.01
    assert (numbers.var(0) - 1 / 12).abs().max() < 0.003
    every = torch.cat([numbers, draws(seed, epoch + 1, torch.arange(20000), 5), numbers.roll(1, 0)], 1)
    assert (torch.corrcoef(every.T) - torch.eye(15)).abs().max() < 0.03


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 10**6))
def test_augmented_images_are_flips_and_parts(seed, epoch):
    numbers = draws(torch.tensor(seed), torch.tensor(epoch), torch.arange(8), 5)
    ramp = torch.arange(8, 248, 15, dtype=torch.uint8)  # left to right
    images = ramp[None, None, :, None].expand(8, 16, 16, 3).contiguous()
    flipped = augmented(images, "flip", numbers)
    for image, number in zip(flipped, numbers[:, 0], strict=True):
        assert torch.equal(image, images[0].flip(1) if number < 0.5 else images[0])
    cut = augmented(images, "crop", numbers).int()
    assert (cut.shape, cut.min() >= 8, cut.max() <= 247) == (images.shape, True, True)
    steps = cut[:, 0, :, 0].diff(dim=1)
    assert ((steps <= 0).all(1) == (numbers[:, 0] < 0.5)).all()
    assert (steps.abs() <= 16).all()  # never smaller than the image itself
    assert (augmented(torch.full((8, 16, 16, 3), 77, dtype=torch.uint8), "crop", numbers) == 77).all()


def test_colour_labels_are_those_of_colored_mnist():
    images = torch.from_numpy(np.random.default_rng(0).integers(256, size=(5, 28, 28, 3), dtype=np.uint8))
    images[:, ::3] = 0
    labels = colour_bias(images, (14, 14))
    assert torch.equal(labels, bias_labels(images[:, 1::2, 1::2].permute(0, 3, 1, 2).contiguous()))
    assert (labels == IGNORE_INDEX).any()
    assert colour_bias(images[:, :20], (3, 7)).shape == (5, 3, 3, 7)
    assert torch.equal(colour_bias(images, (28, 28)), bias_labels(images.permute(0, 3, 1, 2).contiguous()))


def test_the_same_in_bfloat16(files):
    x, *_ = both(files, dtype=torch.bfloat16)[0].batch(torch.arange(3))
    full, *_ = both(files)[0].batch(torch.arange(3))
    assert torch.equal(x, full.bfloat16())


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_breaks_during_training_is_one_line(files, tmp_path, workers):
    _, _, label, bias = files
    paths, _ = random_pictures(tmp_path, N, SIZE)
    data = Streaming(paths, label, bias, SIZE, workers=workers)
    (tmp_path / "007.png").write_text("x")
    with pytest.raises(UserError, match=r"007\.png cannot be read"):
        list(data.stream(torch.arange(N).split(4)))


def test_a_reading_process_that_is_ended_is_one_line(files):
    _, data = both(files, 1)
    stream = data.stream(list(torch.arange(N).repeat(20).split(2)))
    next(stream)
    (worker,) = data._loader[0]._iterator._workers
    os.kill(worker.pid, 9)
    with pytest.raises(UserError, match="a process that reads images was ended"):
        list(stream)


# ---- from a table


def test_load_from_a_table(tmp_path):
    birds(tmp_path)
    read = read_table(tmp_path)
    kept, same_table = load(read, SIZE, augment="flip", show=False)
    streamed, _ = load(read, SIZE, augment="flip", memory=0, workers=0, show=False)
    assert (same_table.names, same_table.notes) == (read.names, read.notes)
    assert same_table.content.all()
    assert sorted(kept) == sorted(streamed) == [0, 1, 2]
    for split, data in kept.items():
        assert isinstance(data, InMemory)
        assert isinstance(streamed[split], Streaming)
        everything = torch.arange(len(data))
        assert same(data.batch(everything), streamed[split].batch(everything))
        assert data.label.tolist() == read.label[read.split == split].tolist()
        assert data.augment == ("flip" if split == 0 else "none")


@pytest.mark.parametrize("memory", [None, 0])
def test_load_and_broken_images(tmp_path, memory):
    rows = birds(tmp_path)
    (tmp_path / rows[3][1]).write_text("x")
    (tmp_path / rows[12][1]).unlink()
    read = read_table(tmp_path)
    how = {"memory": memory, "show": False}
    with pytest.raises(
        UserError, match=r"metadata.csv, row 5: .*cannot be read .*2 such images.*or give --skip_broken"
    ):
        load(read, SIZE, **how)
    parts, less = load(read, SIZE, skip_broken=True, **how)
    assert (len(parts[0]), len(less)) == (18, len(rows) - 2)
    assert less.notes[-1].startswith("left out: 2 images")
    (handle,) = parts[0].stream([torch.arange(18)])
    assert parts[0].batch(handle)[1].tolist() == less.label[less.split == 0].tolist()


def test_load_with_colour_and_with_no_bias_in_the_test(tmp_path):
    rows = birds(tmp_path)
    parts, _ = load(read_table(tmp_path, bias=("colour",)), SIZE, colour=(4, 4), show=False)
    assert parts[2].batch(torch.tensor([0]))[2].shape == (1, 3, 4, 4)
    table(tmp_path / "metadata.csv", BIRDS, [[*r[:4], "" if r[3] == 2 else r[4], ""] for r in rows])
    parts, _ = load(read_table(tmp_path), SIZE, colour=(4, 4), show=False)
    assert parts[2].batch(torch.arange(3))[2].tolist() == [[[[IGNORE_INDEX]]]] * 3


def test_free_memory():
    assert 0 < free_memory() < 1 << 50
