"""The baseline, f and g alone, and what every method has in common with it."""

import math

import torch
from torch.nn import functional as F

from models import BiasPredictor, FeatureExtractor, LabelClassifier

WARM_UP = 0.2  # of a run, in which the learning rate of one cycle rises


def one_cycle(done):
    """The share of the learning rate when the share `done` of a run is over: up along a line, down along a cosine."""
    if done < WARM_UP:
        return done / WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * min(1, (done - WARM_UP) / (1 - WARM_UP)))


def label_accuracy(logits, y):
    """Share of the batch that is classified right, 0-dimensional."""
    return (logits.argmax(1) == y).float().mean()


class Baseline:
    """f and g learn the labels, and with them the bias. It is the pretraining of the others too.

    A method is a subclass with a `name`, in a file of this folder. What it says of itself:
    """

    name = "baseline"
    title = "Baseline"  # in tables and figures
    help = "f and g alone; the start of lntl and blindeye"  # for train.py --help
    flags = ()  # common.Flag; a flag that has them is refused for methods that have not
    defaults = {"lr": 0.01}  # noqa: RUF012  of common flags, where the data set has no other
    always = {}  # noqa: RUF012  of common flags, on every data set
    ranges = {"lr": (1e-4, 1e-2), "weight_decay": (1e-5, 1e-2)}  # noqa: RUF012  in which tune.py draws settings
    needs_pixels = False  # whether it mixes images, so that their factored form will not do
    from_baseline = False  # whether it starts from the weights of a trained baseline; else from random ones
    trains_h = False
    updates = True  # whether an epoch has updates
    grey = False  # whether it sees the luma of the images
    metrics = ("cls_loss", "accuracy")  # what `update` returns; run/health.py looks at `accuracy` and `bias_loss`

    def __init__(self, option, device="cpu", dtype=torch.float32, networks=None):
        """option: option.Options. networks: (f, g, h), torch modules [the paper's]."""
        self.option = option
        self.device = torch.device(device)
        self.f, self.g, self.h = networks or (FeatureExtractor(), LabelClassifier(), BiasPredictor())
        # For small images on a CPU, channels_last is slower: Adam copies the gradients of such weights in every update.
        small = self.device.type == "cpu" and (getattr(option, "image_size", None) or 1024) <= 64
        layout = torch.contiguous_format if small else torch.channels_last
        for network in self.networks().values():
            network.to(device=device, dtype=dtype, memory_format=layout).train()
        self.optim_fg = self.optimizer([*self.f.parameters(), *self.g.parameters()])
        self.optim_h = self.optimizer([*self.h.parameters()])
        self.optimizers = [self.optim_fg, self.optim_h] if self.trains_h else [self.optim_fg]
        self.schedulers = [self.schedule(optim) for optim in self.optimizers]

    def optimizer(self, parameters):
        option, on_gpu = self.option, self.device.type == "cuda"
        how = {"lr": option.lr, "weight_decay": option.weight_decay}
        if getattr(option, "optimizer", "sgd") == "adam":  # its count of steps is part of a CUDA graph
            return torch.optim.Adam(parameters, fused=True, capturable=on_gpu, **how)
        return torch.optim.SGD(parameters, momentum=option.momentum, fused=on_gpu, **how)

    def schedule(self, optimizer):
        """The learning rate's: cut every `lr_decay_period` epochs (official); 0: one cycle over the run.

        By epoch and not by iteration, as a change of the rate makes a CUDA graph anew.
        """
        if self.option.lr_decay_period:
            return torch.optim.lr_scheduler.StepLR(optimizer, self.option.lr_decay_period, self.option.lr_decay_rate)
        return torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda epoch: one_cycle((epoch + 0.5) / self.option.max_step)
        )

    @classmethod
    def check(cls, option):
        """Raises UserError where flags of its own cannot go together."""

    @classmethod
    def starts_trained(cls, option):
        """Whether a run with these options begins with trained weights of f and g; if not, with random ones."""
        return bool(option.checkpoint or getattr(option, "pretrain", 0)) or (
            cls.from_baseline and not option.from_scratch
        )

    def networks(self):
        """{"f": f, "g": g, "h": h}."""
        return {"f": self.f, "g": self.g, "h": self.h}

    def autocast(self):
        """The precision of the arithmetic: bfloat16 where asked for, else that of the weights."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.option.precision == "bfloat16")

    def prepare(self, train, weights=None):
        """Called with the training part before anything else. weights: with which its images are drawn [equal ones]."""

    def state(self):
        """What a run needs beside networks and optimisers to go on, {name: tensor or number}."""
        return {}

    def load_state(self, state):
        """Loads what `state` returned."""

    def finish(self, train, held_out):
        """Called after the last update of a run, before the last evaluation. held_out: validation images, or None."""

    def start_epoch(self, epoch):
        """Called before each epoch, counted from 0."""

    def constants(self):
        """The numbers of an update that change from epoch to epoch."""
        return self.schedulers[0].get_last_lr()

    def end_epoch(self):
        """Called after each epoch: the learning rates' schedule."""
        if self.updates:
            for scheduler in self.schedulers:
                scheduler.step()

    def label_loss(self, logits, x, y, b):
        """What f and g learn the labels by. logits: float (B, classes) of g, not below float32. Others: of `update`."""
        return F.cross_entropy(logits, y)

    def step(self, loss):
        """One step of f and g down `loss`, a 0-dimensional tensor."""
        self.optim_fg.zero_grad()
        loss.backward()
        self.optim_fg.step()

    def update(self, x, y, b):
        """One iteration on one batch. Returns the means over the batch named in `metrics`, 0-dimensional tensors.

        x: of `train.batch` (dataset.batches): ColoredMasks, or float (B, 3, H, W). y: int64 (B,). b: int64
        (B, heads, h, w), as of a map, or (B, heads, 1, 1), one an image; IGNORE_INDEX where there is none.
        """
        with self.autocast():
            logits = self.g(self.f(x))
            loss = self.label_loss(logits, x, y, b)
        self.step(loss)
        return loss, label_accuracy(logits, y)
