"""Committed records, edited in a copy of the tree: what is made of them then."""

import json
import shutil

import numpy as np

from common.files import read_json_lines
from evidence import report

SOME = "lntl_var0.020_seed1"


def change(root, name, file, edit):
    """Changes one JSON record of a run by `edit(value)`."""
    path = root / "results" / "runs" / name / file
    value = read_json_lines(path) if file.endswith("jsonl") else json.loads(path.read_text())
    edit(value)
    lines = "".join(json.dumps(v) + "\n" for v in value) if file.endswith("jsonl") else json.dumps(value)
    path.write_text(lines)


def another_seed(root, seed, correct):
    """Makes up run `seed` of the cell of SOME, with so many images of 10000 right, and its baseline."""
    runs, begun = root / "results/runs", f"baseline_var0.020_seed{seed}"
    shutil.copytree(runs / "baseline_var0.020_seed1", runs / begun, dirs_exist_ok=True)
    change(root, begun, "options.json", lambda o: o.update(random_seed=seed, data_seed=seed - 1))
    run = SOME.replace("seed1", f"seed{seed}")
    shutil.copytree(runs / SOME, runs / run)
    confusion = np.zeros((10, 10), int)
    confusion[0, :2] = correct, 10_000 - correct
    metrics = {"accuracy": correct / 10_000, "correct": correct, "confusion": confusion.tolist()}
    own = {"random_seed": seed, "data_seed": seed - 1, "checkpoint": f"runs/{begun}/final.pth"}
    change(root, run, "options.json", lambda o: o.update(own, checkpoint_sha256=None))
    change(root, run, "metrics.json", lambda m: m.update(metrics))
    change(root, run, "log.jsonl", lambda log: log[-1].update(test_accuracy=correct / 10_000))
    return run


def made_of(root):
    """{path below the root: generated text}."""
    return {path.relative_to(root).as_posix(): text for path, text in report.texts(root).items()}


def cells_of(root):
    return json.loads(made_of(root)["results/results.json"])["cells"]
