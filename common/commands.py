"""Commands as the person who reads them can give them, from where he stands, with the Python that runs now."""

import os
import shlex
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def command(program):
    """How `program` (`train.py`, `-m bench`) is run here; `bash FOLDER/train.sh` where that is how it was begun."""
    typed = os.environ.get("LNTL_COMMAND")  # of scripts/env.sh: `bash FOLDER/`
    if typed and program in ("train.py", "test.py"):
        return f"{typed}{program.removesuffix('.py')}.sh"
    if program.endswith(".py"):
        program = shlex.quote(min(os.path.relpath(ROOT / program), str(ROOT / program), key=len))
    python = "python" if shutil.which("python") == sys.executable else sys.executable
    return f"{shlex.quote(python)} {program}"


def of_run(program, option):
    """How `program` is run for the run of these options."""
    folder = "" if option.save_dir == "./checkpoint/" else f" --save_dir {shlex.quote(option.save_dir)}"
    return f"{command(program)} -e {option.exp_name}{folder}"
