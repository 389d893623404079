"""What comes before PyTorch, and commands that work as they are printed."""

import os
import shlex
import subprocess
import sys
from types import SimpleNamespace

import pytest

from common import commands

ROOT = commands.ROOT
SETTING = "import os, common.before_torch; print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("user", "spin"),
    [({}, "10000"), ({"OMP_WAIT_POLICY": "active"}, "None"), ({"GOMP_SPINCOUNT": "5"}, "5")],
)
def test_a_users_own_setting_of_openmp_stays(user, spin):
    own = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")}
    line = [sys.executable, "-c", SETTING]
    assert subprocess.run(line, cwd=ROOT, env=own | user, capture_output=True, text=True).stdout == f"{spin}\n"


@pytest.mark.parametrize("line", ["train.py", "test.py --help", "-m bench", "common/before_torch.py"])
def test_without_the_packages_one_line_says_how_to_get_them(line):
    program = [sys.executable, "-S", *line.split()]  # -S: no packages
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: this Python ({sys.executable}) has no torch, ")
    assert "`bash train.sh` makes an environment" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.fixture
def option(monkeypatch):
    monkeypatch.delenv("LNTL_COMMAND", raising=False)
    return SimpleNamespace(exp_name="x", save_dir="./checkpoint/")


def test_commands_run_where_the_user_stands(monkeypatch, option, tmp_path):
    monkeypatch.setattr(sys, "executable", "/my env/bin/python")
    monkeypatch.chdir(ROOT)
    assert shlex.split(commands.of_run("train.py", option)) == ["/my env/bin/python", "train.py", "-e", "x"]
    option.save_dir = "/a b"
    assert shlex.split(commands.of_run("test.py", option))[1:] == ["test.py", "-e", "x", "--save_dir", "/a b"]
    monkeypatch.chdir(ROOT / "docs")
    assert commands.command("test.py").endswith(" ../test.py")
    monkeypatch.chdir(tmp_path)
    assert (tmp_path / shlex.split(commands.command("test.py"))[1]).samefile(ROOT / "test.py")
    monkeypatch.setattr(commands.shutil, "which", lambda name: f"/my env/bin/{name}")
    assert commands.command("-m bench") == "python -m bench"


def test_commands_begin_as_the_one_that_was_typed(monkeypatch, option):
    monkeypatch.setenv("LNTL_COMMAND", "bash ../here/")
    assert commands.of_run("train.py", option) == "bash ../here/train.sh -e x"
    assert commands.of_run("test.py", option) == "bash ../here/test.sh -e x"
    assert "bash" not in commands.command("reproduce.py")
