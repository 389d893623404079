"""LNTL+: learning not to learn, and only what the bias does not tell. Not the paper's; a named setting of ours.

What LNTL fights is a label loss that rewards every feature of the bias. Here what the bias says of the label,
log p(y | b), is added to the logits of g before the softmax (a product of experts: Hinton 2002; Clark et al. 2019),
while training alone: g and f are left to learn what b does not tell. Where shape s and bias b are independent given y,

    p(y | s, b)  ~  p(s | y) p(y | b),

so that the logits of g become log p(s | y) up to a constant, whatever the bias is, and reading it gains nothing. f, g,
h, both updates and the input stay as in LNTL; h and the reversal remove what b is too coarse to tell.

Two digits whose colours never meet would never be told apart, as b always rules one of them out: p(y | b) is mixed with
a share of the uniform distribution (`--smoothing`). What that rewards of the bias again is left to h as well.

p(y | b) is that of naive Bayes, from counts of the training images' bias labels: p(b | y) is the product over the
channels of p(bin | channel, y), which is all of the bias that h is asked for as well.
"""

import math

import torch
from torch.nn import functional as F

from common import Flag, number
from dataset.batches import IGNORED
from methods.lntl import LNTL
from models.bias_predictor import BINS, CHANNELS

DIGITS = 10


def shares(b):
    """The share of an image's labelled positions in each bin, float (B, 3, 8); zeros where it has none.

    b: bias labels, int64 (B, 3, 14, 14), 0..7 or IGNORED.
    """
    counts = torch.zeros(len(b), len(CHANNELS), BINS + 1, device=b.device)
    positions = b.where(b != IGNORED, BINS).flatten(2)
    counts = counts.scatter_add_(2, positions, torch.ones_like(positions, dtype=counts.dtype))[..., :BINS]
    return counts / counts.sum(-1, keepdim=True).clamp(min=1)


class LNTLPlus(LNTL):
    """LNTL whose label loss adds log p(y | b) to the logits."""

    name = "lntl_plus"
    title = "LNTL+ (ours)"
    help = "lntl that learns only what the bias does not tell (ours)"
    flags = (
        *LNTL.flags,
        Flag("smoothing", number(float, 0, 1), 0.03, "share of the uniform distribution in what the bias tells"),
    )
    lr = 0.01
    from_baseline = False  # its loss hardly teaches the bias, so that there is little to unlearn
    schedule = {"cpu": (20, 8), "cuda": (20, 8)}  # noqa: RUF012  the official cuts, scaled
    averages = 0

    def prepare(self, train):
        """Counts p(y) and p(bin | channel, y) over the training images, each image once, one added to every count.

        The loss is scaled so that knowing the bias and nothing else costs log 10, as knowing nothing does elsewhere:
        beside the other terms it would else be the smaller, the more the bias tells.
        """
        counts = torch.ones(DIGITS, len(CHANNELS), BINS, device=self.device)
        digits = torch.ones(DIGITS, device=self.device)
        batches = torch.arange(len(train), device=self.device).split(1024)
        for index in batches:
            _, y, b = train.batch(index)
            counts.index_add_(0, y, shares(b))
            digits += (y[:, None] == torch.arange(DIGITS, device=self.device)).sum(0)
        self.log_p_b = (counts / counts.sum(-1, keepdim=True)).log()  # (10, 3, 8)
        self.log_p_y = (digits / digits.sum()).log()  # (10,)
        told = torch.zeros((), device=self.device)
        for index in batches:
            _, y, b = train.batch(index)
            told += F.nll_loss(self.log_prior(b), y, reduction="sum")
        self.scale = math.log(DIGITS) * len(train) / told

    def log_prior(self, b):
        """log of p(y | b), smoothed, of every digit, float (B, 10)."""
        # A sum of products and no einsum, which autocast would compute in bfloat16.
        p = torch.softmax(self.log_p_y + (shares(b)[:, None] * self.log_p_b).sum(dim=(2, 3)), dim=1)
        smoothing = self.option.smoothing
        return ((1 - smoothing) * p + smoothing / DIGITS).log()

    def label_loss(self, logits, y, b):
        return self.scale * F.cross_entropy(logits + self.log_prior(b), y)
