"""Reproduces the tables: methods x variances x seeds, each cell a run folder of train.py.

    python reproduce.py                            # the paper's table; finished cells are skipped, begun ones go on
    python reproduce.py --dry-run                  # what there is to do, and the time left; trains nothing
    python reproduce.py --methods gray --threads 1 # a part of it
    python reproduce.py --studies ablation         # instead of it, what report/rows.py has under that name
    python reproduce.py --slurm PARTITION --workers 4 --device cuda
    python reproduce.py --add --report             # keeps the finished records; rebuilds results/ and the tables

It can be started several times at once, also on several machines over a shared folder: the lock of a run folder keeps
the others out of a cell, and a worker that is killed leaves a cell that the next one goes on with.
"""

import os
import sys
from pathlib import Path

import common.before_torch

# isort: split
import common
from common.errors import UserError, exits
from methods import METHODS
from report import grid
from report.published import PUBLISHED
from report.rows import DATASETS, STUDIES
from run.device import choose_device
from train import train

MINUTES = 1440  # of a SLURM job


def parser():
    """The parser of reproduce.py."""
    parser = common.Parser(prog="reproduce.py", description="Runs the tables. Defaults in [brackets].")
    group = parser.add_argument_group("the grid")
    group.add_argument("--dataset", choices=DATASETS, default=DATASETS[0], help="whose table [the paper's]")
    group.add_argument("--studies", choices=STUDIES, help="a study beside the tables, instead of one [a table]")
    group.add_argument("--methods", nargs="+", choices=tuple(METHODS), help=f"[{' '.join(PUBLISHED)}; elsewhere all]")
    sigma = common.number(float, 0, 0.1, open_low=True)
    group.add_argument("--color_vars", nargs="+", type=sigma, help="of Colored-MNIST [the paper's seven]")
    group.add_argument(
        "--rhos", nargs="+", type=common.number(float, 0, 1), help="of Biased-MNIST [the published four]"
    )
    group.add_argument(
        "--seeds", nargs="+", type=common.number(int, 1, 2**31), metavar="K",
        help="run K of a cell has --random_seed K and --data_seed K - 1 [1 2 3; of the paper's table on a CPU 1]",
    )  # fmt: skip
    group.add_argument(
        "--schedule", choices=("cpu", "cuda"),
        help="of Colored-MNIST, the epochs that are usual there (option.SCHEDULES) [those of here]",
    )  # fmt: skip
    group.add_argument("--precision", choices=("float32", "tf32", "bfloat16"), help="as of train.py [float32]")
    group.add_argument("--save_dir", type=common.path, default="./checkpoint/", help="of the runs [./checkpoint/]")
    group.add_argument(
        "--data_dir", type=common.path, help="released files, or the folder of the suite [unset, or checkpoint/suite]"
    )
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="[auto]")
    group.add_argument("--threads", type=common.number(int, 1, 1024), help="CPU threads [PyTorch's own choice]")
    group = parser.add_argument_group("instead of running it here")
    group.add_argument("--dry-run", action="store_true", help="print the plan; train nothing")
    group.add_argument("--slurm", type=common.given, metavar="PARTITION", help="submit workers to SLURM")
    group.add_argument("--workers", type=common.count, default=1, help="number of SLURM jobs [1]")
    group.add_argument("--minutes", type=common.count, default=MINUTES, help=f"time limit of a SLURM job [{MINUTES}]")
    group = parser.add_argument_group("the report")
    group.add_argument("--add", action="store_true", help="keep the records of finished runs of --dataset in results/")
    group.add_argument("--report", action="store_true", help="rebuild results/ and the tables of the documents")
    return parser


def refuse(option):
    """Refuses flags of a grid that cannot go together. Raises UserError."""
    table = grid.GRIDS[option.studies or option.dataset].table
    owners = {"color_vars": "colored_mnist", "schedule": "colored_mnist", "rhos": "biased_mnist"}
    for flag, owner in owners.items():
        if getattr(option, flag) and table != owner:
            raise UserError(f"--{flag} belongs to --dataset {owner}; leave it out")
    if not option.slurm and (option.workers, option.minutes) != (1, MINUTES):
        raise UserError("--workers and --minutes are for --slurm; here, start the same command several times")


@exits
def main(arguments=None):
    option = parser().parse_args(arguments)
    refuse(option)
    if option.add:
        from report import records

        table = grid.GRIDS[option.studies or option.dataset].table
        names = records.add(Path(option.save_dir), table, lambda r: grid.other_than_its_cell(r, table, option))
        print("kept the records of:", *names or ["no run, as none has finished since"])
    if option.report:
        from report import build

        build.rebuild()
        print("written: results/, README.md, docs/")
    if option.add or option.report:
        return 0
    if not (cells := grid.make_grid(option)):
        raise UserError("no cell has these --methods; leave them out")
    if option.dry_run:
        grid.print_plan(cells)
        return 0
    if option.slurm and grid.WORKER not in os.environ:
        job = grid.submit(option, sys.argv[1:] if arguments is None else arguments)
        print(f"submitted: job {job}; output in {Path(option.save_dir, 'slurm')}")
        return 0
    choose_device(cells[0].option)  # refuses a GPU that is not there, before any cell
    return grid.work(cells, train)


if __name__ == "__main__":
    sys.exit(main())
