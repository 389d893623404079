"""The methods, and the loop that trains them.

One iteration of learning not to learn (LNTL; eq. 9 of the paper) is two updates on the same batch:

    A   f, g  <-  CE(y, g(f(x))) + lambda * mean_{channel, position} sum_k p_k log p_k,   p = softmax(h(f(x)))
    B   h, f  <-  sum_{channel} CE(b, h(R(f(x)))),   R = identity, whose gradient is multiplied by -mu

In A, h is held fixed. In B, h learns to predict the bias while f, through the reversal R, learns to defeat it.
"""

import contextlib
import math
import time

import torch
from torch.nn import functional as F

import health
from averaging import Average
from cuda_graph import GraphedIteration
from dataset.batches import IGNORED
from dataset.load import hold_out, recolored
from errors import Stopped, UserError
from evaluate import bias_accuracy, evaluate
from files import read_json_lines
from models import BiasPredictor, FeatureExtractor, LabelClassifier
from models.checkpoint import save_weights
from progress import Progress


class GradientReversal(torch.autograd.Function):
    """R: the identity; its gradient is multiplied by -mu."""

    @staticmethod
    def forward(ctx, features, mu):
        ctx.mu = mu
        return features.view_as(features)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.mu * gradient, None


def negative_entropy(logits):
    """mean over batch, positions and channels of sum_k p_k log p_k, in [-log 8, 0]; logits (B, 3, 8, 14, 14).

    With log-softmax: p * log(p) of a softmax that underflows is NaN.
    """
    log_p = F.log_softmax(logits, dim=2)
    return (log_p.exp() * log_p).sum(2).mean()


def bias_cross_entropy(logits, b):
    """(sum over channels of the mean cross-entropy over the positions that have a bias label, accuracy on them).

    logits: (B, 3, 8, 14, 14); b: int64 (B, 3, 14, 14), 0..7 or IGNORED.
    """
    log_p = F.log_softmax(logits, dim=2)
    labelled = b != IGNORED
    count = labelled.sum(dim=(0, 2, 3)).clamp(min=1)
    nll = F.nll_loss(log_p.flatten(0, 1), b.flatten(0, 1), ignore_index=IGNORED, reduction="none").view_as(b)
    with torch.no_grad():
        correct = labelled & (-nll >= log_p.amax(2))
        accuracy = correct.sum() / labelled.sum().clamp(min=1)
    return (nll.sum(dim=(0, 2, 3)) / count).sum(), accuracy


class Baseline:
    """f and g learn the labels, and with them the bias. Pretraining, and `gray` on grey images, are this too."""

    metrics = ("cls_loss", "accuracy")
    trains_h = False

    def __init__(self, option, device="cpu", dtype=torch.float32):
        """option: lr, momentum, weight_decay, lr_decay_period, lr_decay_rate, precision and the method's weights."""
        self.option = option
        self.device = torch.device(device)
        self.f, self.g, self.h = FeatureExtractor(), LabelClassifier(), BiasPredictor()
        for network in self.networks().values():
            network.to(device=device, dtype=dtype, memory_format=torch.channels_last).train()
        sgd = {"lr": option.lr, "momentum": option.momentum, "weight_decay": option.weight_decay}
        sgd["fused"] = self.device.type == "cuda"  # one kernel a step; on the CPU it saves nothing
        self.optim_fg = torch.optim.SGD([*self.f.parameters(), *self.g.parameters()], **sgd)
        self.optim_h = torch.optim.SGD(self.h.parameters(), **sgd)
        self.optimizers = [self.optim_fg, self.optim_h] if self.trains_h else [self.optim_fg]
        decay = {"step_size": option.lr_decay_period, "gamma": option.lr_decay_rate}
        self.schedulers = [torch.optim.lr_scheduler.StepLR(optim, **decay) for optim in self.optimizers]

    def networks(self):
        """{"f": f, "g": g, "h": h}."""
        return {"f": self.f, "g": self.g, "h": self.h}

    def autocast(self):
        """The precision of the arithmetic: bfloat16 where asked for, else that of the weights."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.option.precision == "bfloat16")

    def prepare(self, train):
        """Called with the training data (dataset.batches), before anything else."""

    def start_from(self, content):
        """Called with the content of the weights file from which f and g were loaded."""

    def start_epoch(self, epoch):
        """Called before each epoch, counted from 0."""

    def constants(self):
        """The numbers of an update that change from epoch to epoch."""
        return self.schedulers[0].get_last_lr()

    def end_epoch(self):
        """Called after each epoch: the learning rates' schedule."""
        for scheduler in self.schedulers:
            scheduler.step()

    def update(self, x, y, b):
        """One iteration on one batch. Returns the means over the batch named in `metrics`, 0-dimensional tensors."""
        with self.autocast():
            logits = self.g(self.f(x))
            loss = F.cross_entropy(logits, y)
        self.optim_fg.zero_grad()
        loss.backward()
        self.optim_fg.step()
        return loss, label_accuracy(logits, y)


class LNTL(Baseline):
    """Learning not to learn, with the official code's order, losses and zero gradients."""

    metrics = ("cls_loss", "accuracy", "neg_entropy", "bias_loss", "bias_accuracy")
    trains_h = True

    def label_loss(self, logits, y, b):
        """The first term of A; a named setting adds to the logits."""
        return F.cross_entropy(logits, y)

    def neg_entropy(self, logits, b):
        """The second term of A, before its weight; a deviation leaves out the background."""
        return negative_entropy(logits)

    def start_epoch(self, epoch):
        self.detach_h = epoch < self.option.detach_h

    def constants(self):
        return [*super().constants(), self.detach_h]

    def update(self, x, y, b):
        # A: f and g learn the label and raise the entropy of h's prediction; h has no gradient here.
        with self.autocast():
            features = self.f(x)
            logits = self.g(features)
            cls_loss = self.label_loss(logits, y, b)
            if self.detach_h:
                neg_entropy = torch.zeros_like(cls_loss)
                loss = cls_loss
            else:
                neg_entropy = self.neg_entropy(self.h(features), b)
                loss = cls_loss + self.option.lambda_ * neg_entropy
        self.optim_fg.zero_grad(set_to_none=False)
        loss.backward(inputs=[*self.f.parameters(), *self.g.parameters()])
        self.optim_fg.step()

        # B: h learns the bias; f, whose gradient is reversed, unlearns it.
        bias_loss, bias_accuracy = self.update_h(x, b, reversal=not self.detach_h)
        return cls_loss, label_accuracy(logits, y), neg_entropy, bias_loss / 3, bias_accuracy

    def update_h(self, x, b, reversal):
        """Update B. Without reversal, h alone is stepped, on features that it does not influence."""
        with self.autocast():
            with torch.set_grad_enabled(reversal):
                features = self.f(x)
            if reversal:
                features = GradientReversal.apply(features, self.option.mu)
            bias_loss, bias_accuracy = bias_cross_entropy(self.h(features), b)
        # Zeros, not None (PyTorch 0.4): g has no gradient here, yet its momentum and weight decay move it once more.
        self.optim_fg.zero_grad(set_to_none=False)
        self.optim_h.zero_grad()
        bias_loss.backward()
        if reversal:
            self.optim_fg.step()
        self.optim_h.step()
        return bias_loss, bias_accuracy


def label_accuracy(logits, y):
    """Share of the batch that is classified right, 0-dimensional."""
    return (logits.argmax(1) == y).float().mean()


class Trainer:
    """Trains one method on one data set, epoch by epoch; can stop after any iteration and go on from there."""

    def __init__(self, option, data, run, device, test):
        """option: of option.py. data, test: dataset.batches. run: RunFolder. device: torch.device."""
        import methods  # which builds on this module

        torch.manual_seed(option.random_seed)
        self.option, self.run, self.device = option, run, device
        self.method = methods.make_method(option, device)
        self.test = test
        self.train, self.held_out = hold_out(data, option)
        self.recolored = recolored(self.held_out, option) if self.held_out else None
        self.method.prepare(self.train)
        self.average = Average(self.method, option) if option.average else None
        self.order = torch.Generator().manual_seed(option.random_seed)
        self.epoch = self.iteration = 0  # finished epochs, and iterations of the current one
        self.totals = torch.zeros(len(self.method.metrics), dtype=torch.float64, device=device)
        self.seconds = 0.0
        self.stop = False  # set by a signal handler
        self.evaluating = False
        self.step = contextlib.nullcontext(self.iterate)
        if device.type == "cuda":
            self.step = GraphedIteration(self.iterate, self.method.constants, option.batch_size)

    def fit(self):
        """Runs until the last epoch is done or `stop` is set. Returns whether it is done."""
        iterations = math.ceil(len(self.train) / self.option.batch_size)
        with Progress(self.option, self.run, iterations, self.epoch * iterations + self.iteration) as progress:
            while self.epoch < self.option.max_step:
                if not self.train_epoch(progress):
                    self.save()
                    return False
                self.run.record(record := self.end_epoch())
                progress.epoch(record)
                self.save()
        return True

    def train_epoch(self, progress):
        """One pass over the training images in a fresh order. Returns False if it was stopped."""
        method, size = self.method, self.option.batch_size
        method.start_epoch(self.epoch)
        self.order_state = self.order.get_state()
        order = torch.randperm(len(self.train), generator=self.order).to(self.device)
        start = time.perf_counter()
        with self.step as step:
            for index in order.split(size)[self.iteration :]:
                measured = step(index)
                self.iteration += 1
                progress.iteration(self.epoch, self.iteration, method.metrics, measured)
                if self.stop:
                    break
        self.seconds += time.perf_counter() - start
        return not self.stop

    def iterate(self, index):
        """One update on the images of `index`, measured. Nothing in it waits for the device (see cuda_graph.py)."""
        measured = [m.detach() for m in self.method.update(*self.train.batch(index))]
        self.totals += torch.stack([m.double() for m in measured]) * len(index)
        return measured

    def end_epoch(self):
        """The schedule's step and the evaluations. Returns the epoch's record. Raises UserError, and Stopped."""
        self.check_finite()
        means = (self.totals / len(self.train)).tolist()
        record = {"epoch": self.epoch + 1, "lr": self.method.schedulers[0].get_last_lr()[0]}
        record |= dict(zip(self.method.metrics, means, strict=True))
        with self.interruptible():
            record |= self.evaluations()
        for warning in health.warnings(record, read_json_lines(self.run / "log.jsonl"), self.method):
            self.run.say(f"WARNING: {warning}")
        self.method.end_epoch()
        self.epoch, self.iteration = self.epoch + 1, 0
        self.totals.zero_()
        record["seconds"], self.seconds = round(self.seconds, 3), 0.0
        return record

    def evaluations(self):
        """{name: accuracy} of f and g on the test sets; with held-out images, on those too, and of h."""
        f, g, h = self.method.networks().values()
        found = {}
        if self.held_out:
            found["holdout_accuracy"] = evaluate(f, g, self.held_out).accuracy
            if self.recolored:
                found["holdout_recolored_accuracy"] = evaluate(f, g, self.recolored).accuracy
            if self.method.trains_h:
                found["holdout_bias_accuracy"] = bias_accuracy(f, h, self.held_out)
        if self.average and self.average.update(self.epoch):
            for name, data in self.test.items():
                found[f"averaged_{name}"] = evaluate(self.average.f, self.average.g, data).accuracy
        return found | {name: evaluate(f, g, data).accuracy for name, data in self.test.items()}

    @contextlib.contextmanager
    def interruptible(self):
        """Inside, where nothing changes, a signal handler may raise Stopped; one that came just before does so here."""
        self.evaluating = True
        try:
            if self.stop:
                raise Stopped
            yield
        finally:
            self.evaluating = False

    def check_finite(self):
        """Raises UserError where a loss or a weight has become infinite or NaN."""
        tensors = [self.totals, *(p for m in self.method.networks().values() for p in m.parameters())]
        if all(bool(t.isfinite().all()) for t in tensors):
            return
        means = self.totals / max(1, self.iteration * self.option.batch_size)
        losses = ", ".join(f"{k} {v:.4g}" for k, v in zip(self.method.metrics, means.tolist(), strict=True))
        raise UserError(
            f"training diverged in epoch {self.epoch + 1}, iteration {self.iteration} ({losses}); the last good "
            f"checkpoint, if an epoch was finished, is {self.run / 'last.pt'}; try a smaller --lr, --lambda_ or --mu, "
            "or --detach_h"
        )

    def save(self):
        """Writes everything that `restore` needs; weights as well every `save_step` epochs and at the end."""
        self.check_finite()
        method = self.method
        # Weights first: a crash in between repeats the epoch, while a finished checkpoint without them would end it.
        if self.iteration == 0 and self.epoch % self.option.save_step == 0:
            save_weights(self.run / f"checkpoint_step_{self.epoch:04d}.pth", method, self.epoch, self.option)
        if self.epoch == self.option.max_step:
            save_weights(self.run / "final.pth", method, self.epoch, self.option)
            if self.average and self.average.whole(self.option.average):
                self.average.save(self.run / "averaged.pth")
        self.run.save(
            {
                "epoch": self.epoch,
                "iteration": self.iteration,
                "seconds": self.seconds,
                "totals": self.totals.cpu(),
                "order": self.order_state if self.iteration else self.order.get_state(),
                "torch_rng": torch.get_rng_state(),
                "f": method.f.state_dict(),
                "g": method.g.state_dict(),
                "h": method.h.split_state_dict(),
                "average": self.average.model.state_dict() if self.average else None,
                "optimizers": [o.state_dict() for o in method.optimizers],
                "schedulers": [s.state_dict() for s in method.schedulers],
                "option": vars(self.option),
            }
        )

    def restore(self, state):
        """Goes back to where `state` (of `save`) was written."""
        method = self.method
        method.f.load_state_dict(state["f"])
        method.g.load_state_dict(state["g"])
        method.h.load_split_state_dict(state["h"])
        if self.average:
            self.average.model.load_state_dict(state["average"])
        for optimizer, saved in zip(method.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for scheduler, saved in zip(method.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)
        self.order.set_state(state["order"])
        torch.set_rng_state(state["torch_rng"])
        self.epoch, self.iteration, self.seconds = state["epoch"], state["iteration"], state["seconds"]
        self.totals.copy_(state["totals"])
