"""The scripts and the pinned requirements, and the Python environment that the scripts make."""

import os
import re
import shutil
import signal
import subprocess

import pytest

from tests.scripts.clone import ROOT, SCRIPTS, checker


def test_scripts_pass_shellcheck():
    result = subprocess.run([checker("shellcheck"), "-x", *SCRIPTS], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_scripts_are_executable():
    assert all(os.access(ROOT / name, os.X_OK) for name in SCRIPTS if name != "scripts/env.sh")


def pins(name):
    lines = (line.split("#")[0].split(";")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return dict(line.rstrip(" \\").split("==") for line in lines if line and not line.startswith("-"))


def test_requirements_are_pinned_and_plain():
    for name in ("requirements.txt", "requirements/dev.txt"):
        assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in pins(name).values()), name


def test_lock_holds_the_same_versions_with_hashes_and_no_address():
    lock = pins("requirements/lock.txt")
    assert pins("requirements.txt").items() <= lock.items()
    text = (ROOT / "requirements/lock.txt").read_text()
    entries = re.findall(r"^\S+==\S+ \\\n(?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", text, re.M)
    assert len(entries) == len(lock)
    assert not re.search(r"://|^\s*--(?!hash)", text, re.M)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"LNTL_RUNTIME": "cloud"}, "LNTL_RUNTIME=cloud is neither local nor docker"),
        ({"LNTL_RUNTIME": "docker"}, "no docker daemon answers"),
        ({"LNTL_LOCKED": "yes"}, "LNTL_LOCKED=yes is neither 0 nor 1"),
        ({"LNTL_PYTHON": "/nowhere/python"}, "LNTL_PYTHON=/nowhere/python does not run"),
        ({"LNTL_PYTHON": "python3", "STUB_LACKS": "torch tqdm"}, "LNTL_PYTHON=python3 lacks torch tqdm"),
        ({"STUB_TOO_OLD": "1"}, "Python 3.11 to 3.14 is needed"),
    ],
)
def test_what_is_wrong_is_one_line(clone, environment, message):
    status, output, calls = clone.run("train.sh", **environment)
    assert (status, calls) == (2, [])
    assert output.startswith("error: ")
    assert message in output
    assert output.count("\n") == 1


def pip_calls(calls):
    return [call.split(" -r ")[1] for call in calls if "-m pip install" in call]


def test_environment_is_made_once_and_kept_up_to_date(clone):
    assert pip_calls(clone.run("train.sh")[2]) == ["requirements.txt"]
    status, output, calls = clone.run("train.sh")
    assert (status, pip_calls(calls)) == (0, [])
    assert "environment" not in output
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
    (clone.root / ".venv/half").touch()
    status, output, calls = clone.run("train.sh")
    assert status == 0
    assert "making .venv" in output
    assert not (clone.root / ".venv/half").exists()
    assert pip_calls(calls) == ["requirements.txt"]


def test_failed_installation_is_repeated(clone):
    status, output, _ = clone.run("train.sh", STUB_PIP_STATUS="1")
    assert status == 2
    assert "error: " in output
    assert len(output.splitlines()) <= 5
    assert pip_calls(clone.run("train.sh")[2]) == ["requirements.txt"]


@pytest.mark.skipif(not shutil.which("flock"), reason="flock is not installed")
def test_two_at_once_make_one_environment(clone):
    processes = [clone.start("train.sh", STUB_PIP_SECONDS="1") for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(pip_calls(clone.calls())) == 1
    assert sum("making .venv with" in output for output in outputs) == 1
    assert sum("train.py" in call for call in clone.calls()) == 3


@pytest.mark.skipif(not shutil.which("flock"), reason="flock is not installed")
def test_training_does_not_hold_the_lock(clone):
    process = clone.start("train.sh", STUB_SECONDS="20")
    clone.wait_for_call("train.py")
    assert subprocess.run(["flock", "-n", clone.root / ".venv.lock", "true"]).returncode == 0
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_venv_made_by_hand_is_filled_and_never_deleted(clone):
    (clone.root / ".venv/bin").mkdir(parents=True)
    shutil.copy(clone.bin / "python3", clone.root / ".venv/bin/python")
    (clone.root / ".venv/mine").touch()
    assert clone.run("train.sh", LNTL_LOCKED="1")[0] == 2
    assert pip_calls(clone.run("train.sh")[2]) == ["requirements.txt"]
    (clone.root / ".venv/bin/python").unlink()
    status, output, _ = clone.run("train.sh")
    assert status == 2
    assert "holds no Python that runs; delete .venv" in output
    assert (clone.root / ".venv/mine").exists()


def test_a_link_to_another_disk_stays_one(clone, tmp_path):
    (tmp_path / "disk").mkdir()
    (clone.root / ".venv").symlink_to(tmp_path / "disk")
    assert clone.run("train.sh")[0] == 0
    assert (tmp_path / "disk/bin/python").exists()


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
    assert "lacks torch; taking .venv" in output
    assert pip_calls(calls) == ["requirements.txt"]


def test_scripts_keep_their_line_ends_in_a_checkout_of_windows(tmp_path):
    """Git for Windows writes CRLF where nothing says otherwise, and bash stops at the first of them."""
    if not (ROOT / ".git").exists():
        pytest.skip("not in a checkout")
    subprocess.run(["git", "clone", "-q", "-c", "core.autocrlf=true", ROOT, tmp_path / "p"], check=True)
    for name in SCRIPTS:
        assert b"\r" not in (tmp_path / "p" / name).read_bytes(), name
    weights = "checkpoints/lntl_var0.020.pth"
    assert (tmp_path / "p" / weights).read_bytes() == (ROOT / weights).read_bytes()
