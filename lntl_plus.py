"""LNTL+: learning not to learn, with labels that the bias does not tell. Not the paper's; a named setting of ours.

What LNTL fights is that the label loss rewards every feature of the bias. Here the label loss of image n is weighted
by 1 / p(y_n | b_n): under these weights the label is independent of the bias, wherever the two occur together at all,
and reading the bias gains nothing. f, g, h, both updates and the input stay as in LNTL.

p(y | b) is that of naive Bayes, from counts of the training images' bias labels: p(b | y) is the product over the
channels of p(bin | channel, y), which is all of the bias that h is asked for as well.
"""

import torch
from torch.nn import functional as F

from dataset.batches import IGNORED
from models.bias_predictor import BINS, CHANNELS
from trainer import LNTL

DIGITS = 10


def histograms(b):
    """Number of positions in each bin, float (B, 3, 8), of the bias labels b, int64 (B, 3, 14, 14)."""
    counts = torch.zeros(len(b), len(CHANNELS), BINS + 1, device=b.device)
    positions = b.where(b != IGNORED, BINS).flatten(2)
    return counts.scatter_add_(2, positions, torch.ones_like(positions, dtype=counts.dtype))[..., :BINS]


class LNTLPlus(LNTL):
    """LNTL whose label loss is weighted by 1 / p(y | b)."""

    def prepare(self, train):
        """Counts p(y) and p(bin | channel, y) over the training images, each image once, one added to every count."""
        counts = torch.ones(DIGITS, len(CHANNELS), BINS, device=self.device)
        digits = torch.zeros(DIGITS, device=self.device)
        for index in torch.arange(len(train), device=self.device).split(1024):
            _, y, b = train.batch(index)
            counts.index_add_(0, y, shares(b))
            digits += (y[:, None] == torch.arange(DIGITS, device=self.device)).sum(0)
        self.log_p_b = (counts / counts.sum(-1, keepdim=True)).log()  # (10, 3, 8)
        self.log_p_y = (digits / digits.sum()).log()  # (10,)

    def weights(self, y, b):
        """1 / p(y | b) of each image of a batch, float (B,), with mean 1."""
        # A sum of products and no einsum, which autocast would compute in bfloat16.
        log_p = self.log_p_y + (shares(b)[:, None] * self.log_p_b).sum(dim=(2, 3))
        log_p = F.log_softmax(log_p, dim=1).gather(1, y[:, None]).squeeze(1)
        return torch.softmax(-log_p, dim=0) * len(y)

    def label_loss(self, logits, y, b):
        return (F.cross_entropy(logits, y, reduction="none") * self.weights(y, b)).mean()


def shares(b):
    """The share of an image's labelled positions in each bin, float (B, 3, 8); zeros where it has none."""
    counts = histograms(b)
    return counts / counts.sum(-1, keepdim=True).clamp(min=1)
