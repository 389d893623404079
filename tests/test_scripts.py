"""Shell scripts, requirements and Dockerfile: checked, and run with stand-ins for Python, pip and docker."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ("train.sh", "test.sh", "tests/run.sh", ".ci/run", "scripts/env.sh")
BASELINE = "--method baseline --color_var"

# Takes down how it was called, one line a call; `-m venv` makes a .venv whose Python is a copy of this.
PYTHON = r"""#!/usr/bin/env bash
case "$*" in
  *find_spec*) echo -n "$STUB_LACKS" ;;
  *os.execv*) exec "$0" "${@:3}" ;;
  *version_info*) exit "${STUB_TOO_OLD:-0}" ;;
  --version) echo Python 3.11.0 ;;
  -c*) ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  *)
    echo "$*" >>"$STUB_LOG"
    if [[ $* == *" pip "* ]]; then sleep "${STUB_PIP_SECONDS:-0}"; exit "${STUB_PIP_STATUS:-0}"; fi
    sleep "${STUB_SECONDS:-0}"
    exit "${STUB_STATUS:-0}"
    ;;
esac
"""
# Stands in for the training with a real Python, where signals matter.
TRAIN = """
import os, signal, sys, time

def log(text):
    with open(os.environ["STUB_LOG"], "a") as file:
        file.write(text + "\\n")

def save(number, _):
    log("saved")
    sys.exit(128 + number)

signal.signal(signal.SIGTERM, save)
log(" ".join(sys.argv))
time.sleep(20)
"""
DOCKER = r"""#!/usr/bin/env bash
case "$1 ${STUB_DOCKER_INFO:-}" in
  "info hangs") sleep 60 ;;
  "info none") exit 1 ;;
  "info "*) echo "${STUB_DOCKER_INFO:-}" ;;
  *) printf '%s\n' "$*" >>"$STUB_LOG" ;;
esac
"""


class Clone:
    """A copy of the scripts in a folder of their own, with stand-ins on the PATH."""

    def __init__(self, folder):
        self.root, self.bin, self.log = folder / "clone", folder / "bin", folder / "log"
        for name in (*SCRIPTS, "requirements.txt", "requirements-dev.txt", "requirements.lock"):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        (self.root / "checkpoints").mkdir()
        (self.root / "checkpoints/baseline_var0.020.pth").touch()
        self.bin.mkdir()
        for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
            self.tool(name, PYTHON)
        self.tool("docker", DOCKER)
        self.environment = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "STUB_LOG": str(self.log),
            "STUB_LACKS": "",
            "STUB_DOCKER_INFO": "none",
        }

    def tool(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def start(self, script, *flags, cwd=None, **environment):
        return subprocess.Popen(
            ["bash", self.root / script, *flags],
            cwd=cwd or self.root,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, script, *flags, cwd=None, **environment):
        """Returns the exit status, what it printed, and the calls that the stand-ins took down."""
        self.log.unlink(missing_ok=True)
        process = self.start(script, *flags, cwd=cwd, **environment)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output, self.calls()

    def calls(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    def wait_for_call(self, text):
        for _ in range(200):
            if any(text in call for call in self.calls()):
                return
            time.sleep(0.05)
        raise AssertionError(f"no call with {text!r} in {self.calls()}")


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path)


@pytest.fixture
def ready(clone):
    """A clone whose environment is there already."""
    clone.environment["LNTL_PYTHON"] = str(clone.bin / "python3")
    return clone


def checker(name):
    """The path of a checking program, next to this Python or on the PATH, or a skip."""
    path = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return path or pytest.skip(f"{name} is not installed")


# --------------------------------------------------------------------------------------------- files by themselves


def test_scripts_pass_shellcheck():
    result = subprocess.run([checker("shellcheck"), "-x", *SCRIPTS], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_dockerfile_passes_hadolint():
    result = subprocess.run([checker("hadolint"), "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_scripts_are_executable():
    assert all(os.access(ROOT / name, os.X_OK) for name in SCRIPTS if name != "scripts/env.sh")


def pins(name):
    lines = (line.split("#")[0].split(";")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return dict(line.rstrip(" \\").split("==") for line in lines if line and not line.startswith("-"))


def test_requirements_are_pinned_and_plain():
    for name in ("requirements.txt", "requirements-dev.txt"):
        assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in pins(name).values()), name


def test_lock_holds_the_same_versions_with_hashes_and_no_address():
    lock = pins("requirements.lock")
    assert pins("requirements.txt").items() <= lock.items()
    text = (ROOT / "requirements.lock").read_text()
    entries = re.findall(r"^\S+==\S+ \\\n(?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", text, re.M)
    assert len(entries) == len(lock)
    assert not re.search(r"://|^\s*--(?!hash)", text, re.M)


def test_image_is_not_root_and_takes_no_results_along():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d*$", dockerfile, re.M)
    assert "--require-hashes" in dockerfile
    assert {"checkpoint", ".venv", ".git"} <= set((ROOT / ".dockerignore").read_text().split())


# ------------------------------------------------------------------------------------------------- what train.sh runs


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("", "lntl_var0.020"),
        ("--color_var 0.02 --max_step 5", "lntl_var0.020"),
        ("--color_var=2e-2", "lntl_var0.020"),
        ("--color_var 0.03 --color_var=.02", "lntl_var0.020"),
        ("--method gray --color_var 0.045", "gray_var0.045"),
        ("--train_baseline --color_var 0.05", "baseline_var0.050"),
        ("--color_var x", "lntl"),
        ("--color_var", "lntl"),
    ],
)
def test_train_names_the_run_by_what_is_in_effect(ready, flags, name):
    status, output, calls = ready.run("train.sh", *flags.split())
    method = name.split("_")[0]
    assert (status, output) == (0, "")
    [call] = calls
    assert call.startswith(f"train.py -e {name} --method {method} --color_var 0.02 ")
    assert call.endswith(flags)


def test_train_leaves_a_name_that_is_given_in_charge(ready):
    [call] = ready.run("train.sh", "-e", "mine", "--checkpoint", "a b.pth")[2]
    assert call.endswith("-e mine --checkpoint a b.pth")


def test_train_passes_the_status_on(ready):
    assert ready.run("train.sh", STUB_STATUS="3")[0] == 3


def test_missing_baseline_is_trained_first(ready):
    status, output, calls = ready.run(
        "train.sh", "--color_var", "0.03", "--max_step", "5", "--save_dir=d", "--device", "cpu", "--cuda"
    )
    assert status == 0
    assert "no baseline of variance 0.03 is shipped; training it first" in output
    first, second = calls
    assert first.startswith(f"train.py -e baseline_var0.030 {BASELINE} 0.03 --resume --random_seed")
    assert first.endswith("--save_dir=d --device=cpu --cuda")
    assert "--checkpoint d/baseline_var0.030/final.pth" in second
    assert second.startswith("train.py -e lntl_var0.030 --method lntl ")


@pytest.mark.parametrize("flags", ["--checkpoint f.pth", "--checkpoint=f.pth", "--from_scratch", "--help", "-h"])
def test_no_baseline_is_trained_where_none_is_wanted(ready, flags):
    assert len(ready.run("train.sh", "--color_var", "0.03", *flags.split())[2]) == 1


def test_dry_run_trains_no_baseline(ready):
    [call] = ready.run("train.sh", "--color_var", "0.03", "--dry-run")[2]
    assert "--from_scratch" in call


def test_a_baseline_that_fails_stops_it(ready):
    status, _, calls = ready.run("train.sh", "--color_var", "0.03", STUB_STATUS="2")
    assert (status, len(calls)) == (2, 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_baseline_training(clone, number):
    (clone.root / "train.py").write_text(TRAIN)
    process = clone.start("train.sh", "--color_var", "0.03", LNTL_PYTHON=sys.executable)
    clone.wait_for_call("baseline_var0.030")
    if number == signal.SIGTERM:
        process.send_signal(number)  # to train.sh alone, as a scheduler does
    else:
        os.killpg(process.pid, number)  # Ctrl-C: to all of them, and Python has no handler of its own yet
    process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert ("saved" in clone.calls()) == (number == signal.SIGTERM)
    assert not any("lntl_var" in call for call in clone.calls())


def test_paths_are_those_of_the_folder_it_was_called_from(ready, tmp_path):
    [call] = ready.run("train.sh", "--data_dir=rel", "--save_dir", "/abs", "--checkpoint", "c.pth", cwd=tmp_path)[2]
    assert f"--data_dir={tmp_path}/rel --save_dir /abs --checkpoint {tmp_path}/c.pth" in call


# -------------------------------------------------------------------------------------------------- what test.sh runs


def test_test_says_when_there_is_nothing(ready):
    status, output, calls = ready.run("test.sh", "--color_var", "0.03")
    assert (status, calls) == (2, [])
    assert output.startswith("error: nothing to evaluate: checkpoint/lntl_var0.030 does not exist; train first")


@pytest.mark.parametrize(
    ("flags", "call"),
    [
        ("", "-e lntl_var0.020"),
        ("-e mine --device cpu", "-e mine --device cpu"),
        ("--checkpoint d/w_var0.050.pth", "-e test_d_w_var0.050 --color_var 0.050 --checkpoint d/w_var0.050.pth"),
        ("--checkpoint ./w.pth", "-e test_w --color_var 0.02 --checkpoint ./w.pth"),
        (
            "--checkpoint checkpoint/lntl_var0.030/final.pth",
            "-e test_lntl_var0.030_final --color_var 0.030 --checkpoint checkpoint/lntl_var0.030/final.pth",
        ),
    ],
)
def test_test_evaluates(ready, flags, call):
    (ready.root / "checkpoint/lntl_var0.020").mkdir(parents=True)
    status, _, calls = ready.run("test.sh", *flags.split())
    assert (status, calls) == (0, [f"test.py {call}"])


def test_run_checks_the_style_and_then_tests(ready):
    calls = ready.run("tests/run.sh", "-m", "slow")[2]
    assert calls == ["-m ruff check .", "-m ruff format --check .", "-m pytest -m slow"]
    assert ready.run(".ci/run")[2][-1] == "-m pytest"


# ------------------------------------------------------------------------------------------------- the environment


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
    assert (status, output, pip_calls(calls)) == (0, "", [])
    assert pip_calls(clone.run("tests/run.sh")[2]) == ["requirements-dev.txt"]
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
    assert pip_calls(calls) == ["requirements.lock"]
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


# ------------------------------------------------------------------------------------------------------------- docker


def with_gpu(clone, runtimes='{"nvidia":{},"runc":{}}'):
    clone.tool("nvidia-smi", "#!/bin/sh\necho 'GPU 0: a stand-in'\n")
    clone.environment |= {"STUB_DOCKER_INFO": runtimes}


def test_docker_is_taken_where_it_and_the_gpu_are(clone):
    with_gpu(clone)
    status, _, calls = clone.run("train.sh", "--color_var", "0.03")
    build, run = calls
    assert status == 0
    assert build == "build -t learning-not-to-learn ."
    assert run.startswith("run --rm --init ")
    assert " --gpus all " in run
    assert f" --user {os.getuid()}:{os.getgid()} " in run
    assert f" -v {clone.root}/checkpoint:/app/checkpoint " in run
    assert run.endswith(" learning-not-to-learn bash train.sh --color_var 0.03")
    assert (clone.root / "checkpoint").is_dir()


def test_docker_mounts_the_paths_that_flags_name(clone, tmp_path):
    with_gpu(clone)
    (tmp_path / "data").mkdir()
    flags = ("--data_dir", "data", "--save_dir=out", "--checkpoint", "missing.pth")
    run = clone.run("train.sh", *flags, cwd=tmp_path)[2][1]
    assert f" -v {tmp_path}/data:{tmp_path}/data:ro " in run
    assert f" -v {tmp_path}/out:{tmp_path}/out " in run
    assert "missing.pth:" not in run
    assert run.endswith(f"--data_dir {tmp_path}/data --save_dir={tmp_path}/out --checkpoint {tmp_path}/missing.pth")


def test_rootless_docker_runs_as_its_root(clone):
    with_gpu(clone, '["name=rootless","nvidia"]')
    assert " --user 0:0 " in clone.run("test.sh")[2][1]


@pytest.mark.parametrize("runtimes", ['{"runc":{}}', "none"])
def test_docker_is_not_taken_without_the_nvidia_runtime(ready, runtimes):
    with_gpu(ready, runtimes)
    del ready.environment["LNTL_PYTHON"]
    assert all(call.split()[0] not in ("build", "run") for call in ready.run("train.sh")[2])


@pytest.mark.parametrize("environment", [{"LNTL_RUNTIME": "local"}, {"LNTL_PYTHON": "python3"}])
def test_docker_is_not_taken_against_the_users_word(clone, environment):
    with_gpu(clone)
    assert clone.run("train.sh", **environment)[2][-1].startswith("train.py ")


def test_docker_on_request_runs_without_a_gpu(clone):
    clone.environment["STUB_DOCKER_INFO"] = '{"runc":{}}'
    _, output, calls = clone.run("train.sh", LNTL_RUNTIME="docker")
    assert "on the CPU" in output
    assert "--gpus" not in calls[1]


@pytest.mark.slow
def test_a_docker_daemon_that_hangs_does_not_hang_the_script(clone):
    with_gpu(clone, "hangs")
    start = time.monotonic()
    assert clone.run("train.sh")[0] == 0
    assert time.monotonic() - start < 20
