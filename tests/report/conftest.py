"""A copy of the records, and made-up records."""

import shutil

import pytest

from report import records

SOME = "lntl_var0.020_seed1"


@pytest.fixture
def root(tmp_path):
    """A folder with a copy of results/, to be edited."""
    shutil.copytree(records.ROOT / "results", tmp_path / "results", ignore=shutil.ignore_patterns("*.png"))
    return tmp_path


def made_up(name, figures, epochs=2, seed=1, **options):
    """A record of a run on images. figures: of its metrics."""
    metrics = {"accuracy": 0.5, "confusion": [[1, 0], [1, 0]], "groups": []} | figures
    log = [{"epoch": e + 1, "seconds": 6.0, "test_accuracy": metrics["accuracy"]} for e in range(epochs)]
    option = {"random_seed": seed, "max_step": epochs, "precision": "float32", "device": "cpu", "threads": 1}
    option |= {"checkpoint": None, "checkpoint_sha256": None, "data_dir": "x", "method": "lntl"} | options
    environment = {"gpu": None, "processor": "P", "threads": 1}
    return {"name": name, "options": option, "environment": environment, "log": log, "metrics": metrics}
