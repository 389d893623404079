"""What comes before PyTorch, and commands that work as they are printed."""

import os
import shlex
import subprocess
import sys
from types import SimpleNamespace

import pytest

from common import commands
from common.before_torch import SPIN
from tests.processes import ROOT

SETTING = "import os, common.before_torch; print(os.environ.get('GOMP_SPINCOUNT'))"


def environment(**more):
    own = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")}
    return own | more


@pytest.mark.parametrize(
    ("user", "spin"),
    [
        ({}, SPIN),
        ({"OMP_WAIT_POLICY": "active"}, "None"),
        ({"GOMP_SPINCOUNT": "5"}, "5"),
        ({"KMP_BLOCKTIME": "0"}, "None"),
    ],
)
def test_a_users_own_setting_of_openmp_stays(user, spin):
    line = [sys.executable, "-c", SETTING]
    assert subprocess.run(line, cwd=ROOT, env=environment(**user), capture_output=True, text=True).stdout == f"{spin}\n"


@pytest.mark.parametrize(
    "line",
    ["train.py", "test.py --help", "reproduce.py", "-m bench", "-m dataset.images x", "-m models.checkpoint"],
)
def test_without_the_environment_one_line_says_how_to_get_it(line):
    program = [sys.executable, "-S", *line.split()]  # -S: no packages
    done = subprocess.run(program, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: this Python ({sys.executable}) has no torch, ")
    assert "train.sh` makes an environment" in done.stderr or ".venv/bin/activate` first" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_running_interpreter_is_named(monkeypatch):
    monkeypatch.delenv("LNTL_RESUME", raising=False)
    monkeypatch.delenv("LNTL_COMMAND", raising=False)
    monkeypatch.setattr(commands.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "executable", "/my env/bin/python3")
    option = SimpleNamespace(exp_name="x", save_dir="./checkpoint/")
    assert shlex.split(commands.resume(option)) == ["/my env/bin/python3", "train.py", "-e", "x", "--resume"]
    option.save_dir = "/a b"
    assert shlex.split(commands.evaluation(option))[1:] == ["test.py", "-e", "x", "--save_dir", "/a b"]
    monkeypatch.setattr(commands.shutil, "which", lambda name: f"/my env/bin/{name}")
    assert commands.command("-m bench") == "python3 -m bench"


def test_what_was_typed_is_named(monkeypatch):
    monkeypatch.setenv("LNTL_COMMAND", "bash ../here/train.sh")
    monkeypatch.setenv("LNTL_RESUME", "bash ../here/train.sh --lr 1 --resume")
    option = SimpleNamespace(exp_name="x", save_dir="./checkpoint/")
    assert commands.resume(option) == "bash ../here/train.sh --lr 1 --resume"
    assert commands.command("train.py") == "bash ../here/train.sh"
    assert commands.evaluation(option) == "bash ../here/test.sh -e x"
