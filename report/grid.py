"""The grid: seeds x places x rows (rows.py), each cell a run folder of train.py; its workers, and their jobs on SLURM.

Run k of a cell has --random_seed k, draws its colours with --data_seed k - 1, and starts from the baseline of run k: so
the spread over runs is that of everything that chance decides. With --data_dir the colours are those of the files.
"""

import gc
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch
from tqdm import tqdm

import option as options
from common.errors import Busy, UserError, one_line
from common.files import read_json_lines
from methods import METHODS
from models.shipped import cell_name, weights_of
from report.published import ROOT
from report.records import named
from report.rows import BIASES, EPOCHS, GRIDS, Row
from run.folder import RunFolder, read_options

WORKER = "LNTL_SLURM_WORKER"  # the variable by which a job knows that it is one
WAIT = 30  # seconds between two looks at cells that other workers have
# The options that decide on a result. A start is told by its run; of precisions the tables say which a cell was run in.
DECIDE = {flag.name for flag in options.COMMON} | options.OWNED.keys()
DECIDE -= (options.FREE - {"max_step"}) | options.NOT_RECORDED | {"checkpoint", "pretrain", "precision"}
SUITE_DIR = "checkpoint/suite"  # of the data, where --data_dir is not given


def resolve(flags):
    """The options of a run that is not begun, for a list of flags, its start left open. Raises UserError."""
    given = vars(options.train_parser().parse_args(flags))
    option = options.resolve(given)
    options.check(option, given)
    return option


def name_of(table, row, place, seed):
    """The name of a run; records.named reads it."""
    if table == "colored_mnist":
        return cell_name(row.method, place, seed, row.name.removeprefix(row.method)[1:] or None)
    return f"{place}_{row.name}_seed{seed}" if table == "suite" else f"{row.name}_rho{float(place)!r}_seed{seed}"


def flags_of(table, row, place, seed, option):
    """The flags of train.py of a cell, a list. option: of reproduce.py."""
    flags = f"-e {name_of(table, row, place, seed)} --method {row.method} --random_seed {seed}".split()
    data_dir = option.data_dir
    if table == "suite":
        data_dir = str(Path(data_dir or SUITE_DIR, f"{place}_fair" if row.name == "fair" else place))
        flags += ["--dataset", "images", "--max_step", str(EPOCHS[place]), *BIASES[place].split()]
    elif data_dir is None:
        flags += ["--data_seed", str(seed - 1)]
    if table == "biased_mnist":
        flags += ["--dataset", table, "--rho", str(place)]
    if table == "colored_mnist":
        schedules = options.SCHEDULES.get(row.method, options.SCHEDULES["baseline"])
        epochs, period = schedules[option.schedule or on(option)]
        flags += f"--color_var {place} --max_step {epochs} --lr_decay_period {period}".split()
    flags += row.flags.format(epochs=EPOCHS.get(place)).split()
    machine = {name: getattr(option, name) for name in ("save_dir", "device", "threads", "precision")}
    return flags + [f"--{k}={v}" for k, v in (machine | {"data_dir": data_dir}).items() if v is not None]


def on(option):
    """ "cuda" or "cpu", where the cells will run."""
    return "cuda" if option.device == "cuda" or (option.device == "auto" and torch.cuda.is_available()) else "cpu"


def make_grid(option):
    """The cells that the flags ask for, and the baselines that they need and are not there; a baseline comes before
    what starts from it. option: of reproduce.py. Raises UserError.
    """
    grid, cells = GRIDS[option.studies or option.dataset], {}
    main = grid is GRIDS["colored_mnist"]  # of any methods, those of one's own too
    rows = [Row(method) for method in option.methods] if main and option.methods else grid.rows
    rows = [row for row in rows if row.method in (option.methods or [row.method])]
    seeds = option.seeds or ((1, 2, 3) if main and on(option) == "cuda" else grid.seeds)
    first = next((row for row in grid.rows if row.method == "baseline"), Row("baseline"))

    def add(row, place, seed):
        flags, baseline = flags_of(grid.table, row, place, seed, option), None
        resolved = resolve(flags)
        if METHODS[row.method].starts_trained(resolved) and not resolved.pretrain:
            baseline = name_of(grid.table, first, place, seed)
        cell = Cell(flags, resolved, baseline)
        if baseline and baseline not in cells and not cell.start.exists():
            add(first, place, seed)
        cells.setdefault(cell.name, cell)

    for seed in seeds:
        for place in option.color_vars or option.rhos or grid.places:
            for row in sorted(rows, key=lambda row: row.name != first.name):
                add(row, place, seed)
    return [*cells.values()]


def differing(recorded, wanted):
    """The first option that decides on a result and is another in two dictionaries, in words, or None.

    What only one of them has, or the wanted one leaves open, does not count: flags come and go with time.
    """
    for name in sorted(DECIDE & recorded.keys()):
        if wanted.get(name) is not None and (recorded[name] or None) != (wanted[name] or None):
            return f"--{name} {recorded[name]}, and its cell has {wanted[name]}"
    return None


def other_than_its_cell(record, table, option):
    """What a record has otherwise than its cell of the grid, in words, or None. option: of reproduce.py."""
    rows = {row.name: row for grid in GRIDS.values() if grid.table == table for row in grid.rows}
    parts = named(record["name"], table)
    if (row := rows.get(parts["row"])) is None:  # a method or a setting of one's own
        return None
    wanted = vars(resolve(flags_of(table, row, parts["place"], parts["seed"], option)))
    free = {"max_step": None, "lr_decay_period": None} if table == "colored_mnist" else {}  # --schedule
    return differing(record["options"], wanted | free)


class Cell(NamedTuple):
    """One run of the grid."""

    flags: list  # of train.py
    option: options.Options  # what they resolve to
    baseline: str | None  # the run whose weights it begins with

    @property
    def name(self):
        return self.option.exp_name

    @property
    def path(self):
        return Path(self.option.save_dir, self.name)

    @property
    def start(self):
        """The weights that it begins with: those of its baseline, else the shipped ones, unless of other data."""
        own, shipped = self.path.parent / self.baseline / "final.pth", weights_of(self.baseline)
        return own if own.exists() or self.option.data_dir or not shipped.exists() else shipped

    def log(self):
        """Its finished epochs."""
        return read_json_lines(self.path / "log.jsonl")

    def state(self):
        """ "to do", "begun", "finished", or what is wrong."""
        epochs = len(self.log())
        if (self.path / "diverged.json").exists():
            return "diverged"
        if other := differing(read_options(self.path), vars(self.option)):
            return f"was begun with {other}"
        if epochs >= self.option.max_step and (self.path / "metrics.json").exists():
            return "finished"
        return "begun" if epochs else "to do"

    def busy(self):
        """Whether a process has the cell at this moment."""
        return RunFolder.is_busy(self.option.save_dir, self.name)

    def run(self, train):
        """Trains it by `train(option)`, or goes on with it. Returns the exit status; raises Busy, or UserError."""
        state, start = self.state(), []
        if state == "finished":  # by another worker, just now
            return 0
        if state not in ("to do", "begun"):
            raise UserError(f"{self.path} {state}; choose another --save_dir, or delete it")
        if self.baseline and not read_options(self.path):
            if not self.start.exists():
                raise UserError(f"{self.start} is missing; train it, or put it back")
            start = [f"--checkpoint={os.path.relpath(self.start)}"]
        return train(options.train_options([*self.flags, "--continue", *start]))


def work(cells, train):
    """Runs one cell after the other until all are finished or have failed. Returns the exit status."""
    failed = {}
    while rest := [cell for cell in cells if cell.name not in failed and cell.state() != "finished"]:
        open_names = {cell.name for cell in rest}
        free = [cell for cell in rest if cell.baseline not in open_names and not cell.busy()]
        if not free:
            print(f"waiting for {len(rest)} cells that other workers have or that need them", flush=True)
            time.sleep(WAIT)
            continue
        print(f"{overview(cells)}. Now: {free[0].name}", flush=True)
        try:
            if status := free[0].run(train):
                print("stopped; to go on, give the same command again", flush=True)
                return status
        except Busy:  # another worker was faster
            continue
        except UserError as error:
            failed[free[0].name] = error
        gc.collect()  # a trainer is held by its own CUDA graph; the next cell needs the GPU's memory
    print(overview(cells))
    for name, reason in failed.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    return 1 if failed else 0


def overview(cells):
    """A line: how many cells are finished, and how long one worker has to train for the rest, by the epochs so far."""
    logs = {cell.name: cell.log() for cell in cells}
    seconds = {c.option.method: fmean(epoch["seconds"] for epoch in logs[c.name]) for c in cells if logs[c.name]}
    usual = fmean([*seconds.values()] or [0])
    left = sum((c.option.max_step - len(logs[c.name])) * seconds.get(c.option.method, usual) for c in cells)
    finished = sum(cell.state() == "finished" for cell in cells)
    time_left = f"; time left for one worker: {tqdm.format_interval(left)}" if left else ""
    return f"{finished} of {len(cells)} cells finished{time_left}"


def print_plan(cells):
    """Prints every cell with its epochs and state, and the time left."""
    for cell in cells:
        at_work = ", at work" if cell.busy() else ""
        print(f"{cell.name:38}{cell.option.max_step:5} epochs: {cell.state()}{at_work}")
    print(overview(cells))


def submit(option, flags):
    """Submits workers to SLURM, each of which runs reproduce.py with these flags, a list. Returns the job's number.

    Two minutes before its time is over, a worker gets a signal by which it saves and leaves. Raises UserError.
    """
    folder = Path(option.save_dir, "slurm")
    command = shlex.join(["env", f"{WORKER}=1", sys.executable, str(ROOT / "reproduce.py"), *flags])
    ask = ["sbatch", "--parsable", f"--partition={option.slurm}", f"--array=1-{option.workers}"]
    ask += [f"--time={option.minutes}", "--signal=B:USR1@120", f"--cpus-per-task={option.threads or 1}"]
    ask += ["--gpus-per-node=1"] if option.device == "cuda" else []
    ask += [f"--output={folder}/%A_%a.log", f"--wrap=exec {command}"]  # exec: the signal is for Python, not the shell
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        raise UserError(f"--slurm: no job ({one_line(str(reason).strip())}); it needs sbatch and a partition") from None
