"""Writing files so that nothing is ever half-written: a temporary name first, then a rename."""

import contextlib
import json
import os
from pathlib import Path


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
