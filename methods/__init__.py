"""The methods, a file each: every class in this folder that has a `name` is one, found by it."""

import torch

from common import Flag
from common.errors import UserError
from common.plugins import classes_in
from methods.baseline import Baseline
from methods.lntl import LNTL

CLASSES = [c for c in classes_in(__name__) if issubclass(c, Baseline)]
METHODS = {}
for c in CLASSES:
    if "name" in vars(c):
        if c.name in METHODS:
            both = f"{METHODS[c.name].__module__} and {c.__module__}"
            raise UserError(f"{both} have a method called {c.name}; give one of them another name")
        METHODS[c.name] = c
DEVIATIONS = {c.deviation: c for c in CLASSES if "deviation" in vars(c)}  # of LNTL
DEVIATION = Flag(
    "deviation",
    choices=tuple(DEVIATIONS),
    help="one thing done otherwise on purpose, to measure it: docs/APPENDIX.md",
)


def owners():
    """{flag's name: {name of each method that has it: Flag}}, in the order in which the methods are found."""
    found = {}
    for method in METHODS.values():
        for flag in method.flags:
            found.setdefault(flag.name, {})[method.name] = flag
    return found | {DEVIATION.name: {LNTL.name: DEVIATION}}


def method_class(option):
    """The class of the method that the options name, or of its deviation if they have one."""
    return DEVIATIONS.get(getattr(option, "deviation", None), METHODS[option.method])


def make_method(option, device="cpu", dtype=torch.float32, networks=None):
    """The method that the options name, with its deviation if they have one. networks: as of `Baseline`."""
    return method_class(option)(option, device, dtype, networks)
