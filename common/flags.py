"""Flags: how they are declared and read, and what the value of one may be."""

import argparse
import functools
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from common.commands import command
from common.errors import UserError

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
LAYERS = ("layer1", "layer2", "layer3", "layer4")  # of a ResNet, for --split_at


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


def switch(text):
    """An argparse type: true or false."""
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1")


count = number(int, 1, 10**6)
seed = number(int, 0, 2**32 - 1)
name = pattern(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,99}", "experiment name: up to 100 letters, digits and _ . + = -")


class Flag(NamedTuple):
    """One flag; `--NAME`, recorded as NAME. Two owners may share one where it takes the same values."""

    name: str
    type: Callable = str
    default: object = None
    help: str = ""  # what it does; the default is added behind it
    choices: tuple | None = None
    metavar: str | None = None
    nargs: str | None = None
    action: str | None = None  # "store_true" for a switch
    short: tuple = ()  # such as ("-e",)

    def add_to(self, group, owners=None):
        """Adds the flag to an argparse group. A flag that is not given is not in what is parsed.

        owners: {method or data set: Flag} of all that have it [everybody]. Raises UserError where one of them takes
        other values.
        """
        for owner, other in (owners or {}).items():
            if other._replace(default=self.default, help=self.help, metavar=self.metavar) != self:
                raise UserError(
                    f"--{self.name} of {owner} takes other values than that of {next(iter(owners))}; rename it"
                )
        default = "" if self.default is None or self.action else f" [{self.default}]"
        text = self.help + (f" ({', '.join(owners)})" if owners else "") + default
        how = {"default": argparse.SUPPRESS, "help": text.replace("%", "%%"), "dest": self.name}
        if self.action:
            how["action"] = self.action
        else:
            how |= {"type": self.type, "metavar": self.metavar, "choices": self.choices, "nargs": self.nargs}
        group.add_argument(*self.short, f"--{self.name}", **how)


class Parser(argparse.ArgumentParser):
    """Takes `-` and `_` in a flag for the same; says where help is."""

    def __init__(self, **how):
        how.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **how)

    def error(self, message):
        raise UserError(f"{message} (see `{command(self.prog)} --help`)")

    def parse_args(self, args=None, namespace=None):
        words = [self._as_declared(str(word)) for word in (sys.argv[1:] if args is None else args)]
        return super().parse_args(words, namespace)

    def _as_declared(self, word):
        """`--dry_run` and `--color-var` as `--dry-run` and `--color_var`."""
        flag, equals, value = word.partition("=")
        spelt = {known.replace("-", "_"): known for known in self._option_string_actions if known.startswith("--")}
        if flag.startswith("--"):
            flag = spelt.get(flag.replace("-", "_"), flag)
        return f"{flag}{equals}{value}"
