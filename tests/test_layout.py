"""The house: few files on top, none too long, imports go one way."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("report", "bench", "methods", "run", "models", "dataset", "common")
TOP = sorted(ROOT.glob("*.py"))
SOURCES = TOP + [path for folder in (*FOLDERS, "scripts") for path in sorted((ROOT / folder).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
SLOW_OR_BIG = {"pandas", "sklearn", "matplotlib", "report", "tabulate", "torchvision"}


def named(path):
    return path.relative_to(ROOT).as_posix()


def test_what_lies_on_top():
    assert {path.stem for path in TOP} == {"train", "test", "reproduce", "tune", "option", "trainer", "hubconf"}
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == {*FOLDERS, "tests"}


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=named)
def test_no_file_is_too_long(path):
    assert len(path.read_text("utf-8").splitlines()) <= 450


def test_a_training_on_colored_mnist_loads_nothing_slow_before_its_end(whole):
    (line,) = [text for text in (whole.parent / "output").read_text("utf-8").splitlines() if text.startswith("loaded")]
    modules = {name.split(".")[0] for name in line.partition(": ")[2].split()}
    assert {"torch", "dataset", "methods"} <= modules
    assert not SLOW_OR_BIG & modules


def test_the_contract_of_import_linter_holds():
    pytest.importorskip("importlinter")
    line = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"]
    done = subprocess.run([*line, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout
