"""Times an iteration of the project's trainer beside one of a straightforward rewrite of the original.

    python -m bench                                     # prints a table
    python -m bench --quick --json results/bench_X.json # fewer rounds; keeps the figures
    python -m bench --device cuda

All variants take turns within one run, so that a machine that slows down slows all of them. A figure is the median
over the rounds of the time of one iteration at batch 128, data loading included; every round begins with iterations
that are not counted.
"""

import argparse
import statistics
import sys
import time
import warnings

import torch

from bench.straightforward import Straightforward, loader
from common import Parser, new_file
from common.errors import exits
from common.files import write_json
from dataset import data_sets
from dataset.colored_mnist import build
from option import train_options
from run.device import choose_device
from run.folder import environment
from trainer import Trainer

METHODS = ("lntl", "baseline")
PRECISIONS = {"cpu": ("float32",), "cuda": ("float32", "tf32", "bfloat16")}
COLUMNS = ("reference", *PRECISIONS["cuda"])
BATCH, EPOCH = 128, 469  # images, iterations
COLOR_VAR = 0.02
UNCOUNTED = 10  # iterations at the start of a round: in the first ones, loader queues and caches fill


def settings(method, precision="float32", *more):
    """The options of train.py for one variant."""
    flags = f"-e bench --method {method} --color_var {COLOR_VAR} --random_seed 1 --precision {precision}"
    return train_options([*flags.split(), *more])


class Reference:
    """The straightforward version of a method."""

    def __init__(self, method, data, device):
        self.update = getattr(Straightforward(settings(method), device), method)
        self.loader, self.device = loader(data.images(), data.label, BATCH), device

    def seconds(self, iterations):
        """Of one iteration, on the average of `iterations`."""
        batches = iter(self.loader)
        for i in range(UNCOUNTED + iterations):
            if i == UNCOUNTED:
                start = time.perf_counter()
            self.update(*(part.to(self.device) for part in next(batches)))  # ends with reading the losses
        return (time.perf_counter() - start) / iterations


class Ours:
    """The trainer itself, in one precision."""

    def __init__(self, method, precision, device):
        option = settings(method, precision)
        self.tf32 = precision == "tf32"
        self.trainer = Trainer(option, data_sets()["colored_mnist"](option, device), None, device)
        self.trainer.method.start_epoch(0)

    def seconds(self, iterations):
        """Of one iteration, on the average of `iterations`."""
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = self.tf32
        order = torch.randperm(len(self.trainer.train)).to(self.trainer.device)
        batches = order[: (UNCOUNTED + iterations) * BATCH].split(BATCH)
        for part in batches[:UNCOUNTED], batches[UNCOUNTED:]:
            start = time.perf_counter()
            with self.trainer.step as step:  # waits for a GPU at its end
                for handle in self.trainer.train.stream(part):
                    step(handle)
        return (time.perf_counter() - start) / iterations


def measure(device, rounds, iterations):
    """Runs all variants in turns. Returns {method: {PRECISION_ms: median, None where it was not measured}}."""
    data = build(COLOR_VAR).train
    variants = {}
    for method in METHODS:
        variants[method, "reference"] = Reference(method, data, device)
        variants |= {(method, p): Ours(method, p, device) for p in PRECISIONS[device.type]}
    times = {key: [] for key in variants}
    for turn in range(rounds):
        for key, variant in variants.items():
            times[key].append(variant.seconds(iterations) * 1e3)
        print(f"round {turn + 1}/{rounds}", file=sys.stderr, flush=True)
    median = {key: statistics.median(of) for key, of in times.items()}
    return {method: {f"{name}_ms": median.get((method, name)) for name in COLUMNS} for method in METHODS}


def table(figures):
    """The figures as text, a line for each variant."""
    lines = [f"{'':26} ms an iteration  s an epoch  times as fast"]
    for method in METHODS:
        reference = figures[method]["reference_ms"]
        for name in COLUMNS:
            if ms := figures[method][f"{name}_ms"]:
                lines.append(f"{method + ' ' + name:26} {ms:15.3g} {ms * EPOCH / 1e3:11.3g} {reference / ms:14.2f}")
    return "\n".join(lines)


@exits
def main(arguments=None):
    parser = Parser(prog="-m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="writes the figures")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="[auto]")
    chosen = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", "This DataLoader will create 4 worker")  # the original has four on any machine
    device = choose_device(settings("lntl", "float32", "--device", chosen.device))
    rounds, iterations = (3, 10) if chosen.quick else (7, 20)
    if device.type == "cuda":
        iterations *= 10
    figures = {"environment": environment(), "device": device.type, "rounds": rounds, "iterations": iterations}
    figures |= measure(device, rounds, iterations)
    print(table(figures))
    if chosen.json:
        write_json(chosen.json, figures)
    return 0
