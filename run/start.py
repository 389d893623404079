"""What a run starts from: its weights and its data, each known by its SHA-256."""

import os
from pathlib import Path

from common.errors import UserError, one_line
from models.shipped import cell_name, sha256_of, weights_of, weights_with


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


def remarks(option, before):
    """What is to be said of weights to start from, sentences. before: the options that are in their file, or None."""
    if not isinstance(before, dict):
        if option.holdout:
            yield (
                "nothing tells which images the weights that this run starts from were trained on; if the held-out "
                "ones were among them, these tell nothing"
            )
        return
    if option.dataset != before.get("dataset", "colored_mnist"):
        return
    mine, theirs = getattr(option, "data_dir", None), before.get("data_dir")
    same_draw = (mine and theirs) or (not (mine or theirs) and option.data_seed == before.get("data_seed"))
    if option.holdout and not (before.get("holdout") == option.holdout and same_draw):
        yield (
            "the weights that this run starts from were trained on held-out images too, so these tell nothing; with "
            "--pretrain N the start is trained without them"
        )
    elif mine and not theirs:
        yield (
            "the weights that this run starts from saw colours that were drawn here, not those of --data_dir; "
            "--pretrain N trains a start on these, --checkpoint takes one"
        )
    elif theirs and not mine:
        yield f"the weights that this run starts from saw the colours of the files in {one_line(theirs)}"
    elif not same_draw:
        yield f"the weights that this run starts from saw the colours of --data_seed {before.get('data_seed')}"


def pin_start(option, method):
    """Sets --checkpoint_sha256 to the SHA-256 of the weights to start from; raises UserError where it is another.

    Recorded weights that are not where they were are taken from those that are shipped, if they are among them.
    """
    if not (start := starting_weights(option, method)):
        return
    found = sha256_of(start) if start.is_file() else None
    if found is None or option.checkpoint_sha256 not in (None, found):
        shipped = weights_with(option.checkpoint_sha256) if option.checkpoint_sha256 else None
        if shipped is None:
            raise UserError(missing(start) if found is None else other(start))
        print(f"note: {start} {'is not here' if found is None else 'is another file now'}; its weights are {shipped}")
        option.checkpoint, found = os.path.relpath(shipped), sha256_of(shipped)
    option.checkpoint_sha256 = found


def pin_init(option):
    """Sets --init_sha256 to the SHA-256 of the file that --init names, if any; raises UserError where it is another."""
    init = getattr(option, "init", None)
    if init in (None, "random", "imagenet") or not Path(init).is_file():
        return
    found = sha256_of(init)
    if option.init_sha256 not in (None, found):
        raise UserError(f"{init} is not the file of --init_sha256; put that one back, or give --init")
    option.init_sha256 = found


def missing(start):
    """What is said of weights to start from that are no file."""
    shipped = weights_of(start.parent.name)
    hint = f": {os.path.relpath(shipped)} has those of {start.parent.name}" if shipped.exists() else ""
    return f"{start} is not a file; give the weights to start from with --checkpoint{hint}"


def other(start):
    """What is said of weights to start from that are others than recorded."""
    return f"{start} is not the file of --checkpoint_sha256; put that one back, or give --checkpoint"


def pin_data(option, data, path):
    """Sets --data_sha256 to the fingerprint of the loaded data; raises UserError where it is another.

    path: of the run's folder, for the message.
    """
    if option.dry_run:  # a few images
        return
    found = data.fingerprint()
    if option.data_sha256 not in (None, found):
        where = f"the data in {option.data_dir}" if getattr(option, "data_dir", None) else "the data that is built here"
        raise UserError(
            f"{where} is other data than {path} was begun with (SHA-256 {found[:12]}..., recorded "
            f"{option.data_sha256[:12]}...); put that back or give its --data_dir, or begin anew with another -e"
        )
    option.data_sha256 = found
