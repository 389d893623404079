"""What the value of a flag may be: types for argparse that take a value as it is meant, or say what it should be."""

import argparse
import functools
import math
import os
import re
from pathlib import Path

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")  # of --network
LAYERS = ("layer1", "layer2", "layer3", "layer4")  # of --split_at


@functools.cache  # the same bounds are the same type: flags that two owners share are compared
def number(kind, low, high, *, open_low=False):
    """An argparse type: a finite number of `kind` within [low, high], or (low, high] with `open_low`."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (low < value if open_low else low <= value) or not value <= high:
            what = "a whole number" if kind is int else "a number"
            bound = f"above {low} and up to {high}" if open_low else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"{text!r} is not {f'{what} {bound}' if low != high else low}")
        return value

    return parse


@functools.cache
def pattern(regex, what):
    """An argparse type: a text that matches; `what`, in an error, is what it should have been."""

    def parse(text):
        if not re.fullmatch(regex, text):
            raise argparse.ArgumentTypeError(f"{text!r} is no {what}")
        return text

    return parse


def given(text):
    """An argparse type: a text that is not empty, as that of a shell's unset variable would be."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; is a variable unset?")
    return text


def path(text):
    """An argparse type: a file or folder, `~` taken for the home folder where the shell has not done so."""
    found = os.path.expanduser(given(text))
    if found.startswith("~"):
        raise argparse.ArgumentTypeError(f"{text!r}: there is no such user; write ./{text} for a file of that name")
    return found


def location(text):
    """An argparse type: as `path`, a pathlib.Path."""
    return Path(path(text))


def new_file(text):
    """An argparse type: as `location`, for a file to be written, in a folder that exists."""
    found = location(text)
    if found.is_dir() or not found.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no file in a folder that exists")
    return found


def unused_file(text):
    """An argparse type: as `new_file`, for a file that is not there yet."""
    found = new_file(text)
    if found.exists():
        raise argparse.ArgumentTypeError(f"{text!r} is there already; give another file, or remove it")
    return found


def same_path(a, b):
    """Whether two paths are one file or folder, however they are written; None is none."""
    if a is None or b is None:
        return a is b
    return os.path.realpath(os.path.expanduser(a)) == os.path.realpath(os.path.expanduser(b))


def switch(text):
    """An argparse type: true or false."""
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1")


count = number(int, 1, 10**6)
seed = number(int, 0, 2**32 - 1)
name = pattern(
    r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,99}",
    "experiment name; use up to 100 letters, digits and _ . + = - (no path)",
)
