"""Times an iteration of the project's trainer beside one of a straightforward rewrite of the original.

    python -m bench --device cuda --json results/bench_X.json

All variants take turns within one run, so that a machine that slows down slows all of them. A figure is the median
over the rounds of the time of one iteration at batch 128, data loading included; every round begins with iterations
that are not counted.
"""

import itertools
import statistics
import time

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from bench.straightforward import Images, Straightforward
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
BATCH, ROUNDS = 128, 7
ITERATIONS = {"cpu": 20, "cuda": 200}  # of a round
COLOR_VAR = 0.02
UNCOUNTED = 10  # iterations at the start of a round: in the first ones, loader queues and caches fill


def settings(method, precision="float32", *more):
    """The options of train.py for one variant."""
    flags = f"-e bench --method {method} --color_var {COLOR_VAR} --random_seed 1 --precision {precision}"
    return train_options([*flags.split(), *more])


def reference(method, data, device):
    """A function (iterations) that runs the straightforward version of a method."""
    update = getattr(Straightforward(settings(method), device), method)
    loader = DataLoader(Images(data.images(), data.label), BATCH, shuffle=True, num_workers=4)  # as the original
    batches = itertools.chain.from_iterable(itertools.repeat(loader))

    def run(iterations):
        for batch in itertools.islice(batches, iterations):
            update(*(part.to(device) for part in batch))  # ends with reading the losses

    return run


def ours(method, precision, device):
    """A function (iterations) that runs the trainer itself in one precision."""
    option = settings(method, precision)
    trainer = Trainer(option, data_sets()["colored_mnist"](option, device), None, device)
    trainer.method.start_epoch(0)

    def run(iterations):
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        order = torch.randperm(len(trainer.train)).to(trainer.device)
        with trainer.step as step:  # waits for a GPU at its end
            for handle in trainer.train.stream(order[: iterations * BATCH].split(BATCH)):
                step(handle)

    return run


def measure(device):
    """Runs all variants in turns. Returns {method: {PRECISION_ms: median, None where it was not measured}}."""
    data = build(COLOR_VAR).train
    variants = {(method, "reference"): reference(method, data, device) for method in METHODS}
    variants |= {(m, p): ours(m, p, device) for m in METHODS for p in PRECISIONS[device.type]}
    times, iterations = {key: [] for key in variants}, ITERATIONS[device.type]
    for _ in tqdm(range(ROUNDS)):
        for key, run in variants.items():
            run(UNCOUNTED)
            start = time.perf_counter()
            run(iterations)
            times[key].append((time.perf_counter() - start) / iterations * 1e3)
    median = {key: statistics.median(of) for key, of in times.items()}
    return {method: {f"{name}_ms": median.get((method, name)) for name in COLUMNS} for method in METHODS}


@exits
def main(arguments=None):
    parser = Parser(prog="-m bench", description="Times the trainer beside a straightforward version of it.")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="writes the figures")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="[auto]")
    chosen = parser.parse_args(arguments)
    device = choose_device(settings("lntl", "float32", "--device", chosen.device))
    figures = {"environment": environment(), "device": device.type, "rounds": ROUNDS}
    figures |= {"iterations": ITERATIONS[device.type]} | measure(device)
    for method, name in itertools.product(METHODS, COLUMNS):
        if ms := figures[method][f"{name}_ms"]:
            faster = figures[method]["reference_ms"] / ms
            print(f"{method} {name}: {ms:.3g} ms an iteration, {faster:.2f} times as fast")
    if chosen.json:
        write_json(chosen.json, figures)
    return 0
