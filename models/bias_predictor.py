"""h: the bias predictor, from features to the colour of every position, channel by channel."""

import torch
from torch import nn
from torch.nn import functional as F

from models.label_classifier import not_below_float32

CHANNELS = ("r", "g", "b")
BINS = 8  # an 8-bit channel value // 32


class BiasPredictor(nn.Module):
    """h: three predictors of the same form, one for each colour channel, computed as one.

    Each is conv 3x3, 32 to 32 - BatchNorm - ReLU - conv 3x3, 32 to 8. Side by side they are a convolution 32 to 96,
    a BatchNorm of 96 and a convolution 96 to 24 in three groups: the same arithmetic in one pass over the features.
    Initialised as PyTorch does by default, which draws the same distributions as for three separate ones.
    """

    num_values = (BINS,) * len(CHANNELS)  # of each head

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(32, 32 * len(CHANNELS), 3, padding=1)
        self.bn1 = nn.BatchNorm2d(32 * len(CHANNELS))
        self.conv2 = nn.Conv2d(32 * len(CHANNELS), BINS * len(CHANNELS), 3, padding=1, groups=len(CHANNELS))

    def forward(self, features):
        """features: float (B, 32, 14, 14). Returns logits (B, 3, 8, 14, 14): channel, bin, position; not below float32.

        Contiguous: on a CPU a softmax over bins that lie far apart in memory takes a tenth of the time.
        """
        logits = self.conv2(F.relu_(self.bn1(self.conv1(features))))
        return not_below_float32(logits).contiguous().unflatten(1, (len(CHANNELS), BINS))

    def split_state_dict(self):
        """The state of the three predictors one by one, {"r": ..., "g": ..., "b": ...}, with the official names."""
        return {
            channel: {
                f"pred_{name}": (value.chunk(len(CHANNELS))[i] if value.dim() else value).clone()
                for name, value in self.state_dict().items()
            }
            for i, channel in enumerate(CHANNELS)
        }

    def load_split_state_dict(self, parts):
        """Loads what `split_state_dict` returned."""
        joined = {}
        for name, value in self.state_dict().items():
            values = [parts[channel][f"pred_{name}"] for channel in CHANNELS]
            joined[name] = torch.cat(values) if value.dim() else values[0]
        self.load_state_dict(joined)
