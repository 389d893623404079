"""What every part uses: flags, what is told to a person, and files that are never half-written."""

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
