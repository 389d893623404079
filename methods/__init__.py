"""The methods, a file each: every class in this folder that has a `name` is one, found by it."""

from common.errors import UserError
from common.plugins import classes_in
from methods.baseline import Baseline

METHODS = {}
for c in classes_in(__name__):
    if issubclass(c, Baseline) and "name" in vars(c):
        if c.name in METHODS:
            both = f"{METHODS[c.name].__module__} and {c.__module__}"
            raise UserError(f"{both} have a method called {c.name}; give one of them another name")
        METHODS[c.name] = c
