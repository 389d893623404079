"""Shared by all tests: optional material beside the repository, a small data set, a run on it, the scripts alone."""

import shutil
import signal
from pathlib import Path

import pytest

from evidence import records
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


@pytest.fixture
def tree(tmp_path):
    """A copy of what the report reads, as its root: of the records, one LNTL run, another, and the shipped weights'."""
    runs = {"lntl_var0.020_seed1", "lntl_var0.020_official"}
    runs |= {records.run_of(path) for path in (records.ROOT / "checkpoints").glob("*.pth")}
    for name in ("results/health", "results/authors_network", "checkpoints", *(f"results/runs/{run}" for run in runs)):
        shutil.copytree(records.ROOT / name, tmp_path / name)
    (tmp_path / "docs").mkdir()
    for path in (
        p
        for files in ("README.md", "docs/*.md", "results/bench_*.json", "results/neighbour_*.json")
        for p in records.ROOT.glob(files)
    ):
        shutil.copy(path, tmp_path / path.relative_to(records.ROOT))
    return tmp_path
