"""Flags: how they are declared and read, and what the value of one may be."""

import argparse
import difflib
import functools
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from common.commands import command
from common.errors import UserError

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


MEANT = {  # what people type who know other programs
    "--epochs": "--max_step", "--num_epochs": "--max_step", "--lambda": "--lambda_", "--sigma": "--color_var",
    "--var": "--color_var", "--variance": "--color_var", "--name": "--exp_name", "--output": "--save_dir",
    "--output_dir": "--save_dir", "--gpu": "--device", "--learning_rate": "--lr", "--bs": "--batch_size",
    "--weights": "--checkpoint", "--pretrained": "--checkpoint", "--data": "--data_dir", "--alpha_": "--alpha",
    "--wd": "--weight_decay", "--fp16": "--precision", "--amp": "--precision",
}  # fmt: skip


class Flag(NamedTuple):
    """One flag of a method, a data set or a network; `--NAME`, recorded as NAME.

    Two owners may share one, each with a default and a help of its own, where it takes the same values.
    """

    name: str
    type: Callable = str
    default: object = None
    help: str = ""  # what it does; the default is added behind it
    choices: tuple | None = None
    metavar: str | None = None
    nargs: str | None = None
    action: str | None = None  # "store_true" for a switch

    def add_to(self, group, owners):
        """Adds the flag to an argparse group. owners: {name: Flag} of all that have it. Unset it is None: see `option`.

        Raises UserError where one of them takes other values.
        """
        for owner, other in owners.items():
            if other._replace(default=self.default, help=self.help, metavar=self.metavar) != self:
                first = next(iter(owners))
                raise UserError(
                    f"--{self.name} of {owner} takes other values than that of {first}; give it another name"
                )
        defaults = {o: "none" if flag.default is None else flag.default for o, flag in owners.items()}
        alike = len(set(defaults.values())) == 1
        default = defaults[next(iter(owners))] if alike else ", ".join(f"{o} {v}" for o, v in defaults.items())
        shown = f"{self.help} ({', '.join(owners)}) [{default}]"
        if self.action:
            group.add_argument(f"--{self.name}", action=self.action, default=None, help=shown)
            return
        how = {"type": self.type, "default": None, "help": shown, "metavar": self.metavar}
        if self.choices:
            how["choices"] = self.choices
        if self.nargs:
            how["nargs"] = self.nargs
        group.add_argument(f"--{self.name}", **how)


class Parser(argparse.ArgumentParser):
    """Takes `-` and `_` in a flag for the same; says of a wrong one what may be meant, and where help is."""

    def __init__(self, **how):
        how.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **how)  # the scripts read the flags too, and know no abbreviations

    def error(self, message):
        raise UserError(f"{message} (see `{command(self.prog)} --help`)")

    def parse_args(self, args=None, namespace=None):
        """As argparse's; an unknown flag is named with the one that may be meant."""
        option, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(f"unknown: {unknown[0]}{self.meant(unknown[0])}")
        return option

    def parse_known_args(self, args=None, namespace=None):
        """As argparse's, `--dry_run` and `--color-var` taken as `--dry-run` and `--color_var`."""
        import sys

        given = sys.argv[1:] if args is None else list(args)
        spelt = {flag.replace("-", "_"): flag for flag in self._option_string_actions if flag.startswith("--")}

        def as_declared(word):
            flag, equals, value = str(word).partition("=")
            if flag.startswith("--") and flag not in self._option_string_actions:
                flag = spelt.get(flag.replace("-", "_"), flag)
                return f"{flag}{equals}{value}"
            return word

        words = [as_declared(word) for word in given]
        try:
            return super().parse_known_args(words, namespace)
        except UserError as error:
            mistyped = [
                w for w in words if w.startswith("--") and w.partition("=")[0] not in self._option_string_actions
            ]
            if "are required" in str(error) and mistyped:  # what is missing is what was mistyped
                self.error(f"unknown: {mistyped[0]}{self.meant(mistyped[0])}")
            raise

    def meant(self, word):
        """`; did you mean FLAG?` for a mistyped flag, or nothing."""
        flag = word.partition("=")[0]
        if not flag.startswith("-"):
            return ""
        known = [f for f in self._option_string_actions if f.startswith("--")]
        guess = MEANT.get(flag.replace("-", "_").replace("__", "--", 1))
        close = [guess] if guess in known else difflib.get_close_matches(flag.replace("-", "_"), known, 1, 0.6)
        close = close or difflib.get_close_matches(flag, known, 1, 0.6)
        return f"; did you mean {close[0]}?" if close else ""
