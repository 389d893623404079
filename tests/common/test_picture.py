"""Pictures come out the same whatever settings a user, a notebook or a folder has."""

import os
import subprocess
import sys

from tests.processes import ROOT

DRAW = "import sys; from common import picture; picture.draw_confusion(sys.argv[1], [('$σ²', [[3, 1], [0, 4]])])"


def draw(folder, name, **environment):
    """Draws in a process of its own, in `folder`; returns the bytes of the picture."""
    clean = {k: v for k, v in os.environ.items() if k not in ("MPLBACKEND", "MATPLOTLIBRC")}
    own = clean | {"PYTHONPATH": str(ROOT), "HOME": str(folder)} | environment
    subprocess.run([sys.executable, "-c", DRAW, name], cwd=folder, env=own, check=True)
    return (folder / name).read_bytes()


def test_no_setting_matters(tmp_path):
    expected = draw(tmp_path, "expected.png")
    assert expected.startswith(b"\x89PNG")
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\nsavefig.dpi: 10\n")
    assert draw(tmp_path, "drawn.png", MPLBACKEND="TkAgg", DISPLAY="") == expected
