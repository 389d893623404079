"""h for bias labels that belong to the whole image, and h on the maps of networks other than the paper's.

A head is one bias, with a number of values. Logits of all heads stand in one tensor, so that the losses of the paper's
h fit unchanged: (B, heads, K, 1, 1) for labels of images, (B, heads, K, height, width) of positions; K is the largest
number of values.
"""

import torch
from torch import nn

from models.label_classifier import not_below_float32

SURPLUS = -1e4  # logit of a value that a head does not have: its probability is exactly 0, and p * log(p) is finite


class PooledPredictor(nn.Module):
    """h: the average over all positions - BatchNorm, as f may change its features' scale - a linear layer a head.

    num_values: of each head. valid: bool (heads, K), whether a head has a value.
    """

    def __init__(self, channels, values, body=None, pooled=True):
        """channels: of what `body`, a module before the average, gives. pooled: False for logits of every position."""
        super().__init__()
        self.num_values = tuple(values)
        counts = torch.tensor(self.num_values)
        self.register_buffer("valid", torch.arange(max(self.num_values)) < counts[:, None], persistent=False)
        self.uneven = len(set(self.num_values)) > 1
        self.body, self.pooled = body or nn.Identity(), pooled
        self.norm = nn.BatchNorm2d(channels)
        self.out = nn.Conv2d(channels, self.valid.numel(), 1)  # the linear layers, side by side

    def forward(self, features):
        """features: float (B, C, height, width). Returns logits (B, heads, K, 1, 1) or (B, heads, K, height, width)."""
        z = self.body(features)
        z = self.out(self.norm(z.mean(dim=(2, 3), keepdim=True) if self.pooled else z))
        logits = not_below_float32(z).contiguous().unflatten(1, self.valid.shape)
        return torch.where(self.valid[:, :, None, None], logits, SURPLUS) if self.uneven else logits

    def split_state_dict(self):
        """The state as a weights file keeps it (as BiasPredictor has it by channel): one part, copied."""
        return {"h": {name: value.clone() for name, value in self.state_dict().items()}}

    def load_split_state_dict(self, parts):
        self.load_state_dict(parts["h"])
