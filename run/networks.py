"""f, g and h of a run: those that its options name, as wide as its data set asks."""

from models.checkpoint import read_torch_file
from models.networks import make_networks


def build(option, data, init=None):
    """(f, g, h) with random weights, or as --init says; `init` overrides it, such as "random" before others are loaded.

    data: a dataset.base.DataSet, for its classes, biases and inputs. Raises UserError.
    """
    init = init or getattr(option, "init", None) or "random"
    if init not in ("random", "imagenet"):
        init = read_torch_file(init)
    network, split_at = getattr(option, "network", None) or "paper", getattr(option, "split_at", None)
    return make_networks(network, len(data.classes), data.heads, data.map_bias, split_at, init, data.inputs()["size"])
