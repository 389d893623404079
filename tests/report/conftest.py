"""Copies of what the report reads, to be edited, and made-up records."""

import json
import shutil

import pytest

from report import build, records, tables

SOME = "lntl_var0.020_seed1"


class Tree:
    """A copy of the records, weights and documents under a root of its own."""

    def __init__(self, root):
        self.root = root
        shutil.copytree(records.ROOT / "results", root / "results", ignore=shutil.ignore_patterns("*.png"))
        (root / "checkpoints").mkdir()
        (root / "docs").mkdir()
        for path in ("README.md", "checkpoints/README.md"):
            (root / path).write_text("no block\n")

    def change(self, name, edit, table="colored_mnist"):
        """Edits the record of a run by `edit(record)`; None as a return value removes it."""
        path = records.path_of(table, self.root)
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        kept = [record for record in lines if record["name"] != name or edit(record) is not False]
        path.write_text("".join(json.dumps(record) + "\n" for record in kept), "utf-8")

    def another_seed(self, seed, correct, **options):
        """Makes up run `seed` of the cell of SOME, with so many images of 10000 right."""
        path = records.path_of("colored_mnist", self.root)
        record = next(json.loads(line) for line in path.read_text("utf-8").splitlines() if f'"{SOME}"' in line)
        record["name"] = SOME.replace("seed1", f"seed{seed}")
        record["options"] |= {"random_seed": seed, "data_seed": seed - 1, "checkpoint_sha256": None}
        record["options"] |= {"checkpoint": f"runs/baseline_var0.020_seed{seed}/final.pth"} | options
        confusion = [[0] * 10 for _ in range(10)]
        confusion[0][:2] = correct, 10_000 - correct
        record["metrics"] |= {"accuracy": correct / 10_000, "correct": correct, "confusion": confusion}
        record["log"][-1]["test_accuracy"] = correct / 10_000
        self.change(record["name"], lambda record: False)
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        return record["name"]

    def cells(self):
        return tables.make_cells(build.load(self.root)["colored_mnist"])

    def texts(self):
        return {path.relative_to(self.root).as_posix(): text for path, text in build.texts(self.root).items()}


def refused(capsys, program, *arguments):
    """Runs a program that must refuse its arguments; returns the one line that it prints."""
    with pytest.raises(SystemExit) as stop:
        program.main([*map(str, arguments)])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("error: "), error
    assert error.count("\n") == 1, error
    return error


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def made_up(name, figures, epochs=2, seed=1, **options):
    """A record of a run on images. figures: of its metrics."""
    metrics = {"accuracy": 0.5, "correct": 1, "n": 2, "confusion": [[1, 0], [1, 0]], "groups": []} | figures
    log = [{"epoch": e + 1, "seconds": 6.0, "test_accuracy": 0.5} for e in range(epochs)]
    option = {"random_seed": seed, "max_step": epochs, "precision": "float32", "device": "cpu", "threads": 1}
    option |= {"checkpoint": None, "checkpoint_sha256": None, "data_dir": "x", "method": "lntl"} | options
    environment = {"gpu": None, "processor": "P", "threads": 1}
    return {"name": name, "options": option, "environment": environment, "log": log, "metrics": metrics}
