"""h for bias labels that belong to the whole image, and h on the maps of any network: logits by head.

A head is one bias (say, the place and the weather of a photograph); it has a number of values. Logits of all heads
stand in one tensor, so that the losses of the paper's h fit unchanged: (B, heads, K, 1, 1) for labels of images, and
(B, heads, K, height, width) for labels of positions. K is the largest number of values.
"""

import torch
from torch import nn
from torch.nn import functional as F

from models.label_classifier import not_below_float32

SURPLUS = -1e4  # logit of a value that a head does not have: its probability is exactly 0, and p * log(p) is finite


class Heads(nn.Module):
    """What every h here has in common.

    num_values: the number of values of each head. valid: bool (heads, K), whether a head has a value.
    """

    def __init__(self, values):
        super().__init__()
        self.num_values = tuple(values)
        counts = torch.tensor(self.num_values)
        self.register_buffer("valid", torch.arange(max(self.num_values)) < counts[:, None], persistent=False)
        self.uneven = len(set(self.num_values)) > 1

    @property
    def outputs(self):
        """Number of logits of all heads together, heads * K."""
        return self.valid.numel()

    def by_head(self, logits):
        """float (B, heads * K, height, width) to (B, heads, K, height, width), not below float32, surplus filled."""
        logits = not_below_float32(logits).contiguous().unflatten(1, self.valid.shape)
        return torch.where(self.valid[:, :, None, None], logits, SURPLUS) if self.uneven else logits

    def split_state_dict(self):
        """The state as a weights file keeps it (as BiasPredictor has it by channel): one part, copied."""
        return {"h": {name: value.clone() for name, value in self.state_dict().items()}}

    def load_split_state_dict(self, parts):
        """Loads what `split_state_dict` returned."""
        self.load_state_dict(parts["h"])


class PooledPredictor(Heads):
    """h: layers of its own if it has any, the average over all positions, and one linear layer for each head."""

    def __init__(self, in_channels, values, body=None):
        """in_channels: of the features, or of what `body`, a module, makes of them. values: numbers of values."""
        super().__init__(values)
        self.body = nn.Identity() if body is None else body
        self.out = nn.Conv2d(in_channels, self.outputs, 1)  # the linear layers of all heads, side by side

    def forward(self, features):
        """features: float (B, C, height, width). Returns logits (B, heads, K, 1, 1), not below float32."""
        return self.by_head(self.out(self.body(features).mean(dim=(2, 3), keepdim=True)))


class PaperPooledPredictor(Heads):
    """h: the paper's predictor of one channel (models/bias_predictor.py) for each head, averaged over all positions.

    conv 3x3, 32 to 32 - BatchNorm - ReLU - conv 3x3, 32 to K - average of the logits.
    """

    def __init__(self, values):
        super().__init__(values)
        heads = len(self.num_values)
        self.conv1 = nn.Conv2d(32, 32 * heads, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(32 * heads)
        self.conv2 = nn.Conv2d(32 * heads, self.outputs, 3, padding=1, groups=heads)

    def forward(self, features):
        """features: float (B, 32, height, width). Returns logits (B, heads, K, 1, 1), not below float32."""
        z = self.conv2(F.relu_(self.bn1(self.conv1(features))))
        return self.by_head(z.mean(dim=(2, 3), keepdim=True))


class MapPredictor(Heads):
    """h: layers of its own if it has any, and one linear layer for each head at every position."""

    def __init__(self, in_channels, values, body=None):
        """As of `PooledPredictor`."""
        super().__init__(values)
        self.body = nn.Identity() if body is None else body
        self.out = nn.Conv2d(in_channels, self.outputs, 1)

    def forward(self, features):
        """features: float (B, C, height, width). Returns logits (B, heads, K, height, width), not below float32."""
        return self.by_head(self.out(self.body(features)))


def hidden_layer(channels):
    """conv 3x3 - BatchNorm - ReLU on as many channels, as the paper's h begins. The features' scale does not matter."""
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())
