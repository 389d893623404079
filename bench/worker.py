"""A process of bench/neighbour.py: for each number of iterations that it reads, prints the seconds of one of them."""

import sys
import time

import torch

from bench.speed import Ours
from bench.tables import BATCH
from dataset.batches import FactoredData
from dataset.colored_mnist import build
from run.device import keep_memory

if __name__ == "__main__":
    keep_memory()
    data, cpu = build(0.02).train, torch.device("cpu")
    trainer = Ours("lntl", "float32", FactoredData(data.mask, data.color, data.label, cpu), cpu).trainer
    order = torch.randperm(len(trainer.train))
    for line in sys.stdin:
        batches = order[: (int(line) + 2) * BATCH].split(BATCH)
        for index in batches[:2]:
            trainer.iterate(index)
        start = time.perf_counter()
        for index in batches[2:]:
            trainer.iterate(index)
        print((time.perf_counter() - start) / int(line), flush=True)
