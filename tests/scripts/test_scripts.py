"""What the scripts run, the environment that they make, the pinned requirements, and the image."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scripts.clone import LOGGED, ROOT, SCRIPTS, Clone

# pip puts it beside Python, and tests/run.sh does not put that on the PATH.
SHELLCHECK = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.fixture
def clone(tmp_path):
    """The scripts in a folder of their own."""
    return Clone(tmp_path)


@pytest.fixture
def ready(clone):
    """A clone whose environment is there already."""
    clone.environment["LNTL_PYTHON"] = str(clone.bin / "python3")
    return clone


def pip_calls(calls):
    """What pip was told to install."""
    return [re.search(r" -r .*/a clone/(.*)", call)[1] for call in calls if "-m pip install" in call]


@pytest.mark.skipif(not SHELLCHECK, reason="shellcheck is not installed")
def test_scripts_pass_shellcheck():
    result = subprocess.run([SHELLCHECK, "-x", *SCRIPTS], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def pins(name):
    lines = (line.split("#")[0].split(";")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return dict(line.rstrip(" \\").split("==") for line in lines if line and not line.startswith("-"))


def test_lock_holds_the_same_versions_with_hashes_and_no_address():
    lock = pins("requirements/lock.txt")
    assert pins("requirements.txt").items() <= lock.items()
    text = (ROOT / "requirements/lock.txt").read_text()
    entry = r"^\S+==\S+ \\\n(?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+"
    assert len(re.findall(entry, text, re.M)) == len(lock)
    assert re.fullmatch(r"( *#.*\n)+", re.sub(entry, "", text, flags=re.M))
    assert "://" not in text


@pytest.mark.parametrize("program", ["train", "test"])
def test_flags_reach_the_program_where_the_user_stands(ready, tmp_path, program):
    status, output, calls = ready.run(f"{program}.sh", "-e", "a b", "--lr=1", cwd=tmp_path, STUB_STATUS="3")
    assert (status, calls) == (3, [f"{ready.root}/{program}.py -e a b --lr=1"])
    assert shlex.split(output) == ["bash", f"{ready.root}/"]  # what a command that the program prints begins with


@pytest.mark.skipif(not shutil.which("dash"), reason="dash is not installed")
@pytest.mark.parametrize("script", ["train.sh", "test.sh", "tests/run.sh"])
def test_another_shell_hands_over_to_bash(ready, script):
    assert ready.run(script, shell="dash")[0] == 0


def test_run_checks_the_style_and_then_tests(ready):
    calls = ready.run("tests/run.sh", "-m", "slow")[2]
    assert calls == ["-m ruff check .", "-m ruff format --check .", "lint_imports", "-m pytest -m slow"]
    assert ready.run(".ci/run")[2][-1] == "-m pytest"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"LNTL_RUNTIME": "cloud"}, "LNTL_RUNTIME=cloud is neither local nor docker"),
        ({"LNTL_RUNTIME": "docker", "PATH": "{bin}"}, "there is no docker here"),
        ({"LNTL_PYTHON": "/nowhere/python"}, "LNTL_PYTHON=/nowhere/python is no program"),
        ({"STUB_TOO_OLD": "1"}, "Python 3.11 to 3.14 is needed"),
        ({"STUB_NO_VENV": "1"}, "python3 has no venv module"),
    ],
)
def test_what_is_wrong_is_one_line(clone, environment, message):
    for name in ("bash", "dirname", "id"):
        (clone.bin / name).symlink_to(shutil.which(name))
    status, output, calls = clone.run("train.sh", **{k: v.format(bin=clone.bin) for k, v in environment.items()})
    assert (status, calls) == (2, [])
    assert re.fullmatch(f"error: .*{re.escape(message)}.*\n", output)


def test_environment_is_made_once_and_kept_up_to_date(clone):
    status, output, calls = clone.run("train.sh")
    assert (status, pip_calls(calls)) == (0, ["requirements.txt"])
    assert "making .venv with Python 3.11.0" in output
    status, output, calls = clone.run("train.sh")
    assert (status, calls) == (0, [f"{clone.root}/train.py"])
    assert "environment: " not in output
    assert pip_calls(clone.run("tests/run.sh")[2]) == ["requirements/dev.txt"]
    with (clone.root / "requirements.txt").open("a") as file:
        file.write("# changed\n")
    assert pip_calls(clone.run("train.sh")[2]) == ["requirements.txt"]
    assert pip_calls(clone.run("tests/run.sh")[2]) == []


def test_interrupted_environment_is_made_anew(clone):
    process = clone.start("train.sh", STUB_PIP_SECONDS="30")
    clone.wait_for_call("pip install")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    _, output, calls = clone.run("train.sh")
    assert "making .venv" in output
    assert pip_calls(calls) == ["requirements.txt"]


def test_failed_installation_is_repeated(clone):
    status, output, _ = clone.run("train.sh", STUB_PIP_STATUS="1")
    assert status == 2
    assert output.splitlines()[-1].startswith("error: pip could not install requirements.txt")
    assert pip_calls(clone.run("train.sh")[2]) == ["requirements.txt"]


@pytest.mark.skipif(not shutil.which("flock"), reason="flock is not installed")
def test_two_at_once_make_one_environment_and_training_does_not_hold_the_lock(clone):
    processes = [clone.start("train.sh", STUB_PIP_SECONDS="1", STUB_SECONDS="5") for _ in range(3)]
    clone.wait_for_call("train.py")
    assert subprocess.run(["flock", "-w", "4", clone.root / ".venv.lock", "true"]).returncode == 0
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(pip_calls(clone.calls())) == 1
    assert sum("making .venv with" in output for output in outputs) == 1


def test_a_venv_made_by_hand_is_filled_and_never_emptied(clone):
    (clone.root / ".venv/bin").mkdir(parents=True)
    shutil.copy(clone.bin / "python3", clone.root / ".venv/bin/python")
    (clone.root / ".venv/mine").touch()
    assert "was installed without hashes; delete it" in clone.run("train.sh", LNTL_LOCKED="1")[1]
    assert pip_calls(clone.run("train.sh")[2]) == ["requirements.txt"]
    (clone.root / ".venv/bin/python").unlink()
    status, output, _ = clone.run("train.sh")
    assert status == 2
    assert "has no Python that runs; delete it" in output
    assert (clone.root / ".venv/mine").exists()


def test_locked_environment_is_installed_by_hashes_and_serves_both(clone):
    calls = clone.run("train.sh", LNTL_LOCKED="1")[2]
    assert pip_calls(calls) == ["requirements/lock.txt"]
    assert "--require-hashes" in calls[0]
    assert pip_calls(clone.run("train.sh", LNTL_LOCKED="1")[2] + clone.run("train.sh")[2]) == []


def test_active_environment_is_used_if_it_has_the_packages(clone, tmp_path):
    (tmp_path / "active/bin").mkdir(parents=True)
    shutil.copy(clone.bin / "python3", tmp_path / "active/bin/python")
    active = {"VIRTUAL_ENV": str(tmp_path / "active")}
    assert pip_calls(clone.run("train.sh", **active)[2]) == []
    _, output, calls = clone.run("train.sh", **active, STUB_LACKS="torch")
    assert "lacks packages of requirements.txt; taking .venv" in output
    assert pip_calls(calls) == ["requirements.txt"]


@pytest.mark.parametrize("gpu", [True, False])
def test_docker_runs_the_image_where_the_user_stands(clone, tmp_path, gpu):
    clone.tool("docker", LOGGED)
    clone.tool("nvidia-smi", f"#!/bin/sh\nexit {9 * (not gpu)}\n")
    status, _, (build, run) = clone.run("train.sh", "--color_var", "0.03", cwd=tmp_path, LNTL_RUNTIME="docker")
    assert status == 0
    assert build == f"docker build -t learning-not-to-learn {clone.root}"
    assert f" --user {os.getuid()}:{os.getgid()} -v {tmp_path}:{tmp_path} -w {tmp_path} " in run
    assert (" --gpus all " in run) == gpu
    assert run.endswith(" learning-not-to-learn python3 /app/train.py --color_var 0.03")


def test_image_is_not_root_checks_hashes_and_takes_no_results_along():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d*$", dockerfile, re.M)
    assert re.search(r"^COPY requirements/lock.txt requirements/\nRUN pip .* --require-hashes -r", dockerfile, re.M)
    assert {"checkpoint", ".venv*", ".git"} <= set((ROOT / ".dockerignore").read_text().split())
