"""Biased-MNIST: methods x rho x runs, their records, and the table beside the published rows.

    python reproduce.py --dataset biased_mnist                   # the grid; finished cells are skipped, begun go on
    python reproduce.py --dataset biased_mnist --add --report    # keeps the finished records; rebuilds the table

Fixed before the first run: the paper's networks, 10 epochs for every method, the learning rate cut to a tenth after 4
and 8 of them, each method's own learning rate, λ, μ, α and smoothing as on Colored-MNIST. LNTL and BlindEye start from
the baseline of the same ρ and run. Run k has --random_seed k and --data_seed k - 1.
"""

import json
import statistics
from pathlib import Path

import option as options
from dataset.biased_mnist import RHOS
from errors import UserError
from evidence.grid import Cell, differing
from evidence.records import copy_records
from files import read_json_lines
from methods import METHODS, kind

EPOCHS, PERIOD, RUNS = 10, 4, (1, 2, 3)
COMPARED = ("baseline", "lntl", "blindeye", "lntl_plus")
PUBLISHED = {  # unbiased accuracy of SimpleConvNet: title, by whom, and the figures at RHOS
    "Vanilla": ("Bahng et al. 2020", (".104", ".334", ".721", ".891")),
    "Vanilla ": ("Hong & Yang 2021", (".118 ± .007", ".625 ± .029", ".795 ± .001", ".908 ± .003")),
    "LNL": ("Hong & Yang 2021", (".182 ± .012", ".572 ± .022", ".725 ± .009", ".860 ± .002")),
    "ReBias": ("Bahng et al. 2020", (".227", ".642", ".760", ".881")),
    "EnD": ("Tartaglione et al. 2021", (".523 ± .024", ".837 ± .010", ".939 ± .004", ".960 ± .001")),
    "BiasBal": ("Hong & Yang 2021", (".768 ± .016", ".912 ± .002", ".939 ± .001", ".963 ± .002")),
    "FairKL": ("Barbano et al. 2023", (".896 ± .014", ".941 ± .001", ".970 ± .001", ".979 ± .001")),
    "BiasCon+BiasBal": ("Hong & Yang 2021", (".940", ".973", ".977", ".981")),
}
FIGURES = {  # of metrics.json
    "unbiased": "accuracy",
    "mean over the 100 groups": "mean_group_accuracy",
    "worst group": "worst_group_accuracy",
}


def cell_name(method, rho, run):
    """The name of a run: METHOD_rhoR_seedK."""
    return f"{method}_rho{rho:g}_seed{run}"


def make_grid(option):
    """The cells, each baseline before those that start from it. option: of reproduce.py. Raises UserError."""
    cells = {}
    for run in option.seeds or RUNS:
        for rho in option.rhos or RHOS:
            for method in COMPARED:
                name = cell_name(method, rho, run)
                flags = f"-e {name} --dataset biased_mnist --method {method} --rho {rho} --random_seed {run}".split()
                flags += f"--data_seed {run - 1} --max_step {EPOCHS} --lr_decay_period {PERIOD} --continue".split()
                for flag in ("save_dir", "device", "threads"):
                    if (value := getattr(option, flag)) is not None:
                        flags.append(f"--{flag}={value}")
                resolved = options.resolve_training(options.train_parser().parse_args(flags))
                start = cell_name("baseline", rho, run) if kind(resolved).starts_trained(resolved) else None
                cells[name] = Cell(resolved, start, cells.get(start))
    return [*cells.values()]


def add(save_dir, root):
    """Copies the records of every finished run in `save_dir` to results/biased_mnist. Returns the new names."""
    names = []
    for folder in sorted(Path(save_dir).glob("*_rho*_seed*")):
        if not (folder / "metrics.json").exists():
            continue
        read_run(folder)
        if copy_records(folder, root / "results" / "biased_mnist" / folder.name):
            names.append(folder.name)
    return names


def read_run(folder):
    """{"options", "environment", "metrics", "log"} of a finished run. Raises UserError where they are not its."""
    try:
        run = {n: json.loads((folder / f"{n}.json").read_text("utf-8")) for n in ("options", "environment", "metrics")}
        run["log"] = read_json_lines(folder / "log.jsonl")
        option, metrics = run["options"], run["metrics"]
        named = cell_name(option["method"], option["rho"], option["random_seed"])
        fits = (
            named == folder.name
            and option["data_seed"] == option["random_seed"] - 1
            and (option["max_step"], option["lr_decay_period"]) == (EPOCHS, PERIOD)
            and differing(option, usual(option)) is None
            and [r["epoch"] for r in run["log"]] == list(range(1, EPOCHS + 1))
            and run["log"][-1]["test_accuracy"] == metrics["accuracy"]
            and sum(g["n"] for g in metrics["groups"]) == metrics["n"] == 10_000
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"the records in {folder} are damaged ({type(error).__name__}: {error})") from None
    if not fits:
        raise UserError(f"the records in {folder} are not those of a finished run of that name")
    return run


def usual(option):
    """The options that a cell has by default, by the recorded ones of a run: a dictionary."""
    own = ("method", "rho", "random_seed", "data_seed", "max_step", "lr_decay_period")
    flags = ["-e", "x", "--dataset", "biased_mnist", "--continue", *(f"--{name}={option[name]}" for name in own)]
    return vars(options.resolve_training(options.train_parser().parse_args(flags)))


def load_runs(root):
    """{name: run} of all committed records."""
    folder = root / "results" / "biased_mnist"
    return {p.name: read_run(p) for p in sorted(folder.iterdir()) if p.is_dir()} if folder.is_dir() else {}


def figures(runs, method, rho, key):
    """The values of one figure over the runs of a cell, in the order of the runs."""
    names = [cell_name(method, rho, run) for run in RUNS]
    return [runs[name]["metrics"][key] for name in names if name in runs]


def points(runs):
    """{title: [(ρ, values of its runs)]} of the unbiased accuracy, as far as it was run; and the published LNL."""
    found = {METHODS[m].title: [(rho, figures(runs, m, rho, "accuracy")) for rho in RHOS] for m in COMPARED}
    found = {title: [(rho, values) for rho, values in line if values] for title, line in found.items()}
    published = [(rho, [float(v.split()[0])]) for rho, v in zip(RHOS, PUBLISHED["LNL"][1], strict=True)]
    return found | {"LNL, published, another network": published}


def shown(values):
    """mean, or mean ± std (number of runs); a dash where there are none."""
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.4f} ({len(values)})" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4f}{spread}"


def table(runs):
    """The table in Markdown: ours, three figures each, and the published rows of another network."""
    rows = ["| | | " + " | ".join(f"ρ = {rho:g}" for rho in RHOS) + " |", "|---|---|" + "---|" * len(RHOS)]
    for method in COMPARED:
        for what, key in FIGURES.items():
            title = METHODS[method].title if key == "accuracy" else ""
            rows.append(
                f"| {title} | {what} | " + " | ".join(shown(figures(runs, method, r, key)) for r in RHOS) + " |"
            )
    for name, (by, values) in PUBLISHED.items():
        rows.append(f"| {name.strip()}, {by} | unbiased, SimpleConvNet | " + " | ".join(values) + " |")
    minutes = [sum(r["seconds"] for r in run["log"]) / 60 for run in runs.values()]
    cost = f" Training one took {statistics.fmean(minutes):.0f} minutes in the mean." if minutes else ""
    return "\n".join([*rows, "", f"{len(runs)} of the {len(COMPARED) * len(RHOS) * len(RUNS)} runs are done.{cost}"])
