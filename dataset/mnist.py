"""MNIST from the four original files that are part of this repository, checked and read by torchvision."""

import gzip
import hashlib
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import UserError

RAW = Path(__file__).parent / "MNIST" / "raw"


class Mnist(NamedTuple):
    """The raw data: images uint8 (N, 28, 28), labels int64 (N,) in 0..9; N is 60,000 and 10,000."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load_mnist(raw=RAW):
    """Reads MNIST in its original order from the gz files in the folder `raw`.

    Raises UserError where a file is missing, or its MD5 sum is not the one that torchvision lists.
    """
    from torchvision.datasets import MNIST  # slow to import, needed here only

    with tempfile.TemporaryDirectory() as root:  # not beside them: a checkout may be read-only
        unpacked = Path(root, "MNIST", "raw")
        unpacked.mkdir(parents=True)
        for name, md5 in MNIST.resources:
            packed = Path(raw, name)
            if not packed.is_file() or hashlib.md5(packed.read_bytes()).hexdigest() != md5:
                raise UserError(f"MNIST file {packed} is missing or damaged; restore it with `git checkout`")
            (unpacked / name.removesuffix(".gz")).write_bytes(gzip.decompress(packed.read_bytes()))
        train, test = (MNIST(root, train=is_train) for is_train in (True, False))
    return Mnist(train.data.numpy(), train.targets.numpy(), test.data.numpy(), test.targets.numpy())
