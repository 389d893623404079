"""Data sets: Colored-MNIST (README.md in this folder is its data card), Biased-MNIST, images of one's own.

from dataset import ColoredMNIST, BiasedMNIST      # torch Datasets: dataset/torch_datasets.py
"""

import functools

import common.before_torch  # noqa: F401


@functools.cache
def data_sets():
    """{name: class} of every data set that train.py takes: the subclasses of `DataSet` in this folder's `*_set.py`."""
    from common.plugins import classes_in
    from dataset.base import DataSet  # late, so that `python -m dataset.colored_mnist` does not find itself imported

    found = [c for c in classes_in(__name__, "_set") if issubclass(c, DataSet) and c.name]
    return {c.name: c for c in sorted(found, key=lambda c: c.name != "colored_mnist")}


def __getattr__(name):
    """ColoredMNIST and BiasedMNIST; late, for the same reason."""
    if name not in ("ColoredMNIST", "BiasedMNIST"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dataset import torch_datasets

    return getattr(torch_datasets, name)
