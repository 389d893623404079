"""Reproduces the paper's table: methods x variances x seeds, each cell a run folder of train.py.

    python reproduce.py                            # the whole grid; finished cells are skipped, begun ones go on
    python reproduce.py --dry-run                  # what there is to do, and the time left; trains nothing
    python reproduce.py --methods gray --threads 1 # a part of it
    python reproduce.py --studies sensitivity      # instead of it, the named settings of studies.py
    python reproduce.py --slurm PARTITION --workers 4 --device cuda
    python reproduce.py --add --report             # keeps the finished records; rebuilds results/ and the tables

It can be started several times at once, also on several machines over a shared folder: the lock of a run folder keeps
the others out of a cell, and a worker that is killed leaves a cell that the next one goes on with.
"""

import contextlib
import copy
import gc
import os
import signal
import socket
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

import option as options
import records
import report
import slurm
import studies
import train
from dataset.colored_mnist import COLOR_VARS
from errors import Busy, UserError, exits, one_line
from files import read_json_lines
from run_folder import RunFolder, read_options

ORDER = ("baseline", "lntl", "gray", "blindeye", "lntl_plus")  # in which the cells are begun
OURS = {"lntl_plus": (20, 8)}  # on any machine
SCHEDULES = {  # fixed before the first run: epochs, and epochs between two cuts of the learning rate to a tenth
    "cpu": {"baseline": (100, 40), "lntl": (20, 40), "gray": (40, 16), "blindeye": (20, 40)} | OURS,
    "cuda": dict.fromkeys(ORDER, (100, 40)) | OURS,  # the official one
}
AVERAGE = 5  # epochs whose mean weights of LNTL are evaluated beside the last ones
SEEDS = {"cpu": [1], "cuda": [1, 2, 3]}
FIXED = ("method", "color_var", "random_seed", "data_dir", "lr", "lr_decay_period", "max_step")
WAIT = 5  # seconds between two looks at cells that other workers have


def parser():
    """The parser of reproduce.py."""
    parser = options.Parser(prog="reproduce.py", description="Runs the paper's table. Defaults in [brackets].")
    group = parser.add_argument_group("the grid")
    group.add_argument("--methods", nargs="+", choices=ORDER, default=ORDER[:4], help="[the paper's four]")
    sigma = options.number(float, 0, 1, open_low=True)
    group.add_argument("--color_vars", nargs="+", type=sigma, default=COLOR_VARS, help="[the paper's seven]")
    group.add_argument("--seeds", nargs="+", type=options.seed, help="[1 on a CPU, 1 2 3 on a GPU]")
    group.add_argument(
        "--studies",
        nargs="+",
        choices=studies.STUDIES,
        help="the named settings of studies.py instead of the table, one seed [the table]",
    )
    group.add_argument(
        "--epochs",
        type=options.count,
        help="of every cell, the learning rate cut after 0.4 and 0.8 of them "
        "[100 on a GPU; on a CPU baseline 100, gray 40, lntl and blindeye 20]",
    )
    group.add_argument("--save_dir", default="./checkpoint/", help="folder of the runs [./checkpoint/]")
    group.add_argument("--data_dir", help="folder of released files [unset: the data is built]")
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="[auto]")
    group.add_argument("--threads", type=options.number(int, 1, 1024), help="CPU threads [PyTorch's own choice]")
    group = parser.add_argument_group("instead of running it here")
    group.add_argument("--dry-run", action="store_true", help="print the plan and the time left; train nothing")
    group.add_argument("--slurm", metavar="PARTITION", help="submit workers to SLURM (needs submitit)")
    group.add_argument("--workers", type=options.count, default=1, help="number of SLURM jobs [1]")
    group.add_argument("--minutes", type=options.count, default=1440, help="time limit of a SLURM job [1440]")
    group = parser.add_argument_group("the report")
    group.add_argument("--add", action="store_true", help="copy the records of finished cells into results/runs")
    group.add_argument("--report", action="store_true", help="rebuild results/ and the tables of the documents")
    return parser


# --------------------------------------------------------------------------------------------------- grid


class Progress(NamedTuple):
    """How far a cell is."""

    state: str  # "to do", "begun", "finished", or what is wrong
    epoch: int  # finished ones
    seconds: float | None  # of training an epoch, the mean; None before the first


class Cell:
    """One run of the grid."""

    def __init__(self, option, start, baseline):
        """option: as train.py resolved it. start: the run whose weights it begins with, or None for random ones.

        baseline: the cell of that run where it belongs to the grid; else its weights are shipped.
        """
        self.option, self.start, self.baseline = option, start, baseline
        self.name, self.path = option.exp_name, Path(option.save_dir, option.exp_name)

    def progress(self):
        """Reads how far the cell is, whoever runs it."""
        try:
            recorded = read_options(self.path)
            log = read_json_lines(self.path / "log.jsonl")
            seconds = statistics.fmean(r["seconds"] for r in log) if log else None
        except (UserError, ValueError, KeyError, TypeError):
            return Progress("damaged", 0, None)
        for name in FIXED:
            value = getattr(self.option, name)
            if recorded and recorded.get(name) != value:
                return Progress(f"was begun with --{name} {recorded.get(name)}, not {value}", len(log), seconds)
        if len(log) >= self.option.max_step and (self.path / "metrics.json").exists():
            return Progress("finished", len(log), seconds)
        return Progress("begun" if log else "to do", len(log), seconds)

    def finished(self):
        return self.progress().state == "finished"

    def busy(self):
        """Whether a process has the cell at this moment."""
        if not self.path.exists():
            return False
        try:
            RunFolder(self.option.save_dir, self.name).lock.close()
        except Busy:
            return True
        return False

    def run(self):
        """Trains it, or goes on with it. Returns the exit status; raises Busy, or UserError if it fails."""
        progress = self.progress()
        if progress.state.startswith("was begun with"):
            raise UserError(f"{self.path} {progress.state}; choose another --save_dir, or delete it")
        option = copy.copy(self.option)
        if any((self.path / name).exists() for name in ("last.pt", "previous.pt")):
            option.checkpoint = read_options(self.path).get("checkpoint")
        elif self.start:
            own, shipped = Path(option.save_dir, self.start, "final.pth"), records.weights_of(self.start)
            option.checkpoint = os.path.relpath(shipped) if shipped.exists() and not own.exists() else str(own)
            if not Path(option.checkpoint).exists():
                raise UserError(f"{option.checkpoint} is missing; put it back, or delete the rest of its folder")
        return train.train(option)


def make_grid(option):
    """The cells that the flags ask for, and the baselines that they need and are not shipped. Raises UserError.

    A run of seed s starts from the baseline of seed s, unless its setting names another start.
    """
    device = "cuda" if option.device == "cuda" or (option.device == "auto" and torch.cuda.is_available()) else "cpu"
    cells = {}

    def add(method, color_var, seed, setting=None):
        name = records.cell_name(method, color_var, seed, setting and setting.name)
        if name not in cells:
            epochs, period = SCHEDULES[device][method]
            if setting:
                epochs, period = setting.epochs, setting.period
            elif option.epochs:
                epochs, period = option.epochs, max(1, round(0.4 * option.epochs))
            flags = f"-e {name} --method {method} --color_var {color_var} --random_seed {seed} --resume"
            flags = [*flags.split(), "--max_step", str(epochs), "--lr_decay_period", str(period)]
            flags += setting.flags.split() if setting else []
            if method == "lntl" and not setting:
                flags += ["--average", str(min(AVERAGE, epochs))]
            for flag in ("save_dir", "data_dir", "device", "threads"):
                if (value := getattr(option, flag)) is not None:
                    flags.append(f"--{flag}={value}")
            resolved = options.resolve_training(options.train_parser().parse_args(flags))
            start, baseline = None, None
            if options.starts_trained(method, resolved.checkpoint, resolved.from_scratch):
                first = studies.STARTS[setting.start] if setting and setting.start else studies.baseline(seed)
                start = records.cell_name(first.method, color_var, first.seed, first.name)
                own = Path(option.save_dir, start, "final.pth")
                if start in cells or own.exists() or not records.weights_of(start).exists():
                    baseline = add(first.method, color_var, first.seed, first if first.name else None)
            cells[name] = Cell(resolved, start, baseline)
        return cells[name]

    for setting in (s for name in option.studies or [] for s in studies.STUDIES[name]):
        for seed in option.seeds or [setting.seed]:
            add(setting.method, setting.color_var, seed, setting)
    for seed in [] if option.studies else option.seeds or SEEDS[device]:
        for method in sorted(option.methods, key=ORDER.index):
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
    for cell in cells:
        epochs = max(0, cell.option.max_step - progress[cell.name].epoch)
        left += epochs * mean.get(cell.option.method, any_method)
    return left


def overview(cells, workers):
    """A line: how many cells are finished, and the time left for the grid with so many workers."""
    progress = {cell.name: cell.progress() for cell in cells}
    finished = sum(p.state == "finished" for p in progress.values())
    seconds = time_left(cells, progress)
    left = "not known before the first epoch" if seconds is None else tqdm.format_interval(seconds / workers)
    return f"{finished} of {len(cells)} cells finished; time left with {workers} at work: {left}"


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


# ------------------------------------------------------------------------------------------------ workers


@contextlib.contextmanager
def signals():
    """Yields a function that returns the first SIGINT or SIGTERM that came while train.py had the signals, or 0.

    Outside of a training a signal ends the process at once, with exit status 128 + its number.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)

    def leave(number, _):
        sys.exit(128 + number)

    def take_back():
        for number in numbers:
            signal.signal(number, leave)
        with contextlib.suppress(BlockingIOError):
            return next((n for n in ours.recv(1024) if n in numbers), 0)
        return 0

    before = [signal.getsignal(n) for n in numbers]
    ours, theirs = socket.socketpair()  # Python writes the number of every signal into it, whoever handles it
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        fd = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        try:
            take_back()
            yield take_back
        finally:
            signal.set_wakeup_fd(fd)
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


def work(cells):
    """Runs one cell after the other until all are finished or have failed. Returns the exit status."""
    failed = {}
    waiting = False
    with signals() as take_back:
        while remaining := [c for c in cells if c.name not in failed and not c.finished()]:
            for cell in remaining:
                if cell.baseline and cell.baseline.name in failed:
                    failed[cell.name] = f"its {cell.baseline.name} failed"
                    break
                if (cell.baseline and not cell.baseline.finished()) or cell.busy():
                    continue
                others = sum(c.busy() for c in remaining if c is not cell)
                print(f"{overview(cells, 1 + others)}. Now: {cell.name}", flush=True)
                try:
                    status = cell.run()
                except Busy:  # another worker was faster
                    continue
                except UserError as error:
                    status = 0
                    failed[cell.name] = one_line(error)
                    print(f"{cell.name} failed: {failed[cell.name]}", flush=True)
                gc.collect()  # the run folder's lock goes with the trainer
                if status := take_back() or status:
                    print("stopped; to go on, give the same command again", flush=True)
                    return status if status > 128 else 128 + status
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


@exits
def main(arguments=None):
    option = parser().parse_args(arguments)
    if option.add:
        print("kept the records of:", *records.add(option.save_dir) or ["no run, as none has finished since"])
    if option.report:
        report.rebuild()
        print("written: results/, checkpoints/README.md, README.md, RELIABILITY.md, REPRODUCTION.md")
    if option.add or option.report:
        return 0
    table = (*option.methods, *option.color_vars) != (*ORDER[:4], *COLOR_VARS) or option.epochs
    if option.studies and table:
        raise UserError("--methods, --color_vars and --epochs are for the table; --studies have their own (studies.py)")
    if option.workers > 1 and not option.slurm:
        raise UserError("--workers is for --slurm; here, start the same command several times")
    cells = make_grid(option)
    if option.dry_run:
        print_plan(cells)
        return 0
    if option.slurm:
        jobs = slurm.submit(option)
        print(f"submitted: {', '.join(job.job_id for job in jobs)}; output in {jobs[0].paths.folder}")
        return 0
    train.choose_device(cells[0].option)  # refuses a GPU that is not there, before any cell
    return work(cells)


if __name__ == "__main__":
    sys.exit(main())
