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
    python = next((name for name in ("python", "python3") if is_this_python(shutil.which(name))), sys.executable)
    return f"{shlex.quote(python)} {program}"


def is_this_python(path):
    """Whether `path` (None where there is none) is the interpreter that runs now, of the same environment."""
    return path is not None and os.path.abspath(path) == os.path.abspath(sys.executable)


def of_run(option):
    """The flags that name the run of these options."""
    folder = "" if option.save_dir == "./checkpoint/" else f" --save_dir {shlex.quote(option.save_dir)}"
    return f"-e {option.exp_name}{folder}"


def resume(option):
    """The command that goes on with the run of these options."""
    return f"{command('train.py')} {of_run(option)} --resume"


def evaluation(option):
    """The command that evaluates the weights of the run of these options."""
    return f"{command('test.py')} {of_run(option)}"
