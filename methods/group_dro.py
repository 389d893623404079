"""Group DRO: Sagawa, Koh, Hashimoto and Liang, "Distributionally Robust Neural Networks for Group Shifts" (ICLR 2020).

Their algorithm 1: every group of label and bias has a weight q. In each batch the weight grows by exp(eta * the group's
mean loss), the weights are scaled to sum to 1, and the loss is the sum of q times the groups' mean losses. Groups that
the batch lacks keep their share. Draws are balanced, as theirs are: a rare group is else missing from most batches.
"""

import torch
from torch.nn import functional as F

from common import Flag, number
from common.errors import UserError
from methods.baseline import Baseline, label_accuracy


def group_index(y, b, values):
    """The group (label, all biases) of every image, int64 (B,), 0..classes * prod(v + 1) - 1.

    y: int64 (B,). b: int64 (B, heads); a missing bias, IGNORE_INDEX, is a value of its own, the last. values: number of
    values of every head.
    """
    index = y
    for head, count in enumerate(values):
        index = index * (count + 1) + b[:, head].clamp(max=count)
    return index


class GroupDRO(Baseline):
    """The worst group counts most."""

    name = "group_dro"
    title = "Group DRO"
    help = "the worst group of label and bias counts most (Sagawa et al. 2020)"
    flags = (Flag("eta", number(float, 0, 10), 0.01, "η, step of the groups' weights; 0.001 to 0.1"),)
    always = {"sampling": "balanced"}  # noqa: RUF012
    metrics = ("cls_loss", "accuracy", "worst_group_loss")

    def prepare(self, train, weights=None):
        """The groups that have training images begin with equal weights. Raises UserError without such labels."""
        if train.image_bias is None:
            raise UserError("group_dro needs bias labels that belong to images; this data set's belong to positions")
        self.values = self.h.num_values
        group = group_index(train.label, train.image_bias, self.values)
        self.weights = torch.bincount(group).clamp(max=1).to(torch.float32)
        self.weights /= self.weights.sum()

    def state(self):
        return {"weights": self.weights}

    def load_state(self, state):
        self.weights.copy_(state["weights"])

    def update(self, x, y, b):
        with self.autocast():
            logits = self.g(self.f(x))
        losses = F.cross_entropy(logits, y, reduction="none")
        group = group_index(y, b.flatten(1), self.values)
        count = torch.zeros_like(self.weights).index_add_(0, group, torch.ones_like(self.weights[group]))
        mean = torch.zeros_like(self.weights).index_add(0, group, losses.to(self.weights)) / count.clamp(min=1)
        with torch.no_grad():  # in place: the tensor is part of a CUDA graph
            self.weights.mul_((self.option.eta * mean).exp())
            self.weights.div_(self.weights.sum())
        loss = self.weights.clone() @ mean
        self.step(loss)
        return losses.mean(), label_accuracy(logits, y), mean.max()
