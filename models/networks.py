"""f, g and h by name: a whole network is cut into f and g, and h sits on f's features.

The parts' parameters keep the names that they have in the whole network: the two state dicts joined are its own.
"""

from collections import OrderedDict, namedtuple

import torch
from torch import nn

from common.errors import UserError
from common.flags import LAYERS, RESNETS
from models.bias_predictor import BINS, CHANNELS, BiasPredictor
from models.label_classifier import not_below_float32
from models.pooled_predictor import PaperPooledPredictor, PooledPredictor
from models.simple_conv import simple_conv_predictor
from models.whole import last_linear, paper, reason, replace, whole_network

COLOR_HEADS = (BINS,) * len(CHANNELS)  # of the paper's h: eight bins for each of three channels
LAST = "last"  # f is all but the last linear layer
CUTS = {"paper": ("conv2", LAST), "simple_conv": ("block2", LAST)} | dict.fromkeys(RESNETS, (*LAYERS, LAST))


Networks = namedtuple("Networks", "f g h")  # label logits (B, classes) are g(f(x)); bias logits are h(f(x))


def make_networks(network="paper", classes=10, heads=COLOR_HEADS, map_bias=True, split_at=None, init="random", size=64):
    """Builds f, g and h, in this order, on which the random weights of every earlier run rest.

    network, classes, init: as of models.whole.whole_network. heads: number of values of every bias. map_bias: whether
    bias labels belong to the positions of f's map, logits (B, heads, K, height, width), or to images, (B, heads, K, 1,
    1). split_at: the layer that f ends with, of CUTS [`default_cut`]. size: of images in pixels. Raises UserError.
    """
    heads, split_at = tuple(heads), split_at or default_cut(network, map_bias)
    cuts = [cut for cut in CUTS.get(network, (LAST,)) if not (map_bias and cut == LAST)]
    if split_at not in cuts:
        fitting = f"choose of {', '.join(cuts)}" if cuts else "positions have bias labels, and it has no map for them"
        raise UserError(f"--split_at {split_at} does not fit --network {network} here; {fitting}")
    if split_at == "conv2":
        if map_bias and heads != COLOR_HEADS:
            raise UserError("the paper's h on a map predicts three channels of eight bins; take another --network")
        return Networks(*paper(classes), BiasPredictor() if map_bias else PaperPooledPredictor(heads))
    net = whole_network(network, classes, init)
    f, g, channels = cut_last(net, network, classes, size) if split_at == LAST else cut_after(net, split_at)
    if split_at == "block2" and not map_bias:
        return Networks(f, g, simple_conv_predictor(heads))
    return Networks(f, g, PooledPredictor(channels, heads, pooled=not map_bias))


def default_cut(network, map_bias):
    if map_bias and network in RESNETS:
        return "layer2"
    return CUTS[network][0] if network == "simple_conv" or (network == "paper" and map_bias) else LAST


class LastLayer(nn.Module):
    """g: a network's last linear layer under its name there, from features (B, C, 1, 1) to logits (B, classes)."""

    def __init__(self, path, linear):
        super().__init__()
        self.path = path
        first, *rest = path.split(".")
        for name in reversed(rest):
            linear = nn.ModuleDict({name: linear})
        self.add_module(first, linear)

    def forward(self, features):
        return not_below_float32(self.get_submodule(self.path)(features.flatten(1)))


@torch.no_grad()
def cut_last(net, name, classes, size):
    """(f, g, channels): all but the last linear layer, which gives features (B, C, 1, 1), and that layer.

    Checks on two images of `size` pixels that g after f is the whole network. Raises UserError.
    """
    x, training = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)), net.training
    path, linear = last_linear(net)
    try:
        logits = net.eval()(x)
        replace(net, path, nn.Unflatten(1, (linear.in_features, 1, 1)))
        g = LastLayer(path, linear)
        fits, why = logits.shape == (2, classes) and torch.allclose(g(net(x)), logits.float(), rtol=1e-4, atol=1e-5), ""
    except Exception as error:  # of any network, on images that do not fit it, or with features for its logits
        fits, why = False, f" ({reason(error)})"
    if not fits:
        parts = (
            f"f, from images of {size} pixels to features (B, C), and g, an nn.Linear from these to {classes} logits"
        )
        raise UserError(f"--network {name} cannot be cut{why} into {parts}; give another size or network")
    return net.train(training), g, linear.in_features


class Rest(nn.Sequential):
    """g: all layers after the cut, from features, float (B, channels, h, w), to logits (B, classes)."""

    def forward(self, features):
        return not_below_float32(super().forward(features))


def cut_after(net, layer):
    """(f, g, channels) of SimpleConv or a ResNet: f is all up to and including `layer`.

    A ResNet's map is a 4th of the image's height and width after layer1, an 8th, 16th, 32nd after the others.
    """
    layers = [(name, part) for name, part in net.named_children() if name not in ("flatten", "fc")]
    last = [name for name, _ in layers].index(layer) + 1
    g = Rest(OrderedDict([*layers[last:], ("flatten", nn.Flatten()), ("fc", net.fc)]))
    f = nn.Sequential(OrderedDict(layers[:last]))
    return f, g, [part for part in f.modules() if isinstance(part, nn.BatchNorm2d)][-1].num_features
