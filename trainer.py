"""The loop that trains a method: epochs, records, checkpoints, and going on after an interruption."""

import contextlib
import time

import torch

from common.errors import Diverged, Stopped
from common.files import read_json_lines
from dataset.base import hold_out
from methods import make_method
from models.checkpoint import save_weights
from run import health
from run.averaging import Average
from run.cuda_graph import GraphedIteration
from run.evaluate import bias_accuracy, evaluate, group_figures_of, majority_baseline
from run.networks import build
from run.progress import Progress

CHOOSING = ("mean_group_accuracy", "worst_group_accuracy")  # of held-out images, beside their plain accuracy


class Trainer:
    """Trains one method on one data set, epoch by epoch; can stop after any iteration and go on from there."""

    def __init__(self, option, data, run, device, init=None):
        """option: of option.py. data: a dataset.base.DataSet. run: run.folder.RunFolder. device: torch.device.

        init: overrides --init, such as "random" where weights are loaded at once.
        """
        torch.manual_seed(option.random_seed)
        self.option, self.run, self.device = option, run, device
        self.method = make_method(option, device, networks=build(option, data, init))
        self.data, self.test = data, data.test
        self.train, self.held_out = hold_out(data.train, option)
        self.unbiased_holdout = data.unbiased_holdout(self.held_out, option) if self.held_out else None
        self.held_out = self.held_out or data.held_out
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
        iterations = len(self.split(torch.arange(len(self.train))))
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
        method = self.method
        method.start_epoch(self.epoch)
        self.order_state = self.order.get_state()
        order = torch.randperm(len(self.train), generator=self.order).to(self.device)
        self.train.set_epoch(self.epoch)
        start = time.perf_counter()
        with self.step as step:
            for handle in self.train.stream(self.split(order)[self.iteration :]):
                measured = step(handle)
                self.iteration += 1
                progress.iteration(self.epoch, self.iteration, method.metrics, measured)
                if self.stop:
                    break
        self.seconds += time.perf_counter() - start
        return not self.stop

    def split(self, order):
        """The batches of an epoch. BatchNorm may need two images: where it does, a last one alone joins the others."""
        batches = list(order.split(self.option.batch_size))
        if len(batches) > 1 and len(batches[-1]) == 1 and not self.data.one_is_a_batch:
            batches[-2:] = [torch.cat(batches[-2:])]
        return batches

    def iterate(self, handle):
        """One update on a batch of `train.stream`, measured. Nothing in it waits for the device (run/cuda_graph.py)."""
        x, y, b = self.train.batch(handle)
        measured = [m.detach() for m in self.method.update(x, y, b)]
        self.totals += torch.stack([m.double() for m in measured]) * len(y)
        return measured

    def end_epoch(self):
        """The schedule's step and the evaluations. Returns the epoch's record. Raises UserError, and Stopped."""
        self.check_finite()
        means = (self.totals / len(self.train)).tolist()
        record = {"epoch": self.epoch + 1, "lr": self.method.schedulers[0].get_last_lr()[0]}
        record |= dict(zip(self.method.metrics, means, strict=True))
        if self.method.trains_h and not self.data.map_bias:
            record["majority_baseline"] = majority_baseline(self.train)
        averaged = bool(self.average) and self.average.update(self.epoch)
        with self.interruptible():
            record |= self.evaluations(averaged)
        if not self.option.dry_run:  # after one iteration nobody is well
            earlier, classes = read_json_lines(self.run / "log.jsonl"), len(self.data.classes)
            for warning in health.warnings(record, earlier, self.method, classes):
                self.run.say(f"WARNING: {warning}")
        self.method.end_epoch()
        self.epoch, self.iteration = self.epoch + 1, 0
        self.totals.zero_()
        record["seconds"], self.seconds = round(self.seconds, 3), 0.0
        return record

    def evaluations(self, averaged):
        """{name: accuracy} of f and g on the test sets; with held-out images, on those (and by group) too, and of h.

        averaged: whether the mean of the weights is one of enough epochs to be evaluated beside them.
        """
        f, g, h = self.method.networks().values()
        found = {}
        if self.held_out:
            result = evaluate(f, g, self.held_out)
            found["holdout_accuracy"] = result.accuracy
            if (by_group := group_figures_of(result, self.held_out, self.data))["groups"]:
                found |= {f"holdout_{name}": by_group[name] for name in CHOOSING}
            if self.unbiased_holdout:
                found["holdout_unbiased_accuracy"] = evaluate(f, g, self.unbiased_holdout).accuracy
            if self.method.trains_h:
                found["holdout_bias_accuracy"] = bias_accuracy(f, h, self.held_out)
                if not self.data.map_bias:
                    found["holdout_majority_baseline"] = majority_baseline(self.held_out)
        if averaged:
            for name, data in self.test.items():
                found[f"averaged_{name}"] = evaluate(self.average.f, self.average.g, data).accuracy
            for name, data in (
                ("holdout_accuracy", self.held_out),
                ("holdout_unbiased_accuracy", self.unbiased_holdout),
            ):
                if data:
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
        """Raises Diverged where a loss, a weight or a running statistic has become infinite or NaN."""
        networks = self.method.networks().values()
        tensors = [self.totals, *(t for network in networks for t in (*network.parameters(), *network.buffers()))]
        if all(bool(t.isfinite().all()) for t in tensors):
            return
        means = self.totals / max(1, self.iteration * self.option.batch_size)
        losses = ", ".join(f"{k} {v:.4g}" for k, v in zip(self.method.metrics, means.tolist(), strict=True))
        raise Diverged(
            f"training diverged in epoch {self.epoch + 1}, iteration {self.iteration} ({losses}); the last good "
            f"checkpoint, if an epoch was finished, is {self.run / 'last.pt'}; {health.advice(self.method)}"
        )

    def save(self):
        """Writes everything that `restore` needs; weights as well every `save_step` epochs and at the end."""
        self.check_finite()
        method = self.method
        # Weights first: a crash in between repeats the epoch, while a finished checkpoint without them would end it.
        if self.iteration == 0 and self.epoch % self.option.save_step == 0:
            name = f"checkpoint_step_{self.epoch:04d}.pth"
            save_weights(self.run / name, method, self.epoch, self.option, self.data.names())
        if self.epoch == self.option.max_step:
            save_weights(self.run / "final.pth", method, self.epoch, self.option, self.data.names())
            if self.average and self.average.whole(self.option.average):
                self.average.save(self.run / "averaged.pth", self.data.names())
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
                "start_accuracy": method.start_accuracy,
                "option": vars(self.option),
                "names": self.data.names(),
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
        method.start_accuracy = state.get("start_accuracy")  # younger than some checkpoints
        self.order.set_state(state["order"])
        torch.set_rng_state(state["torch_rng"])
        self.epoch, self.iteration, self.seconds = state["epoch"], state["iteration"], state["seconds"]
        self.totals.copy_(state["totals"])
