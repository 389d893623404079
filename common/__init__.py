"""What every part uses: how flags are declared and read, what a value may be, and pictures that need no settings."""

import common.before_torch  # noqa: F401
from common.flags import (
    Flag,
    Parser,
    count,
    given,
    location,
    name,
    new_file,
    number,
    path,
    pattern,
    same_path,
    seed,
    switch,
    unused_file,
)

__all__ = [
    "Flag", "Parser", "count", "given", "location", "name", "new_file", "number", "path", "pattern", "same_path",
    "seed", "switch", "unused_file",
]  # fmt: skip
