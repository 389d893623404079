"""Pictures need no setting of a user, and come out the same whatever settings there are."""

import os
import subprocess
import sys

import pytest

from tests.processes import ROOT

DRAW = "import sys; from common import picture; picture.draw_confusion(sys.argv[1], [('σ²', [[3, 1], [0, 4]])])"


def draw(folder, name, **environment):
    """Draws in a process of its own, in `folder`; returns (bytes of the picture or None, what it said of a failure)."""
    clean = {k: v for k, v in os.environ.items() if k not in ("MPLBACKEND", "MATPLOTLIBRC")}
    own = clean | {"PYTHONPATH": str(ROOT), "HOME": str(folder)} | environment
    done = subprocess.run([sys.executable, "-c", DRAW, name], cwd=folder, env=own, capture_output=True, text=True)
    path = folder / name
    return path.read_bytes() if path.exists() else None, done.stderr


@pytest.mark.parametrize(
    "environment",
    [
        {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        {"MPLBACKEND": "nonsense"},
        {"MPLBACKEND": "TkAgg", "DISPLAY": ""},
        {"MATPLOTLIBRC": "usetex"},
        {"MATPLOTLIBRC": "unreadable"},
        {"MATPLOTLIBRC": "/nowhere"},
        {},
    ],
)
@pytest.mark.parametrize("place", [".config/matplotlib", "."])
def test_no_setting_matters(tmp_path, environment, place):
    expected, _ = draw(tmp_path, "expected.png")
    assert expected.startswith(b"\x89PNG")
    (tmp_path / "usetex").write_text("text.usetex: True\nsavefig.dpi: 10\n")
    (tmp_path / "unreadable").write_bytes(b"\xff\xfe\x00")
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    (tmp_path / place / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\nbackend: nonsense\n")
    if place == ".":
        (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\n")
    drawn, error = draw(tmp_path, "drawn.png", **environment)
    assert drawn == expected, error


def test_settings_in_the_folder_that_cannot_be_read_are_one_error(tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe\x00")
    drawn, error = draw(tmp_path, "drawn.png")
    assert drawn is None
    assert "UserError: matplotlib cannot be loaded (UnicodeDecodeError" in error
