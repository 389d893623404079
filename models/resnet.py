"""f and g from one of torchvision's ResNets, cut in two after a named layer.

The parts' parameters keep torchvision's own names (conv1, bn1, layer1 to layer4, fc): joined, the two state dicts are
one of torchvision's, which loads into the uncut network, and the other way round.
"""

from collections import OrderedDict

from torch import nn

from common.errors import UserError
from common.flags import LAYERS, RESNETS
from models.label_classifier import not_below_float32
from models.layouts import find_net

STEM = ("conv1", "bn1", "relu", "maxpool")


class ResNetFeatures(nn.Sequential):
    """f: from the images up to and including the named layer."""

    def __init__(self, parts, channels):
        """parts: {name: module}. channels: of the features."""
        super().__init__(OrderedDict(parts))
        self.channels = channels

    def forward(self, x):
        """x: normalised images, float (B, 3, H, W). Returns features, float (B, channels, h, w), >= 0.

        The map is a 4th of the image's height and width after layer1, an 8th, 16th, 32nd after the others, rounded up.
        """
        return super().forward(x)


class ResNetClassifier(nn.Sequential):
    """g: the layers after the cut, the average over all positions, and a new linear layer."""

    def __init__(self, parts):
        """parts: {name: module}, `fc` the last."""
        super().__init__(OrderedDict(parts))

    def forward(self, features):
        """features: float (B, channels, h, w). Returns logits (B, classes), not below float32."""
        return not_below_float32(super().forward(features))


def cut(name, split_at, classes, weights=None):
    """(f, g) of the ResNet `name`, cut after the layer `split_at`, with a last layer for `classes` classes.

    weights: None (random, as torchvision draws them), "imagenet" (downloaded by torchvision, or from its cache), or the
    content of a file that has weights of the whole network somewhere (models.layouts). `fc` is new unless it has one
    for as many classes.
    Raises UserError where the weights cannot be had or do not fit.
    """
    from torchvision import models  # slow to import, needed here only

    if name not in RESNETS:
        raise UserError(f"there is no network {name}; choose one of {', '.join(RESNETS)}")
    if split_at not in LAYERS:
        raise UserError(f"--split_at {split_at} is not a layer of a ResNet; choose one of {', '.join(LAYERS)}")
    net = models.get_model(name, weights=None, num_classes=classes)
    if weights is not None:
        load(net, name, imagenet_weights(name) if weights == "imagenet" else weights)

    last = LAYERS.index(split_at) + 1
    channels = getattr(net, split_at)[-1].conv1.in_channels  # the last block of a layer keeps the number of channels
    parts = dict(net.named_children())
    features = {k: parts[k] for k in (*STEM, *LAYERS[:last])}
    rest = {k: parts[k] for k in (*LAYERS[last:], "avgpool")} | {"flatten": nn.Flatten(), "fc": net.fc}
    return ResNetFeatures(features, channels), ResNetClassifier(rest)


def imagenet_weights(name):
    """torchvision's state dict of `name`, trained on ImageNet (its first version, that of the published tables)."""
    from torchvision import models

    weights = models.get_model_weights(name)
    weights = getattr(weights, "IMAGENET1K_V1", weights.DEFAULT)
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # of many kinds: no network, a connection cut off, a full disk, a damaged file
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(
            f"the ImageNet weights of {name} cannot be had ({reason}); fetch {weights.url} on another machine and "
            "give --init FILE, or take --init random"
        ) from None


def load(net, name, content):
    """Loads the weights in the content of a file into the uncut network `net`; see `cut`. Raises UserError."""
    own = net.state_dict()
    body = {k: v for k, v in own.items() if not k.startswith("fc.")}
    try:
        state = find_net("its file", content, body, beside=("fc.weight", "fc.bias"))
    except UserError as error:
        reason = str(error).partition(";")[0].replace("f and g", name)
        raise UserError(f"--init: the weights given do not fit {name} ({reason}); give others, or random") from None
    net.load_state_dict(own | {k: v for k, v in state.items() if k in own and v.shape == own[k].shape})
