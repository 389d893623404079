"""What the bias b of an image tells of its label y: p(y | b) of every class, counted in the training data. For LNTL+.

Three of one form: `Counted(train, classes, ...)` counts, `p(x, b)` is asked batch after batch. None of them waits for
the device, so that the question can be part of a CUDA graph.
"""

import math

import torch
from torch.nn import functional as F

from common.errors import UserError
from dataset.batches import IGNORE_INDEX, MEAN, STD, FactoredData
from models.bias_predictor import BINS, CHANNELS

LEVELS = 256  # values of a channel, BINS bins of 32


def every_batch(train):
    """(x, y, b) of all images, each once; all at once and x None where bias labels belong to images."""
    if train.image_bias is not None:
        yield None, train.label, train.image_bias[:, :, None, None]
        return
    index = torch.arange(len(train), device=train.label.device).split(1024)
    for handle in train.stream(index):
        yield train.batch(handle)


def shares(b, values=BINS):
    """The share of an image's labelled positions in each bin, float (B, heads, values); zeros where it has none.

    b: bias labels, int64 (B, heads, H, W), 0..values-1 or IGNORE_INDEX.
    """
    counts = torch.zeros(*b.shape[:2], values + 1, device=b.device)
    positions = b.where(b != IGNORE_INDEX, values).flatten(2)
    counts = counts.scatter_add_(2, positions, torch.ones_like(positions, dtype=counts.dtype))[..., :values]
    return counts / counts.sum(-1, keepdim=True).clamp(min=1)


class Bins:
    """Naive Bayes: p(b | y) is the product over the heads of p(value | head, y), all of the bias that h is asked for.

    One is added to every count. A head that an image has no label of says nothing. For labels of positions: every value
    counts by its share of the labelled ones.
    """

    def __init__(self, train, classes, values):
        """train: a part. classes: number of labels. values: number of values of each head."""
        device = train.label.device
        self.values = max(values)
        counts = torch.ones(classes, len(values), self.values, device=device)
        labels = torch.ones(classes, device=device)
        for _, y, b in every_batch(train):
            counts.index_add_(0, y, shares(b, self.values))
            labels += F.one_hot(y, classes).sum(0)
        self.log_p_b = (counts / counts.sum(-1, keepdim=True)).log()  # (classes, heads, values)
        self.log_p_y = (labels / labels.sum()).log()  # (classes,)

    def p(self, x, b):
        """float (B, classes). x is not looked at."""
        # A sum of products and no einsum, which autocast would compute in bfloat16.
        told = (shares(b, self.values)[:, None] * self.log_p_b).sum(dim=(2, 3))
        return torch.softmax(self.log_p_y + told, dim=1)


class Joint:
    """Counts of every combination of label and biases, for labels of images; one is added to every count.

    A missing bias is a value of its own. It knows what the biases tell together, where naive Bayes does not.
    """

    def __init__(self, train, classes, values, weights=None):
        """As `Bins`. weights: with which the images are drawn, float (N,); the counts are those of N draws."""
        device = train.label.device
        self.missing = torch.tensor(values, device=device)
        strides = [math.prod(v + 1 for v in values[i + 1 :]) for i in range(len(values))]
        self.strides = torch.tensor(strides, device=device)
        counts = torch.ones(math.prod(v + 1 for v in values), classes, device=device)
        each = torch.ones(len(train)) if weights is None else weights * len(train) / weights.sum()
        each = each.to(counts)
        counts.index_put_((self.cell(train.image_bias), train.label), each, accumulate=True)
        self.table = counts / counts.sum(1, keepdim=True)
        self.contradicted = bool(((counts > 1).sum(1) > 1).any())  # whether some biases occur with two labels

    def cell(self, b):
        """The row of the table that biases int64 (B, heads) belong to, int64 (B,)."""
        return (b.where(b != IGNORE_INDEX, self.missing) * self.strides).sum(1)

    def p(self, x, b):
        """float (B, classes). x is not looked at."""
        return self.table[self.cell(b.flatten(1))]


class Colour:
    """Naive Bayes over the channels, of the image's colour itself instead of its bins.

    Of each digit and channel the 256 values are counted, and smoothed by a Gaussian. Added to every count is what
    `Bins` adds to a bin of 32 values, spread over them.
    """

    def __init__(self, train, classes, width):
        """width: standard deviation of the Gaussian in grey levels. Raises UserError where x is not ColoredMasks."""
        if not isinstance(train, FactoredData) or train.image_bias is not None:
            raise UserError("--prior colour needs images of one colour each on black; give --prior bins")
        device, dtype = train.label.device, train.palette.dtype
        self.mean, self.std = (torch.tensor(v, dtype=dtype, device=device) for v in (MEAN, STD))
        self.channel = torch.arange(len(CHANNELS), device=device)
        counts = torch.zeros(classes, len(CHANNELS), LEVELS, device=device)
        labels = torch.ones(classes, device=device)
        for x, y, _ in every_batch(train):
            one_hot = F.one_hot(self.values(x), LEVELS).to(counts.dtype)
            counts.index_add_(0, y, one_hot)
            labels += F.one_hot(y, classes).sum(0)
        level = torch.arange(LEVELS, device=device)
        spread = torch.exp(-0.5 * ((level[:, None] - level) / width) ** 2)  # (from, to)
        counts = counts @ (spread / spread.sum(1, keepdim=True)) + BINS / LEVELS  # nothing is lost at the ends
        self.log_p_c = (counts / counts.sum(-1, keepdim=True)).log()  # (classes, 3, 256)
        self.log_p_y = (labels / labels.sum()).log()

    def values(self, x):
        """The colours 0..255 of a batch, int64 (B, 3), exactly: the normalisation undone."""
        return ((x.foreground * self.std + self.mean) * 255).round().long()

    def p(self, x, b):
        """float (B, classes). b is not looked at."""
        told = self.log_p_c[:, self.channel, self.values(x)].sum(2).T  # (classes, B, 3) to (B, classes)
        return torch.softmax(self.log_p_y + told, dim=1)


def count_bias(train, classes, values, width=None, weights=None):
    """What fits: the colour itself with a width; else joint counts of labels of images, naive Bayes of positions."""
    if width is not None:
        return Colour(train, classes, width)
    return Bins(train, classes, values) if train.image_bias is None else Joint(train, classes, values, weights)
