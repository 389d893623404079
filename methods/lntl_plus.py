"""LNTL+: learning not to learn, and only what the bias does not tell. Not the paper's; a named setting of ours.

What LNTL fights is a label loss that rewards every feature of the bias. Here what the bias says of the label,
log p(y | b), is added to the logits of g before the softmax, while training alone: g and f are left to learn what b
does not tell. Where shape s and bias b are independent given y,

    p(y | s, b)  ~  p(s | y) p(y | b),

so that the logits of g become log p(s | y) up to a constant, whatever the bias is, and reading it gains nothing. f, g,
h, both updates and the input stay as in LNTL; h and the reversal remove what p(y | b) leaves.

The label loss is BiasBal's (Hong and Yang, NeurIPS 2021), and before it a product of experts of which one knows the
bias (Clark et al. 2019). Ours is what stands around it: p(y | b) from the labels that h is trained on anyway, or from
the colour itself; a share of the uniform distribution (`--smoothing`), as two digits whose colours never meet would
never be told apart; the scale below; and LNTL's two updates. docs/LNTL_PLUS.md has the history and the figures.
"""

import math

import torch
from torch.nn import functional as F

from common import Flag, number
from common.errors import UserError
from methods.baseline import Baseline
from methods.bias_prior import count_bias, every_batch
from methods.lntl import LNTL
from models.networks import last_linear

WIDTH = 6


class LNTLPlus(LNTL):
    """LNTL whose label loss adds log p(y | b) to the logits."""

    name = "lntl_plus"
    title = "LNTL+ (ours)"
    help = "lntl that learns only what the bias does not tell (ours)"
    flags = (
        *LNTL.flags,
        Flag("smoothing", number(float, 0, 1), 0.03, "share of the uniform distribution in what the bias tells"),
        Flag("prior", default="bins", choices=("bins", "colour", "drawn"),
             help="what p(y given b) is counted from: the bias labels of h, the colour itself (Colored-MNIST), or the "
             "bias labels as they are drawn (--sampling), where they belong to images"),
        Flag("prior_width", number(float, 0.1, 256), WIDTH, "of --prior colour: the Gaussian's width in grey levels"),
    )  # fmt: skip
    defaults = {"lr": 0.01}  # noqa: RUF012
    contradicted = True  # whether some training images contradict the bias; else it explains all of the labels
    from_baseline = False  # its loss hardly teaches the bias, so that there is little to unlearn

    def __init__(self, option, *arguments, **how):
        self.has_h = option.prior != "drawn" or bool(option.lambda_ or option.mu)
        if not self.has_h:  # nothing of h acts on f, so that it is left out
            self.trains_h, self.metrics = False, Baseline.metrics
        super().__init__(option, *arguments, **how)

    def update(self, x, y, b):
        return super().update(x, y, b) if self.has_h else Baseline.update(self, x, y, b)

    @classmethod
    def check(cls, option):
        if option.prior != "colour" and option.prior_width != WIDTH:
            raise UserError("--prior_width is of --prior colour; give that too, or leave it out")

    def prepare(self, train, weights=None):
        """Counts what the bias tells, over the training images, each once.

        The loss is scaled so that knowing the bias and nothing else costs log(number of classes), as knowing nothing
        does elsewhere: beside the other terms it would else be the smaller, the more the bias tells.
        """
        self.classes = last_linear(self.g)[1].out_features
        values = self.h.num_values
        width = self.option.prior_width if self.option.prior == "colour" else None
        self.scale = 1.0
        if self.option.prior == "drawn":
            self.prior = count_bias(train, self.classes, values, weights=weights)
            self.contradicted = getattr(self.prior, "contradicted", True)
            return
        self.prior = count_bias(train, self.classes, values, width)
        told = torch.zeros((), device=self.device)
        for x, y, b in every_batch(train):
            told += F.nll_loss(self.log_prior(x, b), y, reduction="sum")
        self.scale = math.log(self.classes) * len(train) / told

    def log_prior(self, x, b):
        """log of p(y | b), smoothed, of every class, float (B, classes)."""
        smoothing = self.option.smoothing
        return ((1 - smoothing) * self.prior.p(x, b) + smoothing / self.classes).log()

    def label_loss(self, logits, x, y, b):
        if not self.contradicted:
            return F.cross_entropy(logits, y)
        return self.scale * F.cross_entropy(logits + self.log_prior(x, b), y)
