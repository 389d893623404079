"""Data sets, a file each: Colored-MNIST (README.md here is its data card), Biased-MNIST, images of one's own.

from dataset import ColoredMNIST, BiasedMNIST      # torch Datasets: dataset/torch_datasets.py
"""

import functools

import common.before_torch  # noqa: F401
from dataset.torch_datasets import BiasedMNIST, ColoredMNIST

__all__ = ["BiasedMNIST", "ColoredMNIST", "data_sets"]


@functools.cache
def data_sets():
    """{name: class} of every data set: the subclasses of `DataSet` with a `name` in this folder's files."""
    from common.plugins import classes_in  # late, so that `python -m dataset.images` does not find itself imported
    from dataset.base import DataSet

    found = [c for c in classes_in(__name__) if issubclass(c, DataSet) and c.name]
    return {c.name: c for c in sorted(found, key=lambda c: c.name != "colored_mnist")}
