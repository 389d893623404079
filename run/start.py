"""The weights that a run starts from."""

import hashlib
import os
from pathlib import Path

from errors import UserError
from models.shipped import cell_name, weights_of


def starting_weights(option, method):
    """Path of the weights to start from, or None for random ones. method: the class of the method."""
    if not method.starts_trained(option):
        return None
    if option.checkpoint:
        return Path(option.checkpoint)
    if (
        option.dataset == "colored_mnist"
        and (shipped := weights_of(cell_name("baseline", option.color_var, 1))).exists()
    ):
        return shipped
    raise UserError(
        f"--method {option.method} starts from a trained baseline, and none is shipped for this data; say --pretrain "
        "100 to train one of 100 epochs first, give one with --checkpoint, or say --from_scratch"
    )


def pin_start(option, method):
    """Sets --checkpoint_sha256 to the SHA-256 of the weights to start from; raises UserError where it is another."""
    if not (start := starting_weights(option, method)):
        return
    if not start.is_file():
        shipped = weights_of(start.parent.name)
        hint = f": {os.path.relpath(shipped)} has those of {start.parent.name}" if shipped.exists() else ""
        raise UserError(f"{start} is not a file; give the weights to start from with --checkpoint{hint}")
    found = hashlib.sha256(start.read_bytes()).hexdigest()
    if option.checkpoint_sha256 not in (None, found):
        raise UserError(f"{start} is not the file of --checkpoint_sha256; put that one back, or give --checkpoint")
    option.checkpoint_sha256 = found
