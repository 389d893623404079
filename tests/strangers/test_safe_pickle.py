"""Checkpoints from strangers: what passes, and that hostile and damaged files end in one line."""

import io
import os
import pickle
import random
import tempfile
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import UserError
from models.checkpoint import read_torch_file
from tests.conftest import shared
from tests.strangers import hostile, hostile_torch

CANARY = Path(tempfile.gettempdir(), f"torch-canary-{os.getpid()}")
with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # zipfile warns of a member that comes twice
    FILES = hostile_torch.torch_files(CANARY)
FORMATS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])


def read(tmp_path, content):
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    return read_torch_file(path)


def load(file):
    """What PyTorch itself makes of it."""
    return torch.load(file, map_location="cpu", weights_only=True)


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.stride() == b.stride() and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, type(a)) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


# ---- well-formed files


def test_the_authors_network_passes():
    content = read_torch_file(shared("official", "pretrained_var0.020.pth"))
    assert content["step"] == 100
    assert set(content) == {"step", "net_state_dict", "optim_state_dict"}


@pytest.mark.parametrize("name", ["fresh", "pretrained", "strong_float64"])
def test_recordings_pass(name):
    path = shared("golden", f"official_steps_{name}.pt")
    assert same(read_torch_file(path), load(path))


@FORMATS
def test_what_torch_save_writes_passes(tmp_path, is_zip):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.zeros(2, 3, 8, 8)).sum().backward()
    optimiser.step()
    value = {
        "net_state_dict": network.state_dict(),
        "optim_state_dict": optimiser.state_dict(),
        "scheduler": torch.optim.lr_scheduler.StepLR(optimiser, 40).state_dict(),
        "random": {"torch": torch.get_rng_state(), "python": random.Random(0).getstate()},
        "plain": [
            1,
            -1,
            2**40,
            2**64,
            -(2**63),
            0.5,
            float("nan"),
            "é\n",
            "",
            None,
            True,
            False,
            (),
            (1, [2]),
            {},
        ],
        "nested": {"a": {"b": OrderedDict(c=1)}, 7: "seven"},
        "size": torch.Size([1, 2]),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 5),
        "view": torch.arange(12.0).view(3, 4)[1:, ::2],
        "transposed": torch.arange(6.0).view(2, 3).t(),
        "channels_last": torch.zeros(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
        "dtypes": [
            torch.ones(3, dtype=getattr(torch, name))
            for name in (
                "float16",
                "bfloat16",
                "float32",
                "float64",
                "uint8",
                "int8",
                "int16",
                "int32",
                "int64",
                "bool",
            )
        ],
    }
    value["same"] = value["view"]
    content = hostile_torch.torch_bytes(value, is_zip)
    loaded = read(tmp_path, content)
    assert same(loaded["net_state_dict"], load(io.BytesIO(content))["net_state_dict"])
    del value["plain"][6], loaded["plain"][6]  # NaN is not equal to itself
    assert same(loaded, value)


@FORMATS
def test_odd_file_names_pass(tmp_path, is_zip):
    for name in ("données.pth", "a b.pth", "ünï\u2028.pth", "noending"):
        torch.save(hostile_torch.checkpoint(), tmp_path / name, _use_new_zipfile_serialization=is_zip)
        assert read_torch_file(tmp_path / name)["step"] == 3


def test_files_of_python_2_pass(tmp_path):
    """Python 2 pickles text as bytes and the pairs of an OrderedDict as an argument."""
    pickled = b"\x80\x02ccollections\nOrderedDict\n]]U\x04stepaK\x03aa\x85R."
    assert read(tmp_path, hostile_torch.torch_legacy(pickled)) == {"step": 3}


@pytest.mark.parametrize("views", [b"", b"N"], ids=["zip", "legacy"])
def test_handmade_files_pass(tmp_path, views):
    """The corpus fails for what it changes, not for how it is made."""
    pickled = hostile_torch.tensor_pickle(hostile_torch.storage_id(view=views))
    four = np.arange(4, dtype="<f4").tobytes()
    content = hostile_torch.torch_zip(pickled, four)
    if views:
        content = hostile_torch.torch_legacy(pickled, "0", tail=(4).to_bytes(8, "little") + four)
    assert read(tmp_path, content).tolist() == [0, 1, 2, 3]


# ---- hostile and damaged files


def test_the_canary_sings():
    """The corpus is real: Python's own reader runs what is in it."""
    content, _ = FILES["os.system (zip)"]
    try:
        pickle.loads(zipfile.ZipFile(io.BytesIO(content)).read("archive/data.pkl"))
        assert CANARY.exists()
    finally:
        CANARY.unlink(missing_ok=True)


@pytest.mark.parametrize("name", FILES)
def test_hostile_files_end_in_one_line(tmp_path, name):
    content, part = FILES[name]
    with pytest.raises(UserError) as caught:
        read(tmp_path, content)
    assert part in hostile.message_of(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert not CANARY.exists()


def test_the_corpus_is_large():
    assert len(FILES) >= 200


@FORMATS
def test_truncated_files_end_in_one_line(tmp_path, is_zip):
    content = hostile_torch.torch_bytes(hostile_torch.checkpoint(), is_zip)
    for part in range(20):
        with pytest.raises(UserError) as caught:
            read(tmp_path, content[: len(content) * part // 20])
        hostile.message_of(caught.value)


@FORMATS
def test_flipped_bits_end_in_one_line_or_load(tmp_path, is_zip):
    content = hostile_torch.torch_bytes(hostile_torch.checkpoint(), is_zip)
    draw = random.Random(0)
    refused = 0
    for _ in range(300):
        flipped = bytearray(content)
        for _ in range(draw.choice((1, 1, 8))):
            flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        try:
            read(tmp_path, bytes(flipped))
        except UserError as error:
            refused += 1
            hostile.message_of(error)
    assert 0 < refused < 300


def test_paths_that_are_no_files_end_in_one_line(tmp_path):
    with open(tmp_path / "large.pth", "wb") as file:
        file.truncate((1 << 30) + 1)
    for path, part in (
        (tmp_path, "is a folder"),
        (tmp_path / "none.pth", "does not exist"),
        (tmp_path / "large.pth", "more than 1024 MB"),
    ):
        with pytest.raises(UserError, match=part) as caught:
            read_torch_file(path)
        hostile.message_of(caught.value)
