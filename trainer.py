"""The loop that trains a method: epochs, records, checkpoints, and going on after an interruption."""

import contextlib
import math
import time

import torch

from common.errors import Diverged, Stopped, UserError
from dataset.base import hold_out
from methods import METHODS
from models.checkpoint import save_weights
from run import health
from run.cuda_graph import GraphedIteration
from run.evaluate import bias_accuracy, evaluate, group_figures_of, majority_baseline
from run.groups import group_sizes
from run.networks import build
from run.progress import Progress

FIGURES = ("mean_group_accuracy", "worst_group_accuracy")  # of images with a bias label each, beside their accuracy


class Trainer:
    """Trains one method on one data set, epoch by epoch; can stop after any iteration and go on from there."""

    def __init__(self, option, data, run, device, init=None):
        """data: a dataset.base.DataSet. run: run.folder.RunFolder. init: overrides --init, where weights are loaded."""
        torch.manual_seed(option.random_seed)
        self.option, self.run, self.device = option, run, device
        self.method = METHODS[option.method](option, device, networks=build(option, data, init))
        self.data, self.test = data, data.test
        self.train, self.held_out = hold_out(data.train, option)
        self.unbiased_holdout = data.unbiased_holdout(self.held_out, option) if self.held_out else None
        self.held_out = self.held_out or data.held_out
        self.passes = max(1, math.ceil(data.images_an_epoch / len(self.train)))
        self.weights = sampling_weights(self.train, option.sampling)
        self.method.prepare(self.train, self.weights)
        self.order = torch.Generator().manual_seed(option.random_seed)
        self.epoch = self.iteration = 0  # finished epochs, and iterations of the current one
        self.totals = torch.zeros(len(self.method.metrics), dtype=torch.float64, device=device)
        self.seconds, self.warned = 0.0, set()
        self.stop = self.evaluating = False  # stop: set by a signal handler
        self.step = contextlib.nullcontext(self.iterate)
        if device.type == "cuda":
            self.step = GraphedIteration(self.iterate, self.method.constants, option.batch_size)

    def fit(self):
        """Runs until the last epoch is done or `stop` is set. Returns whether it is done."""
        iterations = len(self.split(torch.arange(self.passes * len(self.train))))
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
        """One epoch, in a fresh order. Returns False if it was stopped."""
        method = self.method
        method.start_epoch(self.epoch)
        self.order_state = self.order.get_state()
        order = self.draw_order().to(self.device)
        start = time.perf_counter()
        with self.step as step:
            for handle in self.train.stream(self.split(order)[self.iteration :] if method.updates else []):
                measured = step(handle)
                self.iteration += 1
                progress.iteration(self.epoch, self.iteration, method.metrics, measured)
                if self.stop:
                    break
        self.seconds += time.perf_counter() - start
        return not self.stop

    def draw_order(self):
        """The images of an epoch, int64 (passes * N,): each once a pass, or drawn with the weights of --sampling."""
        n, generator = len(self.train), self.order
        if self.weights is None:
            return torch.cat([torch.randperm(n, generator=generator) for _ in range(self.passes)])
        return torch.multinomial(self.weights, self.passes * n, replacement=True, generator=generator)

    def split(self, order):
        """The batches of an epoch. BatchNorm may need two images: where it does, a last one alone joins the others."""
        batches = list(order.split(self.option.batch_size))
        if len(batches) > 1 and len(batches[-1]) == 1 and not self.data.one_is_a_batch:
            batches[-2:] = [torch.cat(batches[-2:])]
        return batches

    def iterate(self, handle):
        """One update on a batch of `train.stream`. Nothing in it waits for the device (run/cuda_graph.py)."""
        x, y, b = self.train.batch(handle, augmented=True)
        measured = [m.detach() for m in self.method.update(x, y, b)]
        self.totals += torch.stack([m.double() for m in measured]) * len(y)
        return measured

    def end_epoch(self):
        """The schedule's step and the evaluations. Returns the epoch's record. Raises UserError, and Stopped."""
        self.check_finite()
        means = (self.totals / (self.passes * len(self.train))).tolist()
        record = {"epoch": self.epoch + 1, "lr": self.method.schedulers[0].get_last_lr()[0]}
        record |= dict(zip(self.method.metrics, means, strict=True))
        if self.method.trains_h and self.train.image_bias is not None:
            record["majority_baseline"] = majority_baseline(self.train.image_bias)
        if self.epoch + 1 == self.option.max_step:
            self.method.finish(self.train, self.held_out)
        with self.interruptible():
            record |= self.evaluations()
        if not self.option.dry_run:  # after one iteration nobody is well
            found = health.warnings(record, self.run.log(), self.method.h, len(self.data.classes))
            for kind in found.keys() - self.warned:  # each kind once in a run
                self.run.say(f"WARNING: {found[kind]}")
            self.warned |= found.keys()
        self.method.end_epoch()
        self.epoch, self.iteration = self.epoch + 1, 0
        self.totals.zero_()
        record["seconds"], self.seconds = round(self.seconds, 3), 0.0
        return record

    def evaluations(self):
        """{name: figure} of f and g on the tests; with held-out images, on those (and by group) too, and of h."""
        parts = {"holdout": self.held_out, "holdout_unbiased": self.unbiased_holdout}
        parts |= {name.removesuffix("_accuracy"): part for name, part in self.test.items()}
        f, g, h, found = self.method.f, self.method.g, self.method.h, {}
        for name, part in parts.items():
            if part:
                result = evaluate(f, g, part)
                by_group = group_figures_of(result, part, self.train, self.data)
                found[f"{name}_accuracy"] = result.accuracy
                found |= {f"{name}_{figure}": by_group[figure] for figure in FIGURES if by_group["groups"]}
        if self.held_out and self.method.trains_h:
            found["holdout_bias_accuracy"] = bias_accuracy(f, h, self.held_out)
            if self.held_out.image_bias is not None:
                found["holdout_majority_baseline"] = majority_baseline(self.held_out.image_bias)
        return found

    @contextlib.contextmanager
    def interruptible(self):
        """Inside, where nothing changes, a signal raises Stopped; one that came just before does so here."""
        self.evaluating = True
        try:
            if self.stop:
                raise Stopped
            yield
        finally:
            self.evaluating = False

    def check_finite(self):
        """Raises Diverged where a loss, a weight or a running statistic has become infinite or NaN."""
        tensors = [self.totals, *(t for net in self.method.networks().values() for t in net.state_dict().values())]
        if all(bool(t.isfinite().all()) for t in tensors):
            return
        means = self.totals / max(1, self.iteration * self.option.batch_size)
        losses = ", ".join(f"{k} {v:.4g}" for k, v in zip(self.method.metrics, means.tolist(), strict=True))
        where = f"epoch {self.epoch + 1}, iteration {self.iteration} ({losses})"
        last = f"the last good checkpoint, if any, is {self.run / 'last.pt'}"
        raise Diverged(f"training diverged in {where}; {last}; {health.ADVICE}")

    def save(self):
        """Writes everything that `restore` needs; weights as well every `save_step` epochs and at the end."""
        self.check_finite()
        method = self.method
        # Weights first: a crash in between repeats the epoch, while a finished checkpoint without them would end it.
        if self.iteration == 0 and self.epoch % self.option.save_step == 0:
            self.save_weights(f"checkpoint_step_{self.epoch:04d}.pth")
        if self.iteration == 0 and (picked := self.selected()) and picked["epoch"] == self.epoch:
            self.save_weights("selected.pth")
        if self.epoch == self.option.max_step:
            self.save_weights("final.pth")
        order = self.order_state if self.iteration else self.order.get_state()
        state = {"epoch": self.epoch, "iteration": self.iteration, "seconds": self.seconds}
        state |= {"totals": self.totals.cpu(), "order": order, "torch_rng": torch.get_rng_state()}
        state |= {"cuda_rng": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None}
        state |= {"f": method.f.state_dict(), "g": method.g.state_dict(), "h": method.h.split_state_dict()}
        state |= {name: [part.state_dict() for part in getattr(method, name)] for name in ("optimizers", "schedulers")}
        state |= {"method": method.state(), "warned": sorted(self.warned)}
        self.run.save(state | {"names": self.data.names()})

    def save_weights(self, name):
        """Writes the weights of f, g and h as they are now."""
        record, data = self.option.record(), self.data
        save_weights(self.run / name, self.method, self.epoch, record, data.names(), data.inputs())

    def selected(self):
        """{"rule", "epoch", and its figures} of the epoch that --select picks on validation images; or None."""
        rule = self.option.select
        key = "holdout_accuracy" if rule == "accuracy" else f"holdout_{rule}_accuracy"
        log = [record for record in self.run.log() if record.get(key) is not None]
        if not (rule and log):
            return None
        best = max(log, key=lambda record: record[key])
        figures = {name: value for name, value in best.items() if name.startswith(("holdout_", "test_"))}
        return {"rule": rule, "epoch": best["epoch"]} | figures

    def restore(self, state):
        """Goes back to where `state` (of `save`) was written. Raises UserError where that cannot be."""
        method = self.method
        try:
            method.f.load_state_dict(state["f"])
            method.g.load_state_dict(state["g"])
            method.h.load_split_state_dict(state["h"])
            parts, saved = method.optimizers + method.schedulers, state["optimizers"] + state["schedulers"]
            for part, its in zip(parts, saved, strict=True):
                part.load_state_dict(its)
            method.load_state(state["method"])
            self.warned = set(state["warned"])
            self.order.set_state(state["order"])
            torch.set_rng_state(state["torch_rng"])
            if self.device.type == "cuda" and state["cuda_rng"] is not None:
                torch.cuda.set_rng_state(state["cuda_rng"], self.device)
            self.epoch, self.iteration, self.seconds = state["epoch"], state["iteration"], state["seconds"]
            self.totals.copy_(state["totals"])
        except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
            raise UserError(f"{self.run / 'last.pt'} is not a checkpoint of this run ({error}); start anew") from None


def sampling_weights(train, sampling):
    """The weight with which an image is drawn, float64 (N,), on the CPU; None where each is seen once an epoch.

    sampling: as of the flag. Raises UserError without bias labels.
    """
    if sampling == "plain":
        return None
    if train.image_bias is None:
        raise UserError(f"--sampling {sampling} needs a bias label for every image; leave it out, or name its column")
    sizes = group_sizes(train.label.cpu().numpy(), train.image_bias.cpu().numpy())
    return torch.from_numpy(sizes).double() ** (-0.5 if sampling == "half" else -1)
