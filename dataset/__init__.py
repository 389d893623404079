"""Data sets: Colored-MNIST (README.md in this folder is its data card), its mistakes, released files, MNIST itself."""

import functools

import common.before_torch  # noqa: F401


@functools.cache
def data_sets():
    """{name: class} of every data set that train.py takes: the subclasses of `DataSet` in the files of this folder."""
    from dataset.base import DataSet  # late, so that `python -m dataset.colored_mnist` does not find itself imported
    from files import classes_in

    found = [c for c in classes_in(__name__) if issubclass(c, DataSet) and c.name]
    return {c.name: c for c in sorted(found, key=lambda c: c.name != "colored_mnist")}
