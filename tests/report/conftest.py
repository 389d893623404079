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
        """Edits the record of a run by `edit(record)`; False as a return value removes it."""
        path = records.path_of(table, self.root)
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        kept = [record for record in lines if record["name"] != name or edit(record) is not False]
        path.write_text("".join(json.dumps(record) + "\n" for record in kept), "utf-8")

    def another_seed(self, seed, correct, **options):
        """Makes up run `seed` of the cell of SOME, with so many images of 10000 right."""

        def edit(record):
            record["name"] = SOME.replace("seed1", f"seed{seed}")
            record["options"] |= {"random_seed": seed, "data_seed": seed - 1, "checkpoint_sha256": None}
            record["options"] |= {"checkpoint": f"runs/baseline_var0.020_seed{seed}/final.pth"} | options
            record["metrics"] |= {"accuracy": correct / 10_000, "confusion": [[correct, 10_000 - correct], [0, 0]]}
            record["log"][-1]["test_accuracy"] = correct / 10_000

        path = records.path_of("colored_mnist", self.root)
        before = path.read_text("utf-8")
        self.change(SOME, edit)
        made = next(line for line in path.read_text("utf-8").splitlines() if f'"{SOME[:-1]}{seed}"' in line[:60])
        path.write_text(before, "utf-8")
        self.change(f"{SOME[:-1]}{seed}", lambda record: False)
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{made}\n")

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
    metrics = {"accuracy": 0.5, "confusion": [[1, 0], [1, 0]], "groups": []} | figures
    log = [{"epoch": e + 1, "seconds": 6.0, "test_accuracy": metrics["accuracy"]} for e in range(epochs)]
    option = {"random_seed": seed, "max_step": epochs, "precision": "float32", "device": "cpu", "threads": 1}
    option |= {"checkpoint": None, "checkpoint_sha256": None, "data_dir": "x", "method": "lntl"} | options
    environment = {"gpu": None, "processor": "P", "threads": 1}
    return {"name": name, "options": option, "environment": environment, "log": log, "metrics": metrics}
