"""The parser of every command, and the declaration of a flag that belongs to a method, a data set or a network."""

import argparse
import difflib
from collections.abc import Callable
from typing import NamedTuple

from common.commands import command
from errors import UserError

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
