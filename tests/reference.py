"""The algorithm a second time, straight from the equations: unfused, naive, sharing nothing with the project's code.

Three separate predictors, images instead of masks, explicit SGD written from its definition, gradients from
autograd.grad, probabilities from softmax. Slow, and easy to read beside the paper.
"""

import torch
from torch.nn import functional as F

MEAN = torch.tensor([0.4914, 0.4822, 0.4465], dtype=torch.float64)
STD = torch.tensor([0.2023, 0.1994, 0.2010], dtype=torch.float64)


def inputs(images):
    """uint8 (B, 28, 28, 3) -> normalised float64 (B, 3, 28, 28)."""
    return ((images.double() / 255 - MEAN) / STD).permute(0, 3, 1, 2)


def bias_label(value):
    """The bias label of one channel value: None where it is 0 (ignored), else its bin of 32 grey levels."""
    return None if value == 0 else value // 32


def batch_norm(x, weight, bias):
    """BatchNorm in training: over batch and positions of each channel, biased variance, eps 1e-5."""
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    var = ((x - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt() * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)


def f(p, x):
    """Features (B, 32, 14, 14) by the parameters p, a dict with the official names."""
    z = batch_norm(x, p["bn0.weight"], p["bn0.bias"])
    z = F.conv2d(z, p["conv1.weight"], p["conv1.bias"], padding=2).relu()
    z = F.max_pool2d(z, 3, 2, 1)
    return F.conv2d(z, p["conv2.weight"], p["conv2.bias"], padding=1).relu()


def g(p, features):
    """Logits (B, 10)."""
    z = F.conv2d(features, p["conv3.weight"], p["conv3.bias"], stride=2, padding=1).relu()
    z = F.conv2d(z, p["conv4.weight"], p["conv4.bias"], padding=1).relu()
    return F.avg_pool2d(z, 7).flatten(1) @ p["fc.weight"].T + p["fc.bias"]


def h(p, features):
    """Logits (B, 8, 14, 14) of one channel's predictor."""
    z = F.conv2d(features, p["pred_conv1.weight"], p["pred_conv1.bias"], padding=1)
    z = batch_norm(z, p["pred_bn1.weight"], p["pred_bn1.bias"]).relu()
    return F.conv2d(z, p["pred_conv2.weight"], p["pred_conv2.bias"], padding=1)


def cross_entropy_of_map(logits, images, channel):
    """Mean of -log softmax at the true bin over all 14x14 positions that have one, position by position."""
    p, terms = logits.softmax(1), []
    for n in range(len(images)):
        for i in range(14):
            for j in range(14):
                label = bias_label(int(images[n, 2 * i + 1, 2 * j + 1, channel]))
                if label is not None:
                    terms.append(-p[n, label, i, j].log())
    return torch.stack(terms).mean()


class SGD:
    """v <- momentum v + (gradient + decay w); w <- w - lr v."""

    def __init__(self, parameters, lr, momentum, decay):
        self.parameters, self.lr, self.momentum, self.decay = parameters, lr, momentum, decay
        self.velocity = [torch.zeros_like(w) for w in parameters]

    @torch.no_grad()
    def step(self, gradients):
        """gradients: one a parameter."""
        for i, (w, d) in enumerate(zip(self.parameters, gradients, strict=True)):
            self.velocity[i] = self.momentum * self.velocity[i] + d + self.decay * w
            w -= self.lr * self.velocity[i]


class Reference:
    """LNTL (or BlindEye, with `alpha`) on float64 parameters."""

    def __init__(self, net, predictors, lr, momentum, decay, lambda_=0.0, mu=0.0, alpha=None):
        """net: dict with the official names; predictors: {"r", "g", "b": dict}. Both are copied."""

        def copy(d):
            return {k: v.detach().clone().double().requires_grad_() for k, v in d.items() if v.is_floating_point()}

        def keep(d):
            return {k: v for k, v in d.items() if "running" not in k}

        self.net = copy(keep(net))
        self.predictors = {c: copy(keep(p)) for c, p in predictors.items()}
        self.lambda_, self.mu, self.alpha = lambda_, mu, alpha
        self.sgd_net = SGD(list(self.net.values()), lr, momentum, decay)
        self.sgd_h = [SGD(list(p.values()), lr, momentum, decay) for p in self.predictors.values()]

    def baseline(self, images, y):
        """One iteration of the baseline; returns its loss."""
        loss = F.cross_entropy(g(self.net, f(self.net, inputs(images))), y)
        self.sgd_net.step(torch.autograd.grad(loss, list(self.net.values())))
        return loss.item()

    def iteration(self, images, y):
        """Updates A and B; returns (classification loss, bias cross-entropy / 3, entropy or confusion term)."""
        x = inputs(images)
        features = f(self.net, x)
        cls_loss = F.cross_entropy(g(self.net, features), y)
        p = [h(q, features).softmax(1) for q in self.predictors.values()]
        if self.alpha is None:
            term = sum((q * q.log()).sum(1).mean() for q in p) / 3
            loss = cls_loss + self.lambda_ * term
        else:
            term = sum(-q.log().mean(1).mean() for q in p) / 3
            loss = cls_loss + self.alpha * term
        own = list(self.net.values())
        self.sgd_net.step(torch.autograd.grad(loss, own))

        features = f(self.net, x)
        seen = features if self.alpha is None else features.detach()
        bias = sum(cross_entropy_of_map(h(q, seen), images, c) for c, q in enumerate(self.predictors.values()))
        wanted = [w for q in self.predictors.values() for w in q.values()]
        gradients = torch.autograd.grad(bias, wanted + own, allow_unused=True)
        if self.alpha is None:
            # The reversal acts on f; g has no gradient, and old zero_grad() turned that into zeros.
            self.sgd_net.step([0.0 if d is None else -self.mu * d for d in gradients[len(wanted) :]])
        start = 0
        for sgd in self.sgd_h:
            sgd.step(gradients[start : start + len(sgd.parameters)])
            start += len(sgd.parameters)
        return cls_loss.item(), bias.item() / 3, term.item()
