"""Finding what is one file each: methods in methods/, data sets in dataset/."""

import importlib
import pkgutil
import sys

from common.errors import UserError


def classes_in(package, ending=""):
    """The classes that the modules of an imported package define, in the order of the modules' names.

    ending: of the names of the modules that are looked at; "": all. Raises UserError for one that cannot be loaded.
    """
    found = []
    names = (m.name for m in pkgutil.iter_modules(sys.modules[package].__path__))
    for module in sorted(name for name in names if name.endswith(ending)):
        try:
            content = vars(importlib.import_module(f"{package}.{module}"))
        except (SyntaxError, ImportError, NameError) as error:
            raise UserError(f"{package}/{module}.py cannot be loaded ({type(error).__name__}: {error})") from error
        found += [c for c in content.values() if isinstance(c, type) and c.__module__ == f"{package}.{module}"]
    return found


def by_owner(classes):
    """{flag's name: {name of each class that has it: Flag}} of classes with `name` and `flags`, in their order."""
    found = {}
    for owner in classes:
        for flag in owner.flags:
            found.setdefault(flag.name, {})[owner.name] = flag
    return found
