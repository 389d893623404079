"""Shared by all tests: optional material beside the repository, a small data set, a run on it, the scripts alone."""

import signal
from pathlib import Path

import pytest

from tests import processes
from tests.scripts.clone import Clone

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
    """A folder with a small released file: 512 training and 64 test images."""
    return processes.write_small(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def whole(small_data, tmp_path_factory):
    """A function of the number of threads: the folder of an uninterrupted run, made once."""
    folders = {}

    def folder(threads):
        if threads not in folders:
            save_dir = tmp_path_factory.mktemp("whole")
            finished = processes.run(*processes.flags(save_dir, small_data, "--continue", threads=threads))
            assert finished.returncode == 0, finished.stderr  # nothing there yet: it started
            folders[threads] = save_dir / "run"
        return folders[threads]

    return folder


@pytest.fixture
def clone(tmp_path):
    """The scripts in a folder of their own."""
    return Clone(tmp_path)


@pytest.fixture
def ready(clone):
    """A clone whose environment is there already."""
    clone.environment["LNTL_PYTHON"] = str(clone.bin / "python3")
    return clone
