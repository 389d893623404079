"""train.sh and test.sh: which commands they run, shown by a stand-in for Python that records its arguments."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ("train.sh", "test.sh", "tests/run.sh", ".ci/run", "scripts/env.sh")
STUB = """#!/bin/sh
case "$1" in
  -c) case "$2" in *find_spec*) exit 0 ;; esac; shift 2 ;;
esac
echo "$@" >> "$RECORD"
"""


@pytest.fixture
def project(tmp_path):
    """A copy of the scripts, with one shipped baseline and a recording Python; run(script, ...) uses it."""
    for name in ("train.sh", "test.sh", "scripts/env.sh", "requirements.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "baseline_var0.020.pth").touch()
    stub = tmp_path / "python"
    stub.write_text(STUB)
    stub.chmod(0o755)

    def run(*command, **environment):
        (tmp_path / "record").unlink(missing_ok=True)
        variables = {"PATH": "/usr/bin:/bin", "LNTL_RUNTIME": "local", "LNTL_PYTHON": str(stub)}
        variables |= {"RECORD": str(tmp_path / "record")} | environment
        done = subprocess.run(
            ["bash", *command], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=60
        )
        record = tmp_path / "record"
        return done, record.read_text().splitlines() if record.exists() else []

    run.folder = tmp_path
    return run


def test_main_job(project):
    done, commands = project("train.sh")
    assert done.returncode == 0, done.stderr
    assert commands == ["train.py -e lntl_var0.020 --method lntl --color_var 0.02 --random_seed 1"]


def test_flags_are_passed_on_after_the_defaults(project):
    _, commands = project("train.sh", "--max_step", "5", "-e", "mine", "--random_seed=7")
    assert commands[0].endswith("--max_step 5 -e mine --random_seed=7")


@pytest.mark.parametrize("flags", [["--color_var", "0.03"], ["--color_var=0.03"]])
def test_missing_baseline_is_trained_first(project, flags):
    done, commands = project("train.sh", *flags)
    assert "no baseline of variance 0.03 is shipped" in done.stderr
    first, second = commands
    assert first.startswith("train.py -e baseline_var0.030 --method baseline --color_var 0.03 --resume --random_seed 1")
    assert second.startswith("train.py -e lntl_var0.030 --method lntl")
    assert "--checkpoint checkpoint/baseline_var0.030/final.pth" in second


def test_given_start_trains_no_baseline(project):
    for flags in (["--from_scratch"], ["--checkpoint", "x.pth"], ["--method", "gray"]):
        assert len(project("train.sh", "--color_var", "0.03", *flags)[1]) == 1


def test_evaluation(project):
    done, commands = project("test.sh")
    assert done.returncode == 2
    assert "train first" in done.stderr
    assert commands == []
    (project.folder / "checkpoint" / "lntl_var0.020").mkdir(parents=True)
    assert project("test.sh")[1] == ["test.py -e lntl_var0.020"]
    (command,) = project("test.sh", "--checkpoint", "checkpoints/lntl_var0.030.pth")[1]
    assert "--color_var 0.030" in command
    assert command.endswith("--checkpoint checkpoints/lntl_var0.030.pth")


def test_wrong_runtime_is_one_line(project):
    done, commands = project("train.sh", LNTL_RUNTIME="podman")
    assert done.returncode == 2
    assert done.stderr.startswith("error: LNTL_RUNTIME=podman")
    assert done.stderr.count("\n") == 1
    assert commands == []


def test_scripts_are_well_formed():
    for name in SCRIPTS:
        assert subprocess.run(["bash", "-n", name], cwd=ROOT, check=False).returncode == 0
    for program, files in (("shellcheck", SCRIPTS), ("hadolint", ("Dockerfile",))):
        found = shutil.which(program, path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin")
        if found is None:
            pytest.skip(f"{program} is not installed")
        checked = subprocess.run([found, *files], cwd=ROOT, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout
