"""MNIST, read once for all tests of the data."""

import pytest

from dataset.mnist import load_mnist


@pytest.fixture(scope="session")
def mnist():
    return load_mnist()
