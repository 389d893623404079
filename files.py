"""Writing files so that nothing is ever half-written: a temporary name first, then a rename."""

import contextlib
import importlib
import json
import os
import pkgutil
import sys
from pathlib import Path

from errors import UserError


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary path beside `path`; when the block ends well, its file replaces `path` in one step.

    If the block fails, the temporary file is removed and whatever stood at `path` before is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "r+b") as file:  # Windows flushes no file that is open for reading alone
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path, value):
    """Writes `value` (plain values only; NaN is refused) as indented JSON."""
    with replacing(path) as temporary:
        text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        temporary.write_text(text, "utf-8", errors="backslashreplace")  # a file name need not be UTF-8


def read_json_lines(path):
    """The records of a `.jsonl` file, oldest first. A last line cut off by a crash is left out."""
    records = []
    if Path(path).exists():
        for line in Path(path).read_text("utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                records.append(json.loads(line))
    return records


def classes_in(package):
    """The classes that the modules of an imported package define, in the order of the modules' names."""
    found = []
    for module in sorted(m.name for m in pkgutil.iter_modules(sys.modules[package].__path__)):
        try:
            content = vars(importlib.import_module(f"{package}.{module}"))
        except (SyntaxError, ImportError, NameError) as error:
            raise UserError(f"{package}/{module}.py cannot be loaded ({type(error).__name__}: {error})") from error
        found += [c for c in content.values() if isinstance(c, type) and c.__module__ == f"{package}.{module}"]
    return found
