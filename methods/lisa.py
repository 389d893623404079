"""LISA: Yao et al., "Improving Out-of-Distribution Robustness via Selective Augmentation" (ICML 2022).

An image is mixed with another one of its batch: of the same label and another bias, or of the same bias and another
label, half and half. The share of the first is drawn from Beta(2, 2); the losses are mixed as the pixels are.
"""

import torch
from torch.nn import functional as F

from methods.baseline import Baseline, label_accuracy


def partners(y, b):
    """For every image another one of the batch by LISA's rule, at random; itself where there is none. int64 (B,).

    y: int64 (B,). b: int64 (B, heads); biases are the same where those of all heads are. A coin for each image says
    which of the two rules it follows.
    """
    same_label = y[:, None] == y
    same_bias = (b[:, None] == b).all(2)
    coin = torch.rand(len(y), 1, device=y.device) < 0.5
    allowed = torch.where(coin, same_label & ~same_bias, same_bias & ~same_label)
    at_random = torch.rand(allowed.shape, device=y.device) + 1  # not below 1, so that who is allowed comes first
    score = at_random * allowed + 0.5 * torch.eye(len(y), device=y.device)
    return score.argmax(1)


def beta_2_2(count, device):
    """`count` draws from Beta(2, 2), which is how the median of three uniform numbers is distributed."""
    return torch.rand(3, count, device=device).median(0).values


class Lisa(Baseline):
    """The baseline on mixed pairs, of balanced draws as in the paper."""

    name = "lisa"
    title = "LISA"
    help = "mixes images that share the label or the bias alone (Yao et al. 2022)"
    always = {"sampling": "balanced"}  # noqa: RUF012
    needs_pixels = True

    def update(self, x, y, b):
        other = partners(y, b.flatten(1))
        share = beta_2_2(len(y), y.device)
        weight = share.to(x.dtype).view(-1, 1, 1, 1)
        with self.autocast():
            logits = self.g(self.f(x.lerp(x[other], 1 - weight)))
        of_both = [F.cross_entropy(logits, target, reduction="none") for target in (y, y[other])]
        loss = (share * of_both[0] + (1 - share) * of_both[1]).mean()
        self.step(loss)
        return loss, label_accuracy(logits, y)
