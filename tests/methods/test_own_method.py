"""A method is one file: put into methods/, it has its command and its cells in the grid; mistakes in it are named."""

import re
import shutil
import sys

import pytest

from common.errors import UserError
from common.plugins import classes_in
from tests.processes import ROOT, flags, read, run

BEGIN = "# methods/mine.py\n"
TRAIN = "import sys, train, methods; print(*methods.METHODS); sys.exit(train.main())"


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A folder that is the repository but for methods/, which is a copy."""
    root = tmp_path_factory.mktemp("copy")
    for path in ROOT.iterdir():
        if path.name not in ("methods", "tests", "checkpoint") and not path.name.startswith("."):
            (root / path.name).symlink_to(path)
    shutil.copytree(ROOT / "methods", root / "methods", ignore=shutil.ignore_patterns("__pycache__"))
    return root


def test_the_example_of_the_readme_trains(copy, tmp_path, small_data):
    """And a copy of another method beside it is one more."""
    text = (copy / "methods/blindeye.py").read_text("utf-8")
    (copy / "methods/yours.py").write_text(text.replace("blindeye", "yours").replace("BlindEye", "Yours"), "utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    example = re.search(rf"```python\n({BEGIN}.*?)```", readme, re.DOTALL)[1]
    assert len(example.splitlines()) <= 25
    (copy / "methods/mine.py").write_text(example, "utf-8")
    line = flags(tmp_path, small_data, "--method", "mine", "--gamma", "1.5", epochs=1)
    done = run(*line, program=("-c", TRAIN), cwd=copy)
    assert done.returncode == 0, done.stderr
    assert {"mine", "yours"} <= set(done.stdout.splitlines()[0].split())
    assert "LNTL, focal at σ² = 0.02 on cpu, 1 epoch" in done.stdout
    option = read(tmp_path / "run/options.json")
    assert (option["method"], option["gamma"], option["lr"]) == ("mine", 1.5, 0.01)


@pytest.mark.parametrize(
    ("text", "why"),
    [("class Mine(\n", "SyntaxError"), ("import nowhere\n", "ModuleNotFoundError"), ("nothing\n", "NameError")],
)
def test_a_file_with_a_mistake_is_named(tmp_path, monkeypatch, text, why):
    (tmp_path / f"house{why}").mkdir()
    (tmp_path / f"house{why}/__init__.py").touch()
    (tmp_path / f"house{why}/mine.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    __import__(f"house{why}")
    with pytest.raises(UserError, match=rf"house{why}/mine\.py cannot be loaded \({why}"):
        classes_in(f"house{why}")
    sys.modules.pop(f"house{why}")
