"""The shell scripts in a folder of their own, with stand-ins for Python, pip and docker."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("train.sh", "test.sh", "tests/run.sh", ".ci/run", "scripts/env.sh", "scripts/measure_gpu.sh")

# Takes down how it was called, one line a call; `-m venv` makes a .venv whose Python is a copy of this.
PYTHON = r"""#!/usr/bin/env bash
case "$*" in
  *find_spec*) echo -n "$STUB_LACKS" ;;
  *os.execv*) exec "$0" "${@:3}" ;;
  *version_info*) exit "${STUB_TOO_OLD:-0}" ;;
  --version) echo Python 3.11.0 ;;
  *lint_imports*) echo lint_imports >>"$STUB_LOG" ;;
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
        for name in (*SCRIPTS, "requirements.txt", "requirements/dev.txt", "requirements/lock.txt"):
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


def checker(name):
    """The path of a checking program, next to this Python or on the PATH, or a skip."""
    path = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return path or pytest.skip(f"{name} is not installed")
