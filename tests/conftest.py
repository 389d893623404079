"""Shared by all tests: optional material beside the repository, small data, and one run on it as a process."""

import signal
from pathlib import Path

import pytest

from tests import processes
from tests.dataset.sets import birds

if hasattr(signal, "SIGHUP"):  # under nohup it is ignored, and processes that tests start would inherit that
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared(*parts):
    """The path of a file beside the repository, or a skip; the reason is always the same, so that it is said once."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip("recordings of the authors' code and their files (../shared) are no part of a clone")
    return path


@pytest.fixture(scope="session")
def small_data(tmp_path_factory):
    """A folder with a small released file: 256 training and 64 test images."""
    return processes.write_small(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def small_images(tmp_path_factory):
    """A folder of images with a table: two labels by two places, in training, validation and test."""
    folder = tmp_path_factory.mktemp("birds")
    birds(folder)
    return folder


@pytest.fixture(scope="session")
def whole(small_data, tmp_path_factory):
    """The folder of an uninterrupted run, made once by a process. Its output is in `output`, beside it."""
    save_dir = tmp_path_factory.mktemp("whole")
    finished = processes.run(*processes.flags(save_dir, small_data), program=("-c", processes.WATCHED))
    assert (finished.returncode, finished.stderr) == (0, "")
    (save_dir / "output").write_text(finished.stdout, "utf-8")
    return save_dir / "run"
