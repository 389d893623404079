"""A run's f and g as one network, with what turns a picture into its input, for programs that want nothing else."""

from collections import OrderedDict
from functools import partial

import torch
from torch import nn

from common.errors import UserError
from dataset.batches import MEAN, STD
from dataset.pictures import middle_square, rgb
from models.checkpoint import load_weights, read_torch_file
from models.networks import make_networks


def classifier(path, network=None):
    """The network of a weights file, a run's final.pth or an official one, in eval mode: an nn.Sequential of f and g.

    From inputs, float (B, 3, size, size), to logits (B, classes). Its `transform` makes the input of one image, float
    (3, size, size), of a PIL image; its `classes` are the names of the logits. network: FILE.py:FUNCTION, where the
    run's was one: no file alone says which code is run. Raises UserError.
    """
    from torchvision.transforms import Compose, v2  # slow to import; v2's Compose would become a layer

    content = read_torch_file(path)
    option, names = content.get("option") or {}, content.get("names") or {"classes": list("0123456789")}
    colored = option.get("dataset", "colored_mnist") == "colored_mnist"  # shipped and official files have no inputs
    inputs = {"size": 28, "mean": MEAN, "std": STD} if colored else content["inputs"]
    known = option.get("network") or "paper"
    if ":" in known and network is None:
        raise UserError(f"{path} is of the network {known}, code of its maker; give network={known!r} if you trust it")
    split_at = option.get("split_at") or ("conv2" if known == "paper" else None)
    f, g, _ = make_networks(network or known, len(names["classes"]), (2,), False, split_at, size=inputs["size"])
    load_weights(path, f, g, content)
    net = nn.Sequential(OrderedDict(f=f, g=g)).eval()
    square = partial(middle_square, size=inputs["size"], background=rgb(option.get("background") or "black"))
    scaled = v2.ToDtype(torch.float32, scale=True)
    net.transform = Compose([square, v2.ToImage(), scaled, v2.Normalize(inputs["mean"], inputs["std"])])
    net.classes = list(names["classes"])
    return net
