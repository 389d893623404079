"""A run's f and g as one network, with what turns a picture into its input, for programs that want nothing else."""

from functools import partial

import torch
from torch import nn

from common.errors import UserError
from dataset.batches import MEAN, STD
from dataset.pictures import middle_square, rgb
from models.checkpoint import load_weights, read_torch_file
from models.networks import make_networks

COLORED_MNIST = {"size": 28, "mean": MEAN, "std": STD}


class Classifier(nn.Sequential):
    """f and g: inputs, float (B, 3, size, size), to logits (B, classes), in eval mode.

    transform: makes the input of one image, float (3, size, size), of a PIL image. classes: names of the logits.
    """

    def __init__(self, f, g, inputs, classes, background):
        """inputs: {"size", "mean", "std"}, the latter of values in [0, 1]. background: behind transparent places."""
        from torchvision.transforms import Compose, v2  # slow to import; v2's Compose would become a layer

        super().__init__()
        self.add_module("f", f)
        self.add_module("g", g)
        square = partial(middle_square, size=inputs["size"], background=background)
        scaled = v2.ToDtype(torch.float32, scale=True)
        self.transform = Compose([square, v2.ToImage(), scaled, v2.Normalize(inputs["mean"], inputs["std"])])
        self.classes = list(classes)
        self.eval()


def classifier(path, network=None):
    """The network of a weights file, a run's final.pth or an official one, as a Classifier.

    network: FILE.py:FUNCTION, where the run's was one: no file alone says which code is run. Raises UserError.
    """
    content = read_torch_file(path)
    option, names = content.get("option") or {}, content.get("names") or {"classes": list("0123456789")}
    colored = option.get("dataset", "colored_mnist") == "colored_mnist"
    inputs = content.get("inputs") or (COLORED_MNIST if colored else None)
    if inputs is None:
        raise UserError(f"{path} does not say how its inputs are made, as it is old; train it anew")
    known = option.get("network") or "paper"
    if ":" in known and network is None:
        raise UserError(f"{path} is of the network {known}, code of its maker; give network={known!r} if you trust it")
    split_at = option.get("split_at") or ("conv2" if known == "paper" else None)
    f, g, _ = make_networks(network or known, len(names["classes"]), (2,), False, split_at, size=inputs["size"])
    load_weights(path, f, g, content)
    return Classifier(f, g, inputs, names["classes"], rgb(option.get("background") or "black"))
