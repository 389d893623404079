"""Turning a Blind Eye (Alvi, Zisserman, Nellåker; ECCV workshops 2018), in the frame of f, g and h."""

import torch
from torch.nn import functional as F

from common import Flag, number
from methods.baseline import Baseline, label_accuracy
from methods.lntl import LNTL, by_head


def confusion_loss(logits, valid=None):
    """L_conf (eq. 2 of its paper): cross-entropy between the uniform distribution and the prediction, >= log K.

    logits: (B, heads, K, H, W) or (B, K). valid: bool (heads, K), where heads have different numbers of values.
    """
    log_p = F.log_softmax(by_head(logits), dim=2)
    if valid is None:
        return -log_p.mean()
    sums = torch.where(valid[:, :, None, None], log_p, 0).sum(2)
    return -(sums / valid.sum(1)[:, None, None]).mean()


class BlindEye(LNTL):
    """h learns the bias on detached features, and f is trained to confuse it.

    A   f, g  <-  CE(y, g(f(x))) + alpha * L_conf(h(f(x)))
    B   h     <-  L_s = sum_{head} CE(b, h(f(x))),   f fixed
    """

    name = "blindeye"
    title = "BlindEye"
    help = "Turning a Blind Eye (Alvi et al. 2018)"
    flags = (Flag("alpha", number(float, 0, 1000), 0.1, "α, the weight of the confusion; ours, fixed beforehand"),)
    ranges = Baseline.ranges | {"alpha": (0.001, 1)}
    metrics = ("cls_loss", "accuracy", "confusion_loss", "bias_loss", "bias_accuracy")

    def start_epoch(self, epoch):
        self.detach_h = True

    def update(self, x, y, b):
        with self.autocast():
            features = self.f(x)
            logits = self.g(features)
            cls_loss = F.cross_entropy(logits, y)
            confusion = confusion_loss(self.h(features), self.h.valid if getattr(self.h, "uneven", False) else None)
            loss = cls_loss + self.option.alpha * confusion
        self.optim_fg.zero_grad()
        loss.backward(inputs=[*self.f.parameters(), *self.g.parameters()])
        self.optim_fg.step()

        bias_loss, bias_accuracy = self.update_h(x, b, reversal=False)
        return cls_loss, label_accuracy(logits, y), confusion, bias_loss / b.shape[1], bias_accuracy
