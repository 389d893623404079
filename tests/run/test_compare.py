"""What a finished run says its figure is to be compared with."""

import json
from types import SimpleNamespace

import pytest

from run.compare import lines


def option(**changes):
    given = {"dry_run": False, "dataset": "colored_mnist", "data_dir": None, "deviation": None, "checkpoint": None}
    return SimpleNamespace(**given | {"method": "lntl", "color_var": 0.02, "max_step": 20} | changes)


@pytest.fixture
def root(tmp_path):
    cell = {"method": "lntl", "color_var": 0.02, "mean": 0.8, "std": 0.03, "n": 3, "epochs": 20}
    (tmp_path / "results").mkdir()
    (tmp_path / "results/results.json").write_text(json.dumps({"cells": [cell]}))
    return tmp_path


def test_both_figures(root):
    assert lines(option(), root) == [
        "compare with: published 0.8185, this repository 0.8000 ± 0.0300 (3 runs, 20 epochs)"
    ]
    assert lines(option(max_step=2), root)[0].endswith("; this one had 2 epochs")
    assert lines(option(color_var=0.03), root) == ["compare with: published 0.9137"]


@pytest.mark.parametrize("changes", [{"deviation": "one_pass"}, {"data_dir": "mine"}, {"method": "mine"}])
def test_other_settings_are_not_compared_with_the_cell(root, changes):
    assert lines(option(**changes), root) == ["compare with: the tables in README.md, and results/table.md"]


def test_other_data(root):
    images = option(dataset="images", data_dir="mine", checkpoint="checkpoint/a_baseline/final.pth")
    assert lines(images, root) == ["compare with: what it started from, checkpoint/a_baseline/final.pth"]
    assert lines(option(dataset="images", data_dir="mine"), root) == []
    assert lines(option(dataset="biased_mnist"), root) == ["compare with: docs/BIASED_MNIST.md"]
    assert lines(option(dry_run=True), root) == []
