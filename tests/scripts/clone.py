"""The shell scripts in a folder of their own, with stand-ins for Python, pip and docker."""

import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("train.sh", "test.sh", "tests/run.sh", ".ci/run", "scripts/env.sh")
FILES = (*SCRIPTS, "requirements.txt", "requirements/dev.txt", "requirements/lock.txt")

# Takes down how it was called, one line a call; `-m venv` makes a .venv whose Python is a copy of this.
PYTHON = r"""#!/usr/bin/env bash
case "$*" in
  */common/before_torch.py) [ -z "${STUB_LACKS:-}" ] ;;
  *version_info*) exit "${STUB_TOO_OLD:-0}" ;;
  *ensurepip*) exit "${STUB_NO_VENV:-0}" ;;
  --version) echo Python 3.11.0 ;;
  *lint_imports*) echo lint_imports >>"$STUB_LOG" ;;
  -c*) ;;
  "-m venv "*) mkdir -p "${@: -1}/bin" && cp "$0" "${@: -1}/bin/python" ;;
  *)
    echo "$*" >>"$STUB_LOG"
    if [[ $* == *" pip "* ]]; then sleep "${STUB_PIP_SECONDS:-0}"; exit "${STUB_PIP_STATUS:-0}"; fi
    echo "$LNTL_COMMAND"
    sleep "${STUB_SECONDS:-0}"
    exit "${STUB_STATUS:-0}"
    ;;
esac
"""
LOGGED = '#!/bin/sh\necho "$(basename "$0") $*" >>"$STUB_LOG"\n'


class Clone:
    """A copy of the scripts in a folder of their own, with stand-ins on the PATH."""

    def __init__(self, folder):
        self.root, self.bin, self.log = folder / "a clone", folder / "bin", folder / "log"
        for name in FILES:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        self.bin.mkdir()
        for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
            self.tool(name, PYTHON)
        self.environment = {"PATH": f"{self.bin}:/usr/bin:/bin", "STUB_LOG": str(self.log)}

    def tool(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def start(self, script, *flags, cwd=None, shell="bash", **environment):
        return subprocess.Popen(
            [shell, self.root / script, *flags], cwd=cwd or self.root, env=self.environment | environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def run(self, script, *flags, **how):
        """Returns the exit status, what it printed, and the calls that the stand-ins took down."""
        self.log.unlink(missing_ok=True)
        output, _ = (process := self.start(script, *flags, **how)).communicate(timeout=60)
        return process.returncode, output, self.calls()

    def calls(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    def wait_for_call(self, text):
        for _ in range(200):
            if any(text in call for call in self.calls()):
                return
            time.sleep(0.05)
        raise AssertionError(f"no call with {text!r} in {self.calls()}")
