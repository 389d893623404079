"""What a busy neighbour costs an LNTL iteration, by the setting of OpenMP: `python -m bench --neighbour`.

Each setting is a process of its own, as OpenMP reads it when PyTorch is loaded. They take turns, alone and beside one
process that computes without end; a turn is a few seconds, and a figure the median over the rounds. Other work on the
machine falsifies both: `others` is what it took meanwhile, in processors; it should be close to 0.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.tables import OPENMP
from common.before_torch import OF_THE_USER, SPIN
from common.errors import UserError

SETTINGS = {  # name: environment
    OPENMP: {"GOMP_SPINCOUNT": "300000"},
    "this project's": {"GOMP_SPINCOUNT": SPIN},
    "spin 1000": {"GOMP_SPINCOUNT": "1000"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
BUSY = "while True: pass"
WORKER = (sys.executable, "-m", "bench.worker")


class Worker:
    """A process with one setting; it waits without computing until it is asked."""

    def __init__(self, setting):
        own = {name: value for name, value in os.environ.items() if name not in (*OF_THE_USER, "OMP_NUM_THREADS")}
        self.process = subprocess.Popen(
            WORKER, cwd=Path(__file__).parents[1], env=own | setting,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def seconds(self, iterations):
        """Of one iteration, on the average of `iterations`."""
        try:
            print(iterations, file=self.process.stdin, flush=True)
            return float(self.process.stdout.readline())
        except (BrokenPipeError, ValueError):
            reason = self.process.stderr.read().strip().splitlines() or ["it was killed"]
            raise UserError(f"an iteration does not run here: {reason[-1]}") from None


def measure(rounds, iterations):
    """{setting: {"alone_ms", "beside_ms", "others", "rounds": [...]}}, as plain values."""
    workers = {name: Worker(setting) for name, setting in SETTINGS.items()}
    turns = {name: {"alone": [], "beside": []} for name in SETTINGS}
    try:
        for worker in workers.values():
            worker.seconds(1)
        for turn in range(rounds):
            for name, worker in workers.items():
                for place in "alone", "beside":
                    turns[name][place].append(take_turn(worker, iterations, place == "beside"))
            print(f"round {turn + 1}/{rounds}", file=sys.stderr, flush=True)
    finally:
        for worker in workers.values():
            worker.process.kill()
            worker.process.communicate()
    return {name: summary(found) for name, found in turns.items()}


def take_turn(worker, iterations, beside):
    """(ms of an iteration, processors that other work took meanwhile or None where nobody tells)."""
    neighbour = subprocess.Popen([sys.executable, "-c", BUSY]) if beside else None
    try:
        if neighbour:
            time.sleep(0.3)  # Python starts
        own = [p.pid for p in (worker.process, neighbour) if p]
        start, before = time.perf_counter(), used_by_others(own)
        seconds = worker.seconds(iterations)
        others = None if before is None else (used_by_others(own) - before) / (time.perf_counter() - start)
    finally:
        if neighbour:
            neighbour.kill()
            neighbour.wait()
    return seconds * 1e3, others


def used_by_others(own):
    """Seconds that all processes but `own` have computed so far; None where the system does not tell."""
    try:
        user, nice, system, _, _, irq, soft, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in own]
    except (OSError, ValueError):
        return None
    ticks = user + nice + system + irq + soft - sum(int(s[11]) + int(s[12]) for s in stats)
    return ticks / os.sysconf("SC_CLK_TCK")


def summary(found):
    """Medians of one setting's turns."""
    others = [o for turns in found.values() for _, o in turns if o is not None]
    medians = {f"{place}_ms": statistics.median(ms for ms, _ in turns) for place, turns in found.items()}
    return medians | {"others": statistics.mean(others) if others else None, "rounds": found}
