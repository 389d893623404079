"""The choice of f, g and h by name."""

from typing import NamedTuple

from torch import nn

from common.errors import UserError
from models.bias_predictor import BINS, CHANNELS, BiasPredictor
from models.feature_extractor import FeatureExtractor
from models.label_classifier import LabelClassifier
from models.pooled_predictor import MapPredictor, PaperPooledPredictor, PooledPredictor, hidden_layer
from models.resnet import RESNETS, cut
from models.simple_conv import SimpleConvClassifier, SimpleConvFeatures, simple_conv_predictor

NETWORKS = ("paper", "simple_conv", *RESNETS)
COLOR_HEADS = (BINS,) * len(CHANNELS)  # of the paper's h: eight bins for each of three channels


class Networks(NamedTuple):
    """f and g, one after the other, give label logits (B, classes); h gives bias logits on f's features."""

    f: nn.Module
    g: nn.Module
    h: nn.Module


def make_networks(
    network, classes=10, heads=COLOR_HEADS, map_bias=True, split_at="layer2", init="random", bias_predictor="linear"
):
    """Builds the three, with random weights unless `init` says otherwise.

    network: of NETWORKS. classes: number of labels. heads: number of values of every bias.
    map_bias: whether bias labels belong to the positions of f's map, logits (B, heads, K, height, width), or to the
    image, logits (B, heads, K, 1, 1). split_at: layer after which a ResNet is cut. init: "random"; for ResNets also
    "imagenet", or the content of a file with weights of the whole network. bias_predictor: h of a ResNet,
    "linear", or "conv" with a hidden layer before that.
    """
    heads = tuple(heads)
    if network in RESNETS:
        f, g = cut(network, split_at, classes, None if isinstance(init, str) and init == "random" else init)
        body = hidden_layer(f.channels) if bias_predictor == "conv" else None
        return Networks(f, g, (MapPredictor if map_bias else PooledPredictor)(f.channels, heads, body))
    if not isinstance(init, str) or init != "random":
        raise UserError(f"--init is for ResNets; --network {network} begins with random weights")
    if network == "paper":
        return paper_networks(classes, heads, map_bias)
    if network == "simple_conv":
        f, g = SimpleConvFeatures(), SimpleConvClassifier(classes)
        return Networks(f, g, MapPredictor(f.channels, heads) if map_bias else simple_conv_predictor(heads))
    raise UserError(f"there is no network {network}; choose one of {', '.join(NETWORKS)}")


def paper_networks(classes, heads, map_bias):
    """The paper's. In the order f, g, h, on which the random weights of every earlier run rest."""
    f, g = FeatureExtractor(), LabelClassifier()
    if classes != g.fc.out_features:
        g.fc = nn.Linear(g.fc.in_features, classes)
    if not map_bias:
        return Networks(f, g, PaperPooledPredictor(heads))
    if heads != COLOR_HEADS:
        raise UserError("the paper's h on a map predicts three channels of eight bins; this data set has other biases")
    return Networks(f, g, BiasPredictor())
