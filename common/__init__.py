"""What every part uses: flags, what is told to a person, and files that are never half-written."""

# ruff: noqa: F401
import common.before_torch
from common.flags import Flag, Parser, count, given, location, name, new_file, number, path, pattern, seed, switch
