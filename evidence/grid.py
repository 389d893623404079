"""The grid: methods x variances x runs, or the named settings of studies.py; a cell is a run folder of train.py.

Run k of a cell has --random_seed k, draws its colours with --data_seed k - 1, and starts from the baseline of run k: so
the spread over runs is that of everything that chance decides. With --data_dir the colours are those of the files.
"""

import copy
import operator
import os
import statistics
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

import option as options
from common import same_path
from common.errors import UserError
from common.files import read_json_lines
from evidence import studies
from evidence.records import ALIKE
from evidence.settings import STARTS, baseline
from methods import METHODS, method_class
from models.shipped import cell_name, weights_of
from run.compare import PUBLISHED
from run.folder import RESULT_FREE, RunFolder, read_options
from run.recorded import FROM_BEFORE

PAPER = tuple(PUBLISHED)  # the methods of the paper's table
SEEDS = {"cpu": [1], "cuda": [1, 2, 3]}
FREE = RESULT_FREE - {"max_step"} | {"checkpoint", "average"}  # options of which a cell's result does not depend


DIVERGED = "diverged"


class Progress(NamedTuple):
    """How far a cell is."""

    state: str  # "to do", "begun", "finished", DIVERGED, or what is wrong
    epoch: int  # finished ones
    seconds: float | None  # of training an epoch, the mean; None before the first


def differing(recorded, wanted, precisions=ALIKE):
    """The first option of which a run's result depends, and that is another in two dictionaries; None without one.

    Flags come with time: one that only one of them has is left out. precisions: that stand for each other.
    """
    recorded = recorded and FROM_BEFORE | recorded
    alike = {"data_dir": same_path, "precision": lambda a, b: a == b or {a, b} <= precisions}
    for name in sorted(recorded.keys() & wanted.keys() - FREE):
        same = alike.get(name, operator.eq)
        if not same(recorded[name], wanted[name]):
            return name
    return None


class Cell:
    """One run of the grid."""

    def __init__(self, option, start, baseline, precisions=ALIKE):
        """option: as train.py resolved it. start: the run whose weights it begins with, or None for random ones.

        baseline: the cell of that run where it belongs to the grid; else its weights are shipped. precisions: as of
        `differing`.
        """
        self.option, self.start, self.baseline, self.precisions = option, start, baseline, precisions
        self.name, self.path = option.exp_name, Path(option.save_dir, option.exp_name)

    def progress(self):
        """Reads how far the cell is, whoever runs it."""
        try:
            recorded = read_options(self.path)
            log = read_json_lines(self.path / "log.jsonl")
            seconds = statistics.fmean(r["seconds"] for r in log) if log else None
        except (UserError, ValueError, KeyError, TypeError):
            return Progress("damaged", 0, None)
        if (self.path / "diverged.json").exists():
            return Progress(DIVERGED, len(log), seconds)
        if name := differing(recorded, vars(self.option), self.precisions):
            was, value = (FROM_BEFORE | recorded)[name], getattr(self.option, name)
            return Progress(f"was begun with --{name} {was}, not {value}", len(log), seconds)
        if len(log) >= self.option.max_step and (self.path / "metrics.json").exists():
            return Progress("finished", len(log), seconds)
        return Progress("begun" if log else "to do", len(log), seconds)

    def finished(self):
        return self.progress().state == "finished"

    def busy(self):
        """Whether a process has the cell at this moment."""
        return RunFolder.is_busy(self.option.save_dir, self.name)

    def run(self, train):
        """Trains it by `train(option)`, or goes on with it. Returns the exit status; raises Busy, or UserError."""
        progress = self.progress()
        if progress.state.startswith("was begun with"):
            raise UserError(f"{self.path} {progress.state}; choose another --save_dir, or delete it")
        option = copy.copy(self.option)
        if RunFolder.holds_a_run(option.save_dir, self.name):
            recorded = read_options(self.path)
            option.checkpoint = recorded.get("checkpoint")
            option.threads = option.threads or recorded.get("threads")
        elif self.start:
            own, shipped = Path(option.save_dir, self.start, "final.pth"), weights_of(self.start)
            option.checkpoint = os.path.relpath(shipped) if shipped.exists() and not own.exists() else str(own)
            if not Path(option.checkpoint).exists():
                raise UserError(f"{option.checkpoint} is missing; put it back, or delete the rest of its folder")
        return train(option)


def where(option):
    """The flags of train.py that reproduce.py hands on to every cell; a setting's own come behind them."""
    names = ("save_dir", "data_dir", "device", "threads", "precision")
    return [f"--{name}={value}" for name in names if (value := getattr(option, name)) is not None]


def make_grid(option):
    """The cells that the flags ask for, and the baselines that they need and are not shipped. Raises UserError.

    Run s starts from the baseline of run s, unless its setting names another start.
    """
    device = "cuda" if option.device == "cuda" or (option.device == "auto" and torch.cuda.is_available()) else "cpu"
    cells = {}

    def add(method, color_var, seed, setting=None):
        name = cell_name(method, color_var, seed, setting and setting.name)
        if name not in cells:
            epochs, period = METHODS[method].schedule[option.schedule or device]
            if setting:
                epochs, period = setting.epochs, setting.period
            elif option.epochs:
                epochs, period = option.epochs, max(1, round(0.4 * option.epochs))
            flags = f"-e {name} --method {method} --color_var {color_var} --random_seed {seed} --continue"
            flags = [*flags.split(), "--max_step", str(epochs), "--lr_decay_period", str(period)]
            if option.data_dir is None:
                flags += ["--data_seed", str(seed - 1)]  # a setting may name another draw
            if METHODS[method].averages and not setting:
                flags += ["--average", str(min(METHODS[method].averages, epochs))]
            flags += where(option)
            flags += setting.flags.split() if setting else []
            resolved = options.resolve_training(options.train_parser().parse_args(flags))
            start, first_cell = None, None
            if method_class(resolved).starts_trained(resolved):
                first = STARTS[setting.start] if setting and setting.start else baseline()
                own_seed = first.seed or seed
                start = cell_name(first.method, color_var, own_seed, first.name)
                own = Path(option.save_dir, start, "final.pth")
                on_files = option.data_dir is not None  # the shipped weights saw other colours
                if start in cells or own.exists() or on_files or not weights_of(start).exists():
                    first_cell = add(first.method, color_var, own_seed, first if first.name else None)
            cells[name] = Cell(resolved, start, first_cell, setting.precisions if setting else ALIKE)
        return cells[name]

    for setting in (s for name in option.studies or [] for s in studies.STUDIES[name]):
        for seed in option.seeds or [setting.seed or 1]:
            add(setting.method, setting.color_var, seed, setting)
    for seed in [] if option.studies else option.seeds or SEEDS[device]:
        for method in sorted(option.methods, key=lambda m: (m != "baseline", m != "lntl")):  # in the order of need
            for color_var in option.color_vars:
                add(method, color_var, seed)
    return [*cells.values()]


def time_left(cells, progress):
    """Seconds of training of all that is not finished, by the epochs measured so far: of the same method, else of any.

    progress: {name: Progress}. Returns None where no epoch has been measured.
    """
    measured = {}
    for cell in cells:
        if seconds := progress[cell.name].seconds:
            measured.setdefault(cell.option.method, []).append(seconds)
    if not measured:
        return None
    mean = {method: statistics.fmean(values) for method, values in measured.items()}
    any_method = statistics.fmean(mean.values())
    left = 0
    for cell in (c for c in cells if progress[c.name].state != DIVERGED):
        epochs = max(0, cell.option.max_step - progress[cell.name].epoch)
        left += epochs * mean.get(cell.option.method, any_method)
    return left


def overview(cells, workers):
    """A line: how many cells are finished, and the time left for the grid with so many workers."""
    progress = {cell.name: cell.progress() for cell in cells}
    states = [p.state for p in progress.values()]
    lost = f", {states.count(DIVERGED)} diverged" if DIVERGED in states else ""
    seconds = time_left(cells, progress)
    left = "not known before the first epoch" if seconds is None else tqdm.format_interval(seconds / workers)
    return f"{states.count('finished')} of {len(cells)} cells finished{lost}; time left with {workers} at work: {left}"


def print_plan(cells):
    """Prints every cell with its schedule and state, and the time left."""
    running = 0
    for cell in cells:
        progress, option = cell.progress(), cell.option
        state = f"begun at epoch {progress.epoch}" if progress.state == "begun" else progress.state
        if progress.state in ("begun", "to do") and cell.busy():
            running += 1
            state = f"running elsewhere, at epoch {progress.epoch}"
        start = f", after {cell.baseline.name}" if cell.baseline else ""
        print(f"{cell.name:38}{option.max_step:5} epochs, cut every {option.lr_decay_period}{start}: {state}")
    print(overview(cells, max(1, running)))
