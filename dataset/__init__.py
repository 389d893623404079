"""Data sets, a file each: Colored-MNIST (README.md here is its data card), Biased-MNIST, images of one's own.

from dataset import ColoredMNIST, BiasedMNIST      # torch Datasets: dataset/torch_datasets.py
"""

import functools

import common.before_torch  # noqa: F401


@functools.cache
def data_sets():
    """{name: class} of every data set: the subclasses of `DataSet` with a `name` in this folder's files."""
    from common.plugins import classes_in  # late, so that `python -m dataset.images` does not find itself imported
    from dataset.base import DataSet

    found = [c for c in classes_in(__name__) if issubclass(c, DataSet) and c.name]
    return {c.name: c for c in sorted(found, key=lambda c: c.name != "colored_mnist")}


def __getattr__(name):
    """ColoredMNIST and BiasedMNIST; late, for the same reason."""
    if name not in ("ColoredMNIST", "BiasedMNIST"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dataset import torch_datasets

    return getattr(torch_datasets, name)
