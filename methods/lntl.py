"""Learning not to learn: eq. 9 of the paper, first as functions for any networks, then as the method of train.py.

    min_{f,g} max_h  E[ CE(y, g(f(x))) + lambda * E_{b ~ Q(.|f(x))} log Q(b|f(x)) ]  -  mu * CE(b, h(f(x)))

Q is the softmax of h. One iteration is two updates on the same batch, with a forward pass each:

    A   f, g  <-  CE(y, g(f(x))) + lambda * mean sum_k p_k log p_k,   p = softmax(h(f(x))), h held fixed
    B   h, f  <-  sum_{head} CE(b, h(R(f(x)))),   R = identity, whose gradient is multiplied by -mu

In B, h learns to predict the bias while f, through the reversal R, learns to defeat it. A head is one label of the
bias: a colour channel of Colored-MNIST, or a column of a table. h gives logits (B, heads, K, H, W) and b holds labels
(B, heads, H, W), a map by position, or H = W = 1; with one label an image, logits (B, K) and b (B,) will do.
"""

import contextlib

import torch
from torch.nn import functional as F

from common import Flag, number
from dataset.batches import IGNORE_INDEX
from methods.baseline import Baseline, label_accuracy


class GradientReversal(torch.autograd.Function):
    """R: the identity; its gradient is multiplied by -mu."""

    @staticmethod
    def forward(ctx, features, mu):
        ctx.mu = mu
        return features.view_as(features)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.mu * gradient, None


def by_head(logits):
    """Logits (B, heads, K, H, W), made of (B, K) where an image has one label of the bias."""
    return logits[:, None, :, None, None] if logits.dim() == 2 else logits


def negative_entropy(logits):
    """mean over batch, positions and heads of sum_k p_k log p_k, in [-log K, 0]; logits (B, heads, K, H, W) or (B, K).

    With log-softmax: p * log(p) of a softmax that underflows is NaN.
    """
    log_p = F.log_softmax(by_head(logits), dim=2)
    return (log_p.exp() * log_p).sum(2).mean()


def bias_cross_entropy(logits, b):
    """(sum over heads of the mean cross-entropy over the positions that have a bias label, accuracy on them).

    logits: (B, heads, K, H, W) or (B, K); b: int64 (B, heads, H, W) or (B,), 0..K-1 or IGNORE_INDEX.
    """
    log_p = F.log_softmax(by_head(logits), dim=2)
    b = b[:, None, None, None] if b.dim() == 1 else b
    labelled = b != IGNORE_INDEX
    count = labelled.sum(dim=(0, 2, 3)).clamp(min=1)
    nll = F.nll_loss(log_p.flatten(0, 1), b.flatten(0, 1), ignore_index=IGNORE_INDEX, reduction="none").view_as(b)
    with torch.no_grad():
        correct = labelled & (-nll >= log_p.amax(2))
        accuracy = correct.sum() / labelled.sum().clamp(min=1)
    return (nll.sum(dim=(0, 2, 3)) / count).sum(), accuracy


def update_a(
    f, g, h, optim_fg, x, y, lambda_, label_loss=F.cross_entropy, entropy=negative_entropy,
    context=contextlib.nullcontext,
):  # fmt: skip
    """A: f and g learn the label and raise the entropy of h's prediction; h gets no gradient.

    lambda_: weight of the entropy; None leaves h out. label_loss(logits, y), entropy(logits of h): the two terms.
    context: a function of the context of the forward pass, such as torch.autocast.
    Returns (label loss, logits of g, the entropy term before its weight), tensors.
    """
    with context():
        features = f(x)
        logits = g(features)
        cls_loss = label_loss(logits, y)
        neg_entropy = torch.zeros_like(cls_loss) if lambda_ is None else entropy(h(features))
        loss = cls_loss if lambda_ is None else cls_loss + lambda_ * neg_entropy
    optim_fg.zero_grad(set_to_none=False)
    loss.backward(inputs=[*f.parameters(), *g.parameters()])
    optim_fg.step()
    return cls_loss, logits, neg_entropy


def update_b(f, h, optim_fg, optim_h, x, b, mu, context=contextlib.nullcontext):
    """B: h learns the bias; f, whose gradient is reversed, unlearns it.

    mu: strength of the reversal; None detaches h: it alone is stepped, on features that it does not influence.
    Returns (sum over heads of the cross-entropy of h, its accuracy), tensors.
    """
    with context():
        with torch.set_grad_enabled(mu is not None):
            features = f(x)
        if mu is not None:
            features = GradientReversal.apply(features, mu)
        bias_loss, bias_accuracy = bias_cross_entropy(h(features), b)
    # Zeros, not None (PyTorch 0.4): g has no gradient here, yet its momentum and weight decay move it once more.
    optim_fg.zero_grad(set_to_none=False)
    optim_h.zero_grad()
    bias_loss.backward()
    if mu is not None:
        optim_fg.step()
    optim_h.step()
    return bias_loss, bias_accuracy


class LNTL(Baseline):
    """Learning not to learn, with the official code's order, losses and zero gradients."""

    name = "lntl"
    title = "LNTL"
    help = "learning not to learn, the paper's method"
    flags = (
        Flag("lambda_", number(float, 0, 1000), 0.01, "λ, the weight of the entropy"),
        Flag("mu", number(float, 0, 1000), 0.1, "μ, the strength of the reversal"),
        Flag("detach_h", number(int, 0, 10**6), 0, "for N epochs h learns, and f does not unlearn yet", metavar="N"),
    )
    defaults = {"lr": 0.001}  # noqa: RUF012
    ranges = Baseline.ranges | {"lambda_": (0.001, 1), "mu": (0.001, 1)}
    from_baseline = True
    trains_h = True
    metrics = ("cls_loss", "accuracy", "neg_entropy", "bias_loss", "bias_accuracy")

    def neg_entropy(self, logits, b):
        """The second term of A, before its weight. logits: (B, heads, K, h, w) of h; b: as of `update`."""
        return negative_entropy(logits)

    def start_epoch(self, epoch):
        self.detach_h = epoch < self.option.detach_h

    def constants(self):
        return [*super().constants(), self.detach_h]

    def update(self, x, y, b):
        cls_loss, logits, neg_entropy = update_a(
            self.f, self.g, self.h, self.optim_fg, x, y,
            lambda_=None if self.detach_h else self.option.lambda_,
            label_loss=lambda logits, y: self.label_loss(logits, x, y, b),
            entropy=lambda logits: self.neg_entropy(logits, b),
            context=self.autocast,
        )  # fmt: skip
        bias_loss, bias_accuracy = self.update_h(x, b, reversal=not self.detach_h)
        return cls_loss, label_accuracy(logits, y), neg_entropy, bias_loss / b.shape[1], bias_accuracy

    def update_h(self, x, b, reversal):
        """Update B. Without reversal, h alone is stepped."""
        mu = self.option.mu if reversal else None
        return update_b(self.f, self.h, self.optim_fg, self.optim_h, x, b, mu, context=self.autocast)
