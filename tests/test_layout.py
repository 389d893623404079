"""The house: few files on top, none too long, each folder says what it holds, imports go one way."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("evidence", "bench", "methods", "run", "models", "dataset", "strangers", "common")
ORDER = (  # a file may import from below its own line, and a folder from within itself
    ("hubconf",),
    ("reproduce", "test"),
    ("train",),
    ("evidence",),
    ("bench",),
    ("option", "trainer"),
    ("methods",),
    ("run",),
    ("models",),
    ("dataset",),
    ("strangers",),
    ("common",),
    ("files",),
    ("errors",),
)
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
TOP = sorted(ROOT.glob("*.py"))
SOURCES = TOP + [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def imports(path):
    """(line, first part of the name) of each of our own modules that a file imports, lazily or not."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if (part := name.split(".")[0]) in LEVEL:
                yield node.lineno, part


def wrong(path, own):
    """What a file imports from its own level or above, itself left out."""
    return [f"{path.name}:{line} imports {n}" for line, n in imports(path) if n != own and LEVEL[n] <= LEVEL[own]]


def test_what_lies_on_top():
    assert len(TOP) <= 8
    assert {path.stem for path in TOP} <= LEVEL.keys()
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders == {*FOLDERS, "tests"}


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_is_too_long(path):
    # Tests of one thing may be longer than the thing.
    assert len(path.read_text("utf-8").splitlines()) <= (500 if path in TESTS else 350)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_says_what_it_holds(folder):
    text = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text("utf-8")))
    assert text
    assert len(text.splitlines()[0]) > 20


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_one_way(path):
    own = path.stem if path.parent == ROOT else path.relative_to(ROOT).parts[0]
    assert wrong(path, own) == []


def test_an_import_upwards_is_seen(tmp_path):
    (tmp_path / "lntl.py").write_text(
        "import torch\ndef late():\n    from evidence.records import ROOT\n    import common.errors\n"
    )
    assert wrong(tmp_path / "lntl.py", "methods") == ["lntl.py:3 imports evidence"]


def test_a_start_loads_no_matplotlib_and_nothing_of_evidence():
    """It is slow to import, and may be broken: a picture is no result. To train, no report is needed."""
    import subprocess

    loaded = "import sys, train, test, option; option.train_parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    names = {name.split(".")[0] for name in done.stdout.split()}
    assert {"torch", "dataset"} <= names
    assert not {"matplotlib", "evidence"} & names


def test_the_contract_of_import_linter_holds():
    pytest.importorskip("importlinter")
    import subprocess

    line = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"]
    done = subprocess.run([*line, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout
