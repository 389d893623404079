"""Fuzzing of both readers: well-formed files, changed at random, end in one line or in sound data.

FUZZ_MINUTES=10 bash tests/run.sh -m slow tests/strangers/test_fuzz.py
"""

import io
import os
import pickletools
import re
import tempfile
import time
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from common.errors import UserError
from dataset.released import ReleasedFile, read_released, write_released
from models.checkpoint import read_torch_file
from tests.conftest import SHARED
from tests.strangers import hostile, hostile_torch


def fuzz_targets():
    """[(name, well-formed content, function from content to a file's bytes)] for both readers."""
    small = ReleasedFile(*(hostile.arrays(1, 1)[key] for key in ReleasedFile._fields))
    with tempfile.TemporaryDirectory() as folder:
        write_released(Path(folder, "file"), small)
        python_2 = Path(folder, "file").read_bytes()
    zipped = hostile_torch.torch_bytes(hostile_torch.checkpoint())
    archive = zipfile.ZipFile(io.BytesIO(zipped))
    storages = [archive.read(name) for name in archive.namelist() if "/data/" in name]

    def as_zip(pickled):
        return hostile_torch.torch_zip(pickled, *storages)

    targets = [("released by Python 2", python_2, bytes)]
    for protocol in (2, 4, 5):
        targets.append((f"released, protocol {protocol}", hostile.npy(small._asdict(), protocol), bytes))
    targets += [
        ("checkpoint, legacy", hostile_torch.torch_bytes(hostile_torch.checkpoint(), False), bytes),
        ("checkpoint, zip", zipped, bytes),
        ("checkpoint, pickle in a zip", archive.read("archive/data.pkl"), as_zip),
    ]
    official = SHARED / "official" / "pretrained_var0.020.pth"
    if official.exists():
        targets.append(("checkpoint of the authors", official.read_bytes(), bytes))
    return targets


def operations_of(content):
    """`content` in pieces: the operations of its pickles, the records of its zip archive, what is left."""
    at = len(hostile.HEADER) if content.startswith(hostile.HEADER) else 0
    pieces = [content[:at]]
    while content[at : at + 1] == b"\x80":
        starts = [at + position for _, _, position in pickletools.genops(content[at:])]
        pieces += [content[i:j] for i, j in pairwise([*starts, starts[-1] + 1])]
        at = starts[-1] + 1
    return [*pieces, *re.split(rb"(?=PK)", content[at:])]


TARGETS = {name: (operations_of(content), packed) for name, content, packed in fuzz_targets()}
OPCODES = [operation.code.encode("latin1") for operation in pickletools.opcodes]
PIECES = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from(OPCODES),
    st.lists(st.sampled_from(OPCODES), min_size=2, max_size=5).map(b"".join),
    st.sampled_from([b"\xff" * 4, b"\xff" * 8, b"\0" * 8, b"\0\0\0\x80", b"cos\nsystem\n", b"\x86", b"N"]),
)
PLACE = st.integers(0, 1 << 20)
EDITS = st.one_of(
    st.lists(st.tuples(st.sampled_from(["copy", "move", "drop"]), PLACE, PLACE), min_size=1, max_size=4),
    st.lists(
        st.tuples(st.sampled_from(["replace", "insert", "delete", "repeat", "truncate"]), PLACE, PIECES),
        min_size=1,
        max_size=4,
    ),
)


def edited(pieces, edits):
    """The pieces joined, after edits of whole operations (copy, move, drop) or of bytes (the others)."""
    pieces = list(pieces)
    for kind, place, other in edits:
        if not pieces:
            break
        if kind in ("copy", "move", "drop"):
            piece = pieces[place % len(pieces)]
            if kind != "copy":
                del pieces[place % len(pieces)]
            if kind != "drop":
                pieces.insert(other % (len(pieces) + 1), piece)
            continue
        content = b"".join(pieces)
        # every second time among the first 4096 bytes: the structure is there
        at = place % max(1, len(content) if place % 2 else min(len(content), 4096))
        parts = {
            "replace": (content[:at], other, content[at + len(other) :]),
            "insert": (content[:at], other, content[at:]),
            "delete": (content[:at], content[at + len(other) :]),
            "repeat": (content[: at + len(other)], content[at:]),
            "truncate": (content[:at],),
        }
        pieces = [b"".join(parts[kind])]
    return b"".join(pieces)


def read_mutant(path, name, edits):
    """Reads a mutated file, which must end in a UserError or in sound data. Returns whether refused."""
    pieces, packed = TARGETS[name]
    path.write_bytes(packed(edited(pieces, edits)))
    try:
        if name.startswith("released"):
            released = read_released(path)
            assert released.train_image.shape == (len(released.train_label), 28, 28, 3)
            assert released.train_label.min() >= 0
            assert released.train_label.max() <= 9
        else:
            read_torch_file(path)
    except UserError as error:
        hostile.message_of(error)
        return True
    return False


def fuzzer(path, counts, examples):
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(list(TARGETS)), EDITS)
    def fuzz(name, edits):
        counts[read_mutant(path, name, edits)] += 1

    return fuzz


def test_mutated_files_end_in_one_line_or_load(tmp_path):
    counts = [0, 0]
    seed(0)(fuzzer(tmp_path / "file", counts, 400))()
    assert min(counts) > 0


@pytest.mark.slow
def test_fuzz_for_minutes(tmp_path, capsys):
    """FUZZ_MINUTES (10) of it. A finding is printed by hypothesis as the edits that lead to it."""
    minutes = float(os.environ.get("FUZZ_MINUTES", 10))
    counts = [0, 0]
    first = time.time_ns() % 2**32
    started = time.monotonic()
    while time.monotonic() - started < 60 * minutes:
        seed(first + sum(counts))(fuzzer(tmp_path / "file", counts, 2000))()
    with capsys.disabled():
        print(f"\n{sum(counts)} mutated files in {minutes:g} minutes: {counts[1]} refused, {counts[0]} sound")
