"""Biased-MNIST: methods x rho x runs, their records, and the table beside the published rows.

    python reproduce.py --dataset biased_mnist                   # the grid; finished cells are skipped, begun go on
    python reproduce.py --dataset biased_mnist --add --report    # keeps the finished records; rebuilds the table

Fixed before the first run: the paper's networks, 10 epochs for every method, the learning rate cut to a tenth after 4
and 8 of them, each method's own learning rate, λ, μ, α and smoothing as on Colored-MNIST; LNTL+ counts p(y | b) from
the labels. LNTL and BlindEye start from the baseline of the same ρ and run. Run k has --random_seed k and
--data_seed k - 1. Beside them, what was chosen on held-out images (biased_selection.py).
"""

import json
import re
import statistics
from pathlib import Path

import option as options
from common.errors import UserError
from common.files import read_json_lines
from dataset.biased_mnist import RHOS
from evidence import biased_selection as selection
from evidence.biased_selection import Row
from evidence.grid import Cell, differing, where
from evidence.records import RECORDS, copy_records, minutes
from evidence.settings import in_words
from methods import METHODS, method_class

EPOCHS, PERIOD, RUNS = 10, 4, (1, 2, 3)
COMPARED = ("baseline", "lntl", "blindeye", "lntl_plus")
PAPER = {"lntl": "--lambda_ 0.01 --mu 0.1", "lntl_plus": "--lambda_ 0.01 --mu 0.1"}  # as on Colored-MNIST
# The published network and schedule, for a GPU. Two things differ: the last epoch is reported, not the best one on
# validation images, and the cuts are after 27 and 54 epochs, not 26 and 53. Which λ they used is not stated; 1 is their
# default.
OF_THEIRS = "--network simple_conv --optimizer adam --lr 0.001 --weight_decay 0.0001 --max_step 80 --lr_decay_period 27"
THEIRS = (
    Row("baseline_published", "baseline", OF_THEIRS, "Baseline"),
    *(
        Row(f"lntl_published_lambda{v}", "lntl", f"{OF_THEIRS} --from_scratch --lambda_ {v} --mu 0.1", f"LNTL, λ = {v}")
        for v in ("0.01", "1")
    ),
)
ROWS = (
    *(Row(m, m, PAPER.get(m, ""), ", ".join([METHODS[m].title, *in_words(PAPER.get(m, ""))])) for m in COMPARED),
    *selection.chosen_rows(),
)
NAMED = {row.name: row for row in (*ROWS, *THEIRS, *selection.LIST)}
STUDIES = ("selection", "published")
NAME = re.compile(r"([\w.]+)_rho([\d.]+)_seed(\d+)")
ENDED = ("metrics.json", "diverged.json")  # one of them is in the folder of a run that has ended
LNL = ("LNL", "Hong & Yang 2021", (".182 ± .012", ".572 ± .022", ".725 ± .009", ".860 ± .002"))
PUBLISHED = (  # unbiased accuracy of SimpleConvNet: method, by whom, and the figures at RHOS
    ("Vanilla", "Bahng et al. 2020", (".104", ".334", ".721", ".891")),
    ("Vanilla", "Hong & Yang 2021", (".118 ± .007", ".625 ± .029", ".795 ± .001", ".908 ± .003")),
    LNL,
    ("ReBias", "Bahng et al. 2020", (".227", ".642", ".760", ".881")),
    ("EnD", "Tartaglione et al. 2021", (".523 ± .024", ".837 ± .010", ".939 ± .004", ".960 ± .001")),
    ("BiasBal", "Hong & Yang 2021", (".768 ± .016", ".912 ± .002", ".939 ± .001", ".963 ± .002")),
    ("FairKL", "Barbano et al. 2023", (".896 ± .014", ".941 ± .001", ".970 ± .001", ".979 ± .001")),
    ("BiasCon+BiasBal", "Hong & Yang 2021", (".940", ".973", ".977", ".981")),
)
FIGURES = {  # of metrics.json
    "unbiased": "accuracy",
    "mean over the 100 groups": "mean_group_accuracy",
    "worst group": "worst_group_accuracy",
}


def cell_name(row, rho, run):
    """The name of a run: ROW_rhoR_seedK, where the row of a method alone has its name."""
    return f"{row}_rho{float(rho)!r}_seed{run}"


def make_grid(option):
    """The cells, each baseline before those that start from it. option: of reproduce.py. Raises UserError."""
    cells = {}
    rows, rhos, runs = ROWS, option.rhos or RHOS, option.seeds or RUNS
    if option.studies == ["selection"]:
        rows, rhos, runs = selection.LIST, (selection.RHO,), (selection.RUN,)
    elif option.studies:
        rows = THEIRS
    for run in runs:
        for rho in rhos:
            for row in rows:
                resolved = resolve(row, rho, run, where(option))
                start = cell_name(row.start, rho, run) if method_class(resolved).starts_trained(resolved) else None
                cells[resolved.exp_name] = Cell(resolved, start, cells.get(start))
    return [*cells.values()]


def resolve(row, rho, run, more=()):
    """The options of train.py for run `run` of a row at ρ. more: further flags."""
    flags = f"-e {cell_name(row.name, rho, run)} --dataset biased_mnist --method {row.method} --rho {rho}"
    flags += f" --random_seed {run} --data_seed {run - 1} --max_step {EPOCHS} --lr_decay_period {PERIOD} --continue"
    return options.resolve_training(options.train_parser().parse_args([*flags.split(), *more, *row.flags.split()]))


def add(save_dir, root):
    """Copies the records of every run in `save_dir` that has ended to results/biased_mnist. Returns the new names."""
    names = []
    for folder in sorted(Path(save_dir).glob("*_rho*_seed*")):
        named = NAME.fullmatch(folder.name)
        if not named or named[1] not in NAMED or not any((folder / name).exists() for name in ENDED):
            continue
        read_run(folder)
        if copy_records(folder, root / "results" / "biased_mnist" / folder.name, (*RECORDS, "diverged.json")):
            names.append(folder.name)
    return names


def read_run(folder):
    """{"options", "environment", "metrics", "log", "diverged"} of a run that has ended. Raises UserError.

    diverged: the epoch in which its losses became NaN, and there are no metrics; else None.
    """
    try:
        run = {n: json.loads((folder / f"{n}.json").read_text("utf-8")) for n in ("options", "environment")}
        diverged = folder / "diverged.json"
        run["diverged"] = json.loads(diverged.read_text("utf-8"))["epoch"] if diverged.exists() else None
        run["log"] = read_json_lines(folder / "log.jsonl")
        run["metrics"] = None if run["diverged"] else json.loads((folder / "metrics.json").read_text("utf-8"))
        fits = of_its_name(run, *NAME.fullmatch(folder.name).groups())
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"the records in {folder} are damaged ({type(error).__name__}: {error})") from None
    if not fits:
        raise UserError(f"the records in {folder} are not those of a finished run of that name")
    return run


def of_its_name(run, row, rho, number):
    """Whether records are those of a run of that row, ρ and number, which are parts of its folder's name."""
    option, metrics, log = run["options"], run["metrics"], run["log"]
    wanted = vars(resolve(NAMED[row], float(rho), int(number)))
    own = ("method", "max_step", "lr_decay_period")
    if any(option[name] != wanted[name] for name in own) or differing(option, wanted):
        return False
    if run["diverged"]:
        return [r["epoch"] for r in log] == list(range(1, run["diverged"]))
    whole = [r["epoch"] for r in log] == list(range(1, wanted["max_step"] + 1))
    of_log = log[-1]["test_accuracy"] == metrics["accuracy"]
    return whole and of_log and sum(g["n"] for g in metrics["groups"]) == metrics["n"] == 10_000


def load_runs(root):
    """{name: run} of all committed records."""
    folder = root / "results" / "biased_mnist"
    return {p.name: read_run(p) for p in sorted(folder.iterdir()) if p.is_dir()} if folder.is_dir() else {}


def cell(runs, row, rho):
    """The runs of a cell that have ended, in their order."""
    return [runs[name] for name in (cell_name(row, rho, run) for run in RUNS) if name in runs]


def figures(runs, row, rho, key):
    """The values of one figure over the runs of a cell that have one, in their order."""
    return [run["metrics"][key] for run in cell(runs, row, rho) if not run["diverged"]]


def points(runs):
    """{title: [(ρ, values of its runs)]} of the unbiased accuracy, as far as it was run; and the published LNL."""
    found = {row.title: [(rho, figures(runs, row.name, rho, "accuracy")) for rho in RHOS] for row in ROWS}
    found = {title: kept for title, line in found.items() if (kept := [(rho, some) for rho, some in line if some])}
    published = [(rho, [float(v.split()[0])]) for rho, v in zip(RHOS, LNL[-1], strict=True)]
    return found | {"LNL, published, another network": published}


def shown(runs, key):
    """Of a cell's runs: mean, or mean ± std (number of runs), and how many diverged; a dash where there are none."""
    values = [run["metrics"][key] for run in runs if not run["diverged"]]
    lost = len(runs) - len(values)
    parts = []
    if values:
        spread = f" ± {statistics.stdev(values):.4f} ({len(values)})" if len(values) > 1 else ""
        parts.append(f"{statistics.fmean(values):.4f}{spread}")
    if lost:
        parts.append(f"{lost} of {len(runs)} diverged")
    return "; ".join(parts) or "-"


def table(runs):
    """The table in Markdown: ours, three figures each, and the published rows of another network."""
    rows = ["| | | " + " | ".join(f"ρ = {rho:g}" for rho in RHOS) + " |", "|---|---|" + "---|" * len(RHOS)]
    for row in ROWS:
        for what, key in FIGURES.items():
            title = row.title if key == "accuracy" else ""
            rows.append(f"| {title} | {what} | " + " | ".join(shown(cell(runs, row.name, r), key) for r in RHOS) + " |")
    for row in THEIRS:
        values = [shown(cell(runs, row.name, r), "accuracy") for r in RHOS]
        rows.append(f"| {row.title} | unbiased, SimpleConvNet, 80 epochs | " + " | ".join(values) + " |")
    for name, by, values in PUBLISHED:
        rows.append(f"| {name}, {by} | unbiased, SimpleConvNet | " + " | ".join(values) + " |")
    ended = [run for row in ROWS for rho in RHOS for run in cell(runs, row.name, rho)]
    total = len(ROWS) * len(RHOS) * len(RUNS)
    cost = (f"{name}: {mean:.1f}" for name, mean in minutes([r for r in ended if not r["diverged"]]).items())
    what = f"({len(ROWS)} rows, {len(RHOS)} ρ, {len(RUNS)} runs)"
    done = f"{len(ended)} of {total} runs with the paper's network are done {what}."
    return "\n".join([*rows, "", f"{done} Minutes of training a run: {'; '.join(cost) or 'not known yet'}."])


def of_the_list(runs):
    """{name of a row of the selection's list: its run}."""
    names = {row.name: cell_name(row.name, selection.RHO, selection.RUN) for row in selection.LIST}
    return {row: runs[name] for row, name in names.items() if name in runs}
