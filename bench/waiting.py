"""How much of an epoch on images of one's own is spent waiting for them.

    python -m bench.waiting                                       # ResNet-18 at 64 pixels, 1,280 JPEGs of 256 pixels
    python -m bench.waiting --json results/waiting_MACHINE.json   # keeps the figures

The same images twice: decoded once and kept as bytes, and read ahead by other processes, as a set that does not fit
into the memory. One epoch each of the baseline, behind one that is not counted. The share is the time in which the
training had nothing to do but wait for the next batch.
"""

import argparse
import csv
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import option as options
from bench import tables
from common import Parser, new_file, number
from common.errors import exits
from common.files import write_json
from dataset.base import DataSet
from dataset.image_batches import load
from dataset.tables import read_table
from run.device import choose_device
from run.folder import environment
from trainer import Trainer

SIDE, SIZE, BATCH = 256, 64, 64  # pixels of the files and of the network's input, images a batch


def make(folder, count):
    """Writes `count` JPEGs of smooth random colours, half of each class and bias, and their metadata.csv."""
    rng = np.random.RandomState(0)
    rows = [("filename", "y", "bias", "split")]
    for i in range(count + 8):
        coarse = Image.fromarray(rng.randint(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(Path(folder, f"{i}.jpg"), quality=90)
        rows.append((f"{i}.jpg", i % 2, i // 2 % 2, 0 if i < count else 2))
    with open(Path(folder, "metadata.csv"), "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def one_epoch(table, device, memory):
    """(seconds of reading before the first epoch, seconds of an epoch, seconds of it spent waiting).

    memory: bytes that the images may take.
    """
    flags = f"-e bench --dataset images --network resnet18 --method baseline --random_seed 1 --batch_size {BATCH}"
    given = [*flags.split(), f"--data_dir={Path(table.source).parent}"]
    option = options.resolve_training(options.train_parser().parse_args(given))
    start = time.perf_counter()
    parts, _ = load(table, SIZE, device, memory=memory, show=False)
    before = time.perf_counter() - start
    data = DataSet.of(parts[0])
    data.classes, data.values, data.map_bias = table.classes, table.values, False
    trainer = Trainer(option, data, None, device)
    for _ in range(2):
        trainer.train.waited = 0.0
        start = time.perf_counter()
        with trainer.step as step:
            for handle in trainer.train.stream(torch.randperm(len(trainer.train)).to(device).split(BATCH)):
                step(handle)
        seconds = time.perf_counter() - start
    return before, seconds, trainer.train.waited


@exits
def main(arguments=None):
    parser = Parser(prog="-m bench.waiting", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=number(int, 64, 10**6), default=1280, help="training images [1280]")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="writes the figures")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="[auto]")
    parser.add_argument("--threads", type=number(int, 1, 1024), help="CPU threads [PyTorch's own choice]")
    chosen = parser.parse_args(arguments)
    flags = ["-e", "bench", "--device", chosen.device, *(["--threads", str(chosen.threads)] if chosen.threads else [])]
    device = choose_device(options.resolve_training(options.train_parser().parse_args(flags)))
    with tempfile.TemporaryDirectory() as folder:
        make(folder, chosen.images)
        table = read_table(folder)
        figures = {"environment": environment(), "images": chosen.images, "size": SIZE}
        figures |= {"in memory": one_epoch(table, device, None), "read ahead": one_epoch(table, device, 0)}
    print(tables.waiting(figures))
    if chosen.json:
        write_json(chosen.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
