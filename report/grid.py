"""The grid: rows x places x seeds (rows.py), each cell a run folder of train.py; its workers, and their jobs on SLURM.

Run k of a cell has --random_seed k, draws its colours with --data_seed k - 1, and starts from the baseline of run k: so
the spread over runs is that of everything that chance decides. With --data_dir the colours are those of the files.
"""

import gc
import operator
import os
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch
from tqdm import tqdm

import option as options
from common import same_path
from common.errors import Busy, UserError
from common.files import read_json_lines
from methods import method_class
from models.shipped import cell_name, weights_of
from report.published import ROOT
from report.records import FREE, named, precision_class
from report.rows import AVERAGE, GRIDS, SCHEDULES, Row
from run.folder import RunFolder, read_options

WAIT = 5  # seconds between two looks at cells that other workers have
DIVERGED = "diverged"
PHOTOGRAPHS = (
    "--dataset images --network resnet18 --image_size 64 --init random --batch_size 32 --max_step 10 --save_step 5"
)
TEN_EPOCHS = "--dataset biased_mnist --max_step 10 --lr_decay_period 4"
FOLDERS = {"images": "checkpoint/cutouts", "suite": "checkpoint/suite"}  # of the data, where --data_dir is not given


def resolve(flags):
    """The options of train.py for a list of flags. Raises UserError."""
    return options.resolve_training(options.train_parser().parse_args(flags))


def name_of(table, row, place, seed):
    """The name of a run; records.named reads it."""
    if table == "colored_mnist":
        return cell_name(row.method, place, seed, row.name.removeprefix(row.method)[1:] or None)
    before, after = (
        f"{place}_" if table == "suite" else "",
        f"_rho{float(place)!r}" if table == "biased_mnist" else "",
    )
    return f"{before}{row.name}{after}_seed{seed}"


def flags_of(table, row, place, seed, option):
    """The flags of train.py of a cell, a list. option: of reproduce.py."""
    flags = f"-e {name_of(table, row, place, seed)} --method {row.method} --random_seed {seed} --continue ".split()
    data_dir = option.data_dir
    if table in FOLDERS:
        folder = Path(data_dir or FOLDERS[table], place)
        data_dir = f"{folder}{'_fair' if row.name == 'fair' else ''}"
        flags += (PHOTOGRAPHS if table == "images" else "--dataset images").split()
    elif data_dir is None:
        flags += ["--data_seed", str(seed - 1)]
    if table == "biased_mnist":
        flags += [*TEN_EPOCHS.split(), "--rho", str(place)]
    if table == "colored_mnist":
        usual = SCHEDULES.get(row.method, SCHEDULES["baseline"])[option.schedule or on(option)]
        epochs, period = (option.epochs, max(1, round(0.4 * option.epochs))) if option.epochs else usual
        flags += f"--color_var {place} --max_step {epochs} --lr_decay_period {period}".split()
        if average := AVERAGE.get(row.name):
            flags += ["--average", str(min(average, epochs))]
    machine = {name: getattr(option, name) for name in ("save_dir", "device", "threads", "precision")}
    flags += [f"--{name}={value}" for name, value in (machine | {"data_dir": data_dir}).items() if value is not None]
    return [*flags, *row.flags.split()]


def on(option):
    """ "cuda" or "cpu", where the cells will run."""
    return "cuda" if option.device == "cuda" or (option.device == "auto" and torch.cuda.is_available()) else "cpu"


def make_grid(option):
    """The cells that the flags ask for, and the baselines that they need and are not shipped; a baseline comes before
    what starts from it. option: of reproduce.py. Raises UserError.
    """
    grid, cells = GRIDS[option.studies or option.dataset], {}
    main = grid is GRIDS["colored_mnist"]  # of any methods, those of one's own too
    rows = [Row(m) for m in option.methods] if main and option.methods else grid.rows
    rows = [row for row in rows if row.method in (option.methods or [row.method])]
    seeds = option.seeds or ((1, 2, 3) if main and on(option) == "cuda" else grid.seeds)

    def add(row, place, seed):
        name = name_of(grid.table, row, place, seed)
        if name not in cells:
            flags = flags_of(grid.table, row, place, seed, option)
            resolved, start, needs = resolve(flags), None, None
            if method_class(resolved).starts_trained(resolved):
                begun = name_of(grid.table, Row("baseline"), place, seed)
                start, shipped = Path(option.save_dir, begun, row.start), weights_of(begun)
                on_files = grid.table != "colored_mnist" or option.data_dir is not None  # shipped ones saw other images
                if begun in cells or start.exists() or on_files or not shipped.exists():
                    needs = add(Row("baseline"), place, seed)
                else:
                    start = shipped
            cells[name] = Cell(grid.table, flags, resolved, start, needs)
        return cells[name]

    for seed in seeds:
        for row in sorted(rows, key=lambda row: (row.name != "baseline", row.name != "lntl")):
            for place in option.color_vars or option.rhos or grid.places:
                add(row, place, seed)
    return [*cells.values()]


def differing(recorded, wanted, table):
    """The first option of which a run's result depends, and that is another in two dictionaries; None without one.

    Flags come with time: one that only one of them has is left out.
    """
    parts = named(wanted["exp_name"], table)

    def as_precise(a, b):
        return len({precision_class(parts["row"], parts["place"], value) for value in (a, b)}) == 1

    alike = {"data_dir": same_path, "precision": as_precise}
    for name in sorted(recorded.keys() & wanted.keys() - FREE):
        if not alike.get(name, operator.eq)(recorded[name], wanted[name]):
            return name
    return None


def other_than_its_cell(option, table):
    """A function for records.add: (record) -> what it has otherwise than its cell of the grid, or None."""

    def told(record):
        parts, recorded = named(record["name"], table), record["options"]
        grids = [grid for grid in GRIDS.values() if grid.table == table]
        row = next((row for grid in grids for row in grid.rows if row.name == parts["row"]), None)
        if table == "colored_mnist" and parts["row"] == parts["method"]:
            row = Row(parts["method"])
        if row is None:
            return None if table == "colored_mnist" else f"there is no row {parts['row']} (report/rows.py has them)"
        wanted = vars(resolve(flags_of(table, row, parts["place"], parts["seed"], option)))
        if table == "colored_mnist":
            wanted = {k: v for k, v in wanted.items() if k not in ("max_step", "lr_decay_period")}
        name = differing(recorded, wanted, table)
        return name and f"it was trained with --{name} {recorded[name]}, and its cell has {wanted[name]}"

    return told


# -------------------------------------------------------------------------------------------------- cells


class Progress(NamedTuple):
    """How far a cell is."""

    state: str  # "to do", "begun", "finished", DIVERGED, or what is wrong
    epoch: int  # finished ones
    seconds: float | None  # of training an epoch, the mean; None before the first


class Cell:
    """One run of the grid."""

    def __init__(self, table, flags, option, start, needs):
        """flags: of train.py. option: what they resolve to. start: path of the weights that it begins with, or None.

        needs: the cell that makes these, where it belongs to the grid.
        """
        self.table, self.flags, self.option, self.start, self.needs = table, flags, option, start, needs
        self.name, self.path = option.exp_name, Path(option.save_dir, option.exp_name)

    def progress(self):
        """Reads how far the cell is, whoever runs it."""
        try:
            recorded, log = read_options(self.path), read_json_lines(self.path / "log.jsonl")
            seconds = fmean(r["seconds"] for r in log) if log else None
        except (UserError, ValueError, KeyError, TypeError):
            return Progress("damaged", 0, None)
        if (self.path / "diverged.json").exists():
            return Progress(DIVERGED, len(log), seconds)
        if name := differing(recorded, vars(self.option), self.table):
            was, wanted = recorded[name], getattr(self.option, name)
            return Progress(f"was begun with --{name} {was}, not {wanted}", len(log), seconds)
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
        state, more = self.progress().state, {}
        if state.startswith("was begun with"):
            raise UserError(f"{self.path} {state}; choose another --save_dir, or delete it")
        if RunFolder.holds_a_run(self.option.save_dir, self.name):
            recorded = read_options(self.path)
            more = {"checkpoint": recorded.get("checkpoint"), "threads": self.option.threads or recorded.get("threads")}
        elif self.start:
            more = {"checkpoint": os.path.relpath(self.start)}
            if not self.start.exists():
                raise UserError(f"{self.start} is missing; put it back, or delete the rest of its folder")
        return train(resolve([*self.flags, *(f"--{k}={v}" for k, v in more.items() if v is not None)]))


def work(cells, train):
    """Runs one cell after the other until all are finished or have failed. Returns the exit status."""
    failed, waiting = {}, False
    while remaining := [c for c in cells if c.name not in failed and not c.finished()]:
        for cell in remaining:
            if cell.progress().state == DIVERGED:
                failed[cell.name] = f"its losses became NaN; to try it again, delete {cell.path}"
                break
            if cell.needs and cell.needs.name in failed:
                failed[cell.name] = f"its {cell.needs.name} failed"
                break
            if (cell.needs and not cell.needs.finished()) or cell.busy():
                continue
            others = sum(c.busy() for c in remaining if c is not cell)
            print(f"{overview(cells, 1 + others)}. Now: {cell.name}", flush=True)
            try:
                status = cell.run(train)
            except Busy:  # another worker was faster
                continue
            except UserError as error:
                status, failed[cell.name] = 0, error
                print(f"{cell.name} failed: {error}", flush=True)
            gc.collect()  # a trainer is held by its own CUDA graph; the next cell needs the GPU's memory
            if status:
                print("stopped; to go on, give the same command again", flush=True)
                return status
            waiting = False
            break
        else:
            if not waiting:
                print(f"waiting for {len(remaining)} cells that other workers have or that need them", flush=True)
            waiting = True
            time.sleep(WAIT)
    print(overview(cells, 1))
    for name, reason in failed.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    return 1 if failed else 0


# --------------------------------------------------------------------------------------------------- plan


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
    mean = {method: fmean(values) for method, values in measured.items()}
    left = {c: max(0, c.option.max_step - progress[c.name].epoch) for c in cells if progress[c.name].state != DIVERGED}
    return sum(epochs * mean.get(cell.option.method, fmean(mean.values())) for cell, epochs in left.items())


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
        start = f", after {cell.needs.name}" if cell.needs else ""
        print(f"{cell.name:38}{option.max_step:5} epochs, cut every {option.lr_decay_period}{start}: {state}")
    print(overview(cells, max(1, running)))


def submit(option, own, cluster="slurm"):
    """Submits `option.workers` jobs to SLURM, each of which runs reproduce.py with the same flags. Returns the jobs.

    own: names of the flags that are not handed on. cluster: "local" for processes on this machine (of the tests).
    """
    try:
        import submitit

        executor = submitit.AutoExecutor(Path(option.save_dir, "slurm"), cluster=cluster)
    except ModuleNotFoundError:
        raise UserError("--slurm needs submitit: pip install -r requirements/slurm.txt") from None
    except RuntimeError as error:
        raise UserError(f"--slurm: there is no SLURM here ({error}); run it on a login node, or without") from None
    executor.update_parameters(
        name="reproduce", timeout_min=option.minutes, cpus_per_task=option.threads or 1,
        gpus_per_node=int(option.device == "cuda"), slurm_partition=option.slurm,
    )  # fmt: skip
    command = [sys.executable, str(ROOT / "reproduce.py")]
    for name, value in vars(option).items():
        if name not in own and value is not None:
            command += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    # A command and not a function of ours, as submitit pickles what it is given.
    worker = submitit.helpers.CommandFunction(command, cwd=os.getcwd())
    try:
        return [executor.submit(worker) for _ in range(option.workers)]
    except submitit.core.utils.FailedJobError as error:  # whatever sbatch says
        said = " ".join(str(error).split())[-200:]
        raise UserError(f"--slurm: the job was not taken ({said}); see to the partition and the limits") from None
