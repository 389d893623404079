"""Commands as the person who reads them can give them, from where he stands, with the Python that runs now.

train.sh and test.sh say what was typed: LNTL_COMMAND is `bash train.sh`, LNTL_RESUME the same line with --resume.
"""

import os
import shlex
import shutil
import sys


def python():
    """`python` where that is the one that runs now, else its path."""
    for name in ("python", "python3"):
        if (found := shutil.which(name)) and os.path.abspath(found) == os.path.abspath(sys.executable):
            return name
    return shlex.quote(sys.executable or "python")


def command(program):
    """How `program` (`train.py`, `-m bench`) is run here."""
    script = os.environ.get("LNTL_COMMAND", "")
    if program.removesuffix(".py") + ".sh" in script:
        return script
    return f"{python()} {program}"


def resume(option):
    """The command that goes on with the run of these options."""
    if typed := os.environ.get("LNTL_RESUME"):
        return typed
    return f"{command('train.py')} -e {option.exp_name}{folder(option)} --resume"


def folder(option):
    """` --save_dir FOLDER`, where it is not the default."""
    return "" if option.save_dir == "./checkpoint/" else f" --save_dir {shlex.quote(option.save_dir)}"


def again():
    """The command that was typed, with --continue, which begins what has not been begun."""
    given = [word for word in sys.argv[1:] if word not in ("--resume", "--continue")]
    return os.environ.get("LNTL_RESUME") or f"{command('train.py')} {shlex.join(given)} --continue"


def evaluation(option):
    """The command that evaluates the weights of the run of these options."""
    train = os.environ.get("LNTL_COMMAND", "")
    program = f"{train.removesuffix('train.sh')}test.sh" if train.endswith("train.sh") else command("test.py")
    return f"{program} -e {option.exp_name}{folder(option)}"
