"""Measures the speed of the project's trainer against a straightforward rewrite of the original, side by side.

    python -m bench                                     # prints a table
    python -m bench --quick --json results/bench_X.json # at most three minutes; keeps the figures
    python -m bench --device cuda
    python -m bench --neighbour                         # instead: alone and beside a busy process (bench/neighbour.py)

All variants take turns within one run, so that a machine that slows down slows all of them. A figure is the median
over the rounds of the time of one iteration at batch 128, data loading included; every round begins with iterations
that are not counted. The matrix product is this machine's own yardstick: the best rate that it reaches is its peak.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

import option as options
from bench import neighbour
from bench.straightforward import Straightforward, loader
from bench.tables import BATCH, MATRIX, METHODS, PRECISIONS, beside, table
from common import Parser, new_file, number
from common.errors import UserError, exits
from common.files import write_json
from dataset.base import DataSet
from dataset.batches import FactoredData, ImageData
from dataset.colored_mnist import build
from run.device import choose_device, emulates_bfloat16, matrix_rate
from run.folder import environment
from trainer import Trainer

ROOT = Path(__file__).resolve().parents[1]
COLOR_VAR = 0.02
UNCOUNTED = 10  # iterations at the start of a round: in the first ones, loader queues and caches fill


def settings(method, precision="float32", *more):
    """The options of train.py for one variant."""
    flags = f"-e bench --method {method} --color_var {COLOR_VAR} --random_seed 1 --precision {precision}"
    return options.resolve_training(options.train_parser().parse_args([*flags.split(), *more]))


class Reference:
    """The straightforward version of a method."""

    def __init__(self, method, images, label, device):
        self.update = getattr(Straightforward(settings(method), device), method)
        self.loader, self.device = loader(images, label, BATCH), device

    def seconds(self, iterations):
        """Of one iteration, on the average of `iterations`."""
        batches = iter(self.loader)
        for i in range(UNCOUNTED + iterations):
            if i == UNCOUNTED:
                start = time.perf_counter()
            x, y, b = next(batches)
            self.update(x.to(self.device), y.to(self.device), b.to(self.device))  # ends with reading the losses
        return (time.perf_counter() - start) / iterations


class Ours:
    """The trainer itself, in one precision."""

    def __init__(self, method, precision, data, device):
        option = settings(method, precision)
        self.tf32 = precision == "tf32"
        self.trainer = Trainer(option, DataSet.of(data), None, device)
        self.trainer.method.start_epoch(0)

    def seconds(self, iterations):
        """Of one iteration, on the average of `iterations`."""
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = self.tf32
        order = torch.randperm(len(self.trainer.train)).to(self.trainer.device)
        batches = order[: (UNCOUNTED + iterations) * BATCH].split(BATCH)
        for part in batches[:UNCOUNTED], batches[UNCOUNTED:]:
            start = time.perf_counter()
            with self.trainer.step as step:  # waits for a GPU at its end
                for index in part:
                    step(index)
        return (time.perf_counter() - start) / iterations


def needed_gflop(method, data):
    """GFLOP that the convolutions and the matrix product of one iteration need on plain images."""
    trainer = Trainer(settings(method), DataSet.of(data), None, torch.device("cpu"))
    trainer.method.start_epoch(0)
    with FlopCounterMode(display=False) as counter:
        trainer.iterate(torch.arange(BATCH))
    return counter.get_total_flops() / 1e9


def measure(device, rounds, iterations):
    """Runs all variants in turns. Returns the figures as plain values."""
    start = time.perf_counter()
    data = build(COLOR_VAR).train
    figures = {"data_seconds": time.perf_counter() - start}
    images = data.mask[..., None] * data.color[:, None, None, :]
    precisions = [p for p in PRECISIONS if device.type == "cuda" or p != "tf32"]
    if device.type == "cpu" and emulates_bfloat16():  # an iteration would take a minute
        precisions.remove("bfloat16")
        rate = matrix_rate(torch.bfloat16, device, 256)
        figures["bfloat16"] = f"not measured: without hardware for it here ({rate:.1f} GFLOP/s)"

    variants = {}
    for method in METHODS:
        variants[method, "reference"] = Reference(method, images, data.label, device)
        for precision in precisions:
            mask_dtype = torch.bfloat16 if precision == "bfloat16" else None
            ours = FactoredData(data.mask, data.color, data.label, device, mask_dtype=mask_dtype)
            variants[method, precision] = Ours(method, precision, ours, device)
    times = {name: [] for name in variants}
    peak = dict.fromkeys(("float32", "bfloat16"), 0.0)
    for turn in range(rounds):
        for kind in peak:
            if kind in precisions:
                peak[kind] = max(peak[kind], matrix_rate(getattr(torch, kind), device, MATRIX))
        for name, variant in variants.items():
            times[name].append(variant.seconds(iterations))
        print(f"round {turn + 1}/{rounds}", file=sys.stderr, flush=True)

    figures["matrix_gflops"] = {kind: rate or None for kind, rate in peak.items()}
    for method in METHODS:
        medians = {p: statistics.median(times[method, p]) * 1e3 for p in ("reference", *precisions)}
        figures[method] = {f"{p}_ms": medians.get(p) for p in ("reference", *PRECISIONS)}
        figures[method]["rounds_ms"] = {p: [t * 1e3 for t in times[method, p]] for p in medians}
        figures[method]["gflop"] = needed_gflop(method, ImageData(images[:BATCH], data.label[:BATCH]))
    return figures


def start_up(device):
    """{"start_seconds": from the command to the end of the first LNTL iteration, "peak_memory_mb"}."""
    with tempfile.TemporaryDirectory() as folder:
        flags = f"-e bench --color_var {COLOR_VAR} --random_seed 1 --device {device.type} --from_scratch --save_dir"
        start = time.time()
        line = [sys.executable, "scripts/first_iteration.py", *flags.split(), folder]
        own = os.environ | {"PYTHONPATH": str(ROOT)}
        child = subprocess.run(line, cwd=ROOT, env=own, capture_output=True, text=True)
    if child.returncode != 0:
        raise UserError(f"train.py does not run here: {child.stderr.strip().splitlines()[-1]}")
    last = json.loads(child.stdout.splitlines()[-1])
    return {"start_seconds": last["first"] - start, "peak_memory_mb": last["megabytes"]}


def beside_another(chosen):
    """`--neighbour`. Returns the exit status."""
    rounds, iterations = (3, 5) if chosen.quick else (7, 10)
    figures = {"environment": environment(), "rounds": rounds, "iterations": iterations}
    figures["settings"] = neighbour.measure(rounds, iterations)
    print(beside(figures))
    if chosen.json:
        write_json(chosen.json, figures)
    return 0


@exits
def main(arguments=None):
    parser = Parser(prog="-m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, at most three minutes")
    parser.add_argument("--neighbour", action="store_true", help="what a busy process beside it costs instead")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="writes the figures")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=number(int, 1, 1024), help="CPU threads")
    chosen = parser.parse_args(arguments)
    if chosen.neighbour:
        return beside_another(chosen)
    warnings.filterwarnings("ignore", "This DataLoader will create 4 worker")  # the original has four on any machine
    flags = ["--device", chosen.device, *(["--threads", str(chosen.threads)] if chosen.threads else [])]
    device = choose_device(settings("lntl", "float32", *flags))
    rounds, iterations = (3, 10) if chosen.quick else (7, 20)
    if device.type == "cuda":
        iterations *= 10
    figures = {"environment": environment(), "device": device.type, "rounds": rounds, "iterations": iterations}
    figures |= measure(device, rounds, iterations) | start_up(device)
    print(table(figures))
    if chosen.json:
        write_json(chosen.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
