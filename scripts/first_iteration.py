"""Runs train.py as it is; says when the first iteration was over, and how much memory was taken at most.

    PYTHONPATH=. python scripts/first_iteration.py FLAGS OF train.py

The last line is JSON, {"first": seconds since 1970, "megabytes"}. It stops after 20 iterations and one evaluation.
"""

import json
import resource
import signal
import sys
import time

import torch

import train
from run import progress
from run.evaluate import evaluate
from trainer import Trainer

ITERATIONS = 20
trainers, done = [], []


class Watched(Trainer):
    """The trainer, which can be reached from outside."""

    def __init__(self, *arguments, **how):
        super().__init__(*arguments, **how)
        trainers.append(self)


def watch(self, epoch, iteration, names, measured):
    """In place of Progress.iteration: notes the time; after the last one, evaluates and stops."""
    if measured[0].is_cuda:
        torch.cuda.synchronize()
    done.append(time.time())
    if len(done) == ITERATIONS:
        evaluate(trainers[0].method.f, trainers[0].method.g, trainers[0].test["test_accuracy"])
        trainers[0].stop = signal.SIGTERM


if __name__ == "__main__":
    train.Trainer, progress.Progress.iteration = Watched, watch
    train.main()
    kilobyte = 1e3 if sys.platform == "linux" else 1e6
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / kilobyte
    print(json.dumps({"first": done[0], "megabytes": megabytes}))
