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
import gc
import os
import signal
import socket
import sys
import tempfile
import time
import traceback

import common.before_torch

# isort: split
import common
from common.errors import Busy, UserError, advice, exits, one_line
from dataset.colored_mnist import COLOR_VARS
from evidence import biased, records, report, slurm, studies
from evidence.grid import DIVERGED, PAPER, make_grid, overview, print_plan
from methods import METHODS
from run.device import choose_device
from run.signals import endings
from train import train

MINUTES = 1440  # of a SLURM job
WAIT = 5  # seconds between two looks at cells that other workers have


def parser():
    """The parser of reproduce.py."""
    parser = common.Parser(prog="reproduce.py", description="Runs the paper's table. Defaults in [brackets].")
    group = parser.add_argument_group("the grid")
    group.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=PAPER, help="[the paper's four]")
    group.add_argument(
        "--dataset",
        choices=("colored_mnist", "biased_mnist"),
        default="colored_mnist",
        help="the paper's table, or the one of docs/BIASED_MNIST.md [colored_mnist]",
    )
    share = common.number(float, 0, 1)
    group.add_argument("--rhos", nargs="+", type=share, help="of Biased-MNIST [the published four]")
    sigma = common.number(float, 0, 1, open_low=True)
    group.add_argument("--color_vars", nargs="+", type=sigma, default=COLOR_VARS, help="[the paper's seven]")
    group.add_argument(
        "--seeds",
        nargs="+",
        type=common.seed,
        metavar="K",
        help="run K of a cell has --random_seed K and --data_seed K - 1 [1; on a GPU and of Biased-MNIST 1 2 3]",
    )
    group.add_argument(
        "--studies",
        nargs="+",
        choices=dict.fromkeys((*studies.STUDIES, *biased.STUDIES)),
        help="the named settings of evidence/ instead of the table [the table]",
    )
    group.add_argument(
        "--epochs",
        type=common.count,
        help="of every cell, the learning rate cut after 0.4 and 0.8 of them "
        "[lntl_plus 40; else 100 on a GPU, and on a CPU baseline 100, gray 40, lntl and blindeye 20]",
    )
    group.add_argument(
        "--schedule",
        choices=("cpu", "cuda"),
        help="the epochs that are usual there, wherever this runs [those of here]",
    )
    group.add_argument(
        "--precision", choices=("float32", "tf32"), help="of every cell, as of train.py; tf32 is for a GPU [float32]"
    )
    group.add_argument(
        "--save_dir", type=common.path, default="./checkpoint/", help="folder of the runs [./checkpoint/]"
    )
    group.add_argument("--data_dir", type=common.path, help="folder of released files [unset: the data is built]")
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="[auto]")
    group.add_argument("--threads", type=common.number(int, 1, 1024), help="CPU threads [PyTorch's own choice]")
    group = parser.add_argument_group("instead of running it here")
    group.add_argument("--dry-run", action="store_true", help="print the plan and the time left; train nothing")
    group.add_argument(
        "--slurm", type=common.given, metavar="PARTITION", help="submit workers to SLURM (needs submitit)"
    )
    group.add_argument("--workers", type=common.count, default=1, help="number of SLURM jobs [1]")
    group.add_argument("--minutes", type=common.count, default=MINUTES, help=f"time limit of a SLURM job [{MINUTES}]")
    group = parser.add_argument_group("the report")
    group.add_argument("--add", action="store_true", help="copy the records of finished cells into results/runs")
    group.add_argument("--report", action="store_true", help="rebuild results/ and the tables of the documents")
    return parser


# ------------------------------------------------------------------------------------------------ workers


@contextlib.contextmanager
def signals():
    """Yields a function that returns the first signal to leave that came while train.py had the signals, or 0.

    Outside of a training a signal ends the process at once, with exit status 128 + its number.
    """
    numbers = endings()

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
                if cell.progress().state == DIVERGED:
                    failed[cell.name] = f"its losses became NaN; to try it again, delete {cell.path}"
                    break
                if cell.baseline and cell.baseline.name in failed:
                    failed[cell.name] = f"its {cell.baseline.name} failed"
                    break
                if (cell.baseline and not cell.baseline.finished()) or cell.busy():
                    continue
                others = sum(c.busy() for c in remaining if c is not cell)
                print(f"{overview(cells, 1 + others)}. Now: {cell.name}", flush=True)
                try:
                    status = cell.run(train)
                except Busy:  # another worker was faster
                    continue
                except Exception as error:
                    if not isinstance(error, UserError) and advice(error):  # of the disk, the memory, the GPU
                        raise
                    if not (reason := advice(error)):  # a fault of the program costs no other cell
                        traceback.print_exc()
                        reason = one_line(f"{type(error).__name__}: {error}")
                    status, failed[cell.name] = 0, reason
                    print(f"{cell.name} failed: {reason}", flush=True)
                gc.collect()  # a trainer is held by its own CUDA graph; the next cell needs the GPU's memory
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


def check_writable(folder):
    """Makes the folder of the runs. Raises UserError where that, or writing into it, cannot be."""
    try:
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"cannot write to --save_dir {folder} ({error.strerror}); choose another") from None


def refuse(option):
    """Refuses flags of a grid that cannot go together. Raises UserError."""
    is_biased = option.dataset == "biased_mnist"
    table = (*option.methods, *option.color_vars) != (*PAPER, *COLOR_VARS) or option.epochs or option.schedule
    if is_biased and (table or option.data_dir):
        raise UserError(
            "--dataset biased_mnist has methods and epochs of its own; choose of it by --rhos, --seeds and --studies"
        )
    kinds = biased.STUDIES if is_biased else studies.STUDIES
    if wrong := [name for name in option.studies or [] if name not in kinds]:
        raise UserError(f"--dataset {option.dataset} has no study {wrong[0]}; choose of {', '.join(kinds)}")
    if is_biased and len(option.studies or []) > 1:
        raise UserError("the studies of --dataset biased_mnist are run one at a time; give one of them")
    if is_biased and option.studies == ["selection"] and (option.rhos or option.seeds):
        raise UserError(
            "the selection of --dataset biased_mnist has a ρ and a run of its own; leave --rhos, --seeds out"
        )
    own = [s.name for name in option.studies or [] for s in studies.STUDIES.get(name, ()) if "--precision" in s.flags]
    if option.precision and own and not is_biased:
        raise UserError(f"--precision: settings such as {own[0]} have one of their own; leave it out")
    if option.seeds and 0 in option.seeds:
        raise UserError("--seeds 0: runs are counted from 1, as run k draws its colours with --data_seed k - 1")
    if option.epochs and option.schedule:
        raise UserError("--epochs and --schedule both say how long to train; leave one out")
    if option.rhos and not is_biased:
        raise UserError("--rhos belongs to --dataset biased_mnist; leave it out")
    if option.studies and table:
        raise UserError(
            "--methods, --color_vars, --epochs and --schedule are for the table; --studies have their own (studies.py)"
        )
    if option.workers > 1 and not option.slurm:
        raise UserError("--workers is for --slurm; here, start the same command several times")
    if option.minutes != MINUTES and not option.slurm:
        raise UserError("--minutes is for --slurm; here, a run takes the time that it takes")


@exits
def main(arguments=None):
    option = parser().parse_args(arguments)
    is_biased = option.dataset == "biased_mnist"
    if option.dry_run and (option.add or option.report):
        raise UserError("--dry-run shows what there is to train; --add and --report train nothing, leave it out")
    if option.add and not os.path.isdir(option.save_dir):
        raise UserError(f"--save_dir {option.save_dir} is not a folder; give the one with the runs")
    if option.add:
        names = biased.add(option.save_dir, records.ROOT) if is_biased else records.add(option.save_dir)
        print("kept the records of:", *names or ["no run, as none has finished since"])
    if option.report:
        report.rebuild()
        print("written: results/, checkpoints/README.md, README.md, docs/")
    if option.add or option.report:
        return 0
    refuse(option)
    cells = biased.make_grid(option) if is_biased else make_grid(option)
    if option.dry_run:
        print_plan(cells)
        return 0
    if option.slurm:
        jobs = slurm.submit(option)
        print(f"submitted: {', '.join(job.job_id for job in jobs)}; output in {jobs[0].paths.folder}")
        return 0
    check_writable(option.save_dir)
    choose_device(cells[0].option)  # refuses a GPU that is not there, before any cell
    return work(cells)


if __name__ == "__main__":
    sys.exit(main())
