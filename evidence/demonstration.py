"""The demonstration on photographs: cut-outs (dataset/cutouts.py) with a ResNet-18, each method with three seeds.

    python -m dataset.cutouts --out checkpoint/cutouts
    python -m dataset.cutouts --out checkpoint/cutouts_fair --share 0.5    # the same, without the bias
    python -m evidence.demonstration    # again after any interruption
    python -m evidence.demonstration --plan                                # the commands alone

Every method sees every training image ten times: the baseline and LNTL+ in ten epochs from random weights, LNTL in
five that begin with the baseline's weights after its fifth. `--add` copies the records of what is finished to
results/demonstration/; `python reproduce.py --report` makes the tables of docs/IMAGES.md and the figure of them.
"""

import json
import shlex
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from common import Parser, location, number
from common.errors import UserError, exits
from common.files import read_json_lines
from evidence.records import ROOT, copy_records
from evidence.settings import in_words
from methods import METHODS as KINDS

RESULTS = Path("results", "demonstration")
SEEDS = (1, 2, 3)
EPOCHS, START = 10, 5  # in all, and those of the baseline after which LNTL starts
COMMON = "--dataset images --network resnet18 --image_size 64 --init random --batch_size 32"
FAIR = "_fair"  # behind the name of the data's folder: that of the set without the bias
SETTINGS = {  # name of the runs: method, and its flags beside the defaults
    # Of LNTL, all were listed before the first of them but lr 0.01 was run.
    "lntl_default": ("lntl", "--lambda_ 0.01 --mu 0.1"),  # the paper's
    "lntl_lr0.01": ("lntl", "--lr 0.01 --lambda_ 0.01 --mu 0.1"),
    "lntl_lr0.01_mu0.01": ("lntl", "--lr 0.01 --lambda_ 0.01 --mu 0.01"),
    "lntl_lambda1": ("lntl", "--lambda_ 1 --mu 0.1"),
    "lntl_lambda1_mu1": ("lntl", "--lambda_ 1 --mu 1"),
    "lntl_layer4": ("lntl", "--split_at layer4 --lambda_ 0.01 --mu 0.1"),
    "lntl_layer4_lr0.01": ("lntl", "--split_at layer4 --lr 0.01 --lambda_ 0.01 --mu 0.1"),
    "lntl_layer4_lr0.01_mu0.01": ("lntl", "--split_at layer4 --lr 0.01 --lambda_ 0.01 --mu 0.01"),
    "lntl_layer4_lambda1_mu1": ("lntl", "--split_at layer4 --lambda_ 1 --mu 1"),
    # Of LNTL+, listed after its default had been run, whose h does not keep up.
    "lntl_plus": ("lntl_plus", "--mu 0.1"),  # that of Colored-MNIST
    "lntl_plus_mu0.01": ("lntl_plus", "--mu 0.01"),
    "lntl_plus_lr0.001": ("lntl_plus", "--lr 0.001 --mu 0.1"),
    "lntl_plus_lambda0_mu0": ("lntl_plus", "--lambda_ 0 --mu 0"),  # its label loss alone, which is BiasBal
    "lntl_plus_mu0.03": ("lntl_plus", "--mu 0.03"),  # listed when it had been chosen on Biased-MNIST
    # Listed together when all of the above had been run: a linear h is outgrown by f, one with BatchNorm may not be.
    "lntl_conv": ("lntl", "--bias_predictor conv --lambda_ 0.01 --mu 0.1"),
    "lntl_conv_mu1": ("lntl", "--bias_predictor conv --lambda_ 0.01 --mu 1"),
    "lntl_conv_lambda1": ("lntl", "--bias_predictor conv --lambda_ 1 --mu 0.1"),
    "lntl_conv_lambda1_mu1": ("lntl", "--bias_predictor conv --lambda_ 1 --mu 1"),
    "lntl_conv_lr0.01": ("lntl", "--bias_predictor conv --lr 0.01 --lambda_ 0.01 --mu 0.1"),
    "lntl_plus_conv": ("lntl_plus", "--bias_predictor conv --mu 0.1"),
    "lntl_plus_conv_mu0.03": ("lntl_plus", "--bias_predictor conv --mu 0.03"),
    "lntl_plus_conv_mu0.01": ("lntl_plus", "--bias_predictor conv --mu 0.01"),
}
DEFAULT = {"lntl": "lntl_default", "lntl_plus": "lntl_plus"}
CHOSEN_LINEAR = {"lntl": "lntl_lambda1_mu1", "lntl_plus": "lntl_plus_mu0.01"}  # before `conv` was listed
CHOSEN = {"lntl": "lntl_conv_lambda1_mu1", "lntl_plus": "lntl_plus_mu0.01"}  # by `pick`


@dataclass(frozen=True)
class Row:
    """What is trained with every seed, a row of the tables. name: of its runs, before _seedK."""

    title: str
    method: str
    name: str
    flags: str = ""
    fair: bool = False  # trained without the bias; the test has the same things, cut out and pasted anew


ROWS = (
    Row(KINDS["baseline"].title, "baseline", "baseline"),
    Row(f"{KINDS['baseline'].title}, trained without the bias", "baseline", "fair", fair=True),
    *(
        Row(", ".join([KINDS[method].title, *in_words(SETTINGS[name][1])]), method, name, SETTINGS[name][1])
        for method in DEFAULT
        for name in dict.fromkeys((DEFAULT[method], CHOSEN_LINEAR[method], CHOSEN[method]))
    ),
)
METHODS = tuple(dict.fromkeys(row.method for row in ROWS))
COLUMNS = {  # of the table: where each figure stands in the records
    "mean over groups": ("metrics", "mean_group_accuracy"),
    "worst group": ("metrics", "worst_group_accuracy"),
    "conflicting": ("metrics", "conflicting_accuracy"),
    "aligned": ("metrics", "aligned_accuracy"),
    "plain": ("metrics", "accuracy"),
    "h on validation": ("last", "holdout_bias_accuracy"),
}
SHOWN = ("mean over groups", "worst group")  # in the figure


# --------------------------------------------------------------------------------------------------- runs


def run_name(row, seed):
    """The name of a run, which is that of its folder. row: a Row, or its name."""
    return f"{getattr(row, 'name', row)}_seed{seed}"


def tried():
    """The settings that are in no table of the test: they are compared with seed 1, on the validation images."""
    main = {row.name for row in ROWS}
    return [Row(name, method, name, flags) for name, (method, flags) in SETTINGS.items() if name not in main]


def flags_of(row, seed, option):
    """The flags of train.py of a row's run, a list. option.data_dir, save_dir, threads, device."""
    folder = f"{Path(option.data_dir)}{FAIR * row.fair}"
    flags = ["-e", run_name(row, seed), "--method", row.method, *COMMON.split(), f"--data_dir={folder}"]
    flags += [f"--save_dir={option.save_dir}", "--random_seed", str(seed), *row.flags.split(), "--continue"]
    if row.method == "lntl":
        start = Path(option.save_dir, run_name("baseline", seed), f"checkpoint_step_{START:04d}.pth")
        flags += ["--max_step", str(EPOCHS - START), f"--checkpoint={start}"]
    else:
        flags += ["--max_step", str(EPOCHS), "--save_step", str(START)]
    for flag in ("threads", "device"):
        if (value := getattr(option, flag)) is not None:
            flags += [f"--{flag}", str(value)]
    return flags


def runs(option):
    """The flags of train.py of every run, a list of lists, in the order of need.

    option.methods, seeds; option.select: whether other settings are tried too. See `flags_of`.
    """
    needed = {*option.methods} | ({"baseline"} if "lntl" in option.methods else set())
    found = [flags_of(row, seed, option) for row in ROWS if row.method in needed for seed in option.seeds]
    return found + [flags_of(row, SEEDS[0], option) for row in tried() if option.select]


# ------------------------------------------------------------------------------------------------ records


def read_runs(folder):
    """{name: {"options", "metrics": dict, "log": list, "last": its last record}} of the finished runs in a folder."""
    found = {}
    for path in sorted(p.parent for p in Path(folder).glob("*_seed*/metrics.json")):
        try:
            run = {n: json.loads((path / f"{n}.json").read_text("utf-8")) for n in ("options", "metrics")}
            run["log"] = read_json_lines(path / "log.jsonl")
            run["last"] = run["log"][-1]
            epochs = run["options"]["max_step"]
        except (OSError, ValueError, LookupError) as error:
            raise UserError(f"the records in {path} are damaged ({error}); copy them again") from None
        if len(run["log"]) != epochs:
            raise UserError(f"{path}/log.jsonl does not hold each of the {epochs} epochs once; copy it again")
        found[path.name] = run
    return found


def rows_of(found):
    """[(row, records of its seeds)] of the rows of the tables."""
    return [(row, [found[n] for seed in SEEDS if (n := run_name(row, seed)) in found]) for row in ROWS]


def values(records, column):
    """The figures of a column of the table, one a run; [] where the method has none."""
    kind, key = COLUMNS[column]
    return [run[kind][key] for run in records if run[kind].get(key) is not None]


def spread(figures):
    """mean ± std of a sample, in Markdown; a dash where there is none."""
    if not figures:
        return "-"
    mean = round(statistics.fmean(figures), 9)  # .5725 as .573, whichever way its last bit was rounded
    std = round(statistics.stdev(figures), 9) if len(figures) > 1 else None
    return f"{mean:.3f}" + (f" ± {std:.3f}" if std is not None else "")


def table(folder):
    """The table of the methods in Markdown, from the records in a folder: mean ± std over the seeds."""
    rows = [f"| method | {' | '.join(COLUMNS)} | n |", "|" + "---|" * (len(COLUMNS) + 2)]
    for row, records in rows_of(read_runs(folder)):
        if not records:
            rows.append(f"| {row.title} | not yet run |" + " |" * len(COLUMNS))
            continue
        cells = [spread(values(records, column)) for column in COLUMNS]
        rows.append(f"| {row.title} | {' | '.join(cells)} | {len(records)} |")
    return "\n".join(rows)


def sentence(folder):
    """The mean over groups of the settings that were chosen, for the README; from the records in a folder."""
    chosen = ("baseline", *CHOSEN.values(), "fair")
    found = {row.name: (row, spread(values(records, SHOWN[0]))) for row, records in rows_of(read_runs(folder))}
    parts = (
        f"{KINDS[row.method].title} {figure.replace(' ', '')}" + ", trained without the bias" * row.fair
        for row, figure in (found[name] for name in chosen)
    )
    return f"Mean over groups there: {'; '.join(parts)}."


def groups_table(folder):
    """The accuracy of every group in Markdown: a row a group, a column a method, mean ± std over the seeds."""
    columns = [(row.title, records) for row, records in rows_of(read_runs(folder)) if records]
    if not columns:
        return "The accuracy of every group: not yet run."
    rows = [f"| group | images | {' | '.join(title for title, _ in columns)} |", "|" + "---|" * (2 + len(columns))]
    for i, group in enumerate(columns[0][1][0]["metrics"]["groups"]):
        cells = [spread([run["metrics"]["groups"][i]["accuracy"] for run in records]) for _, records in columns]
        rows.append(f"| {group['y']} / {group['b']} | {group['n']} | {' | '.join(cells)} |")
    return "\n".join(rows)


def selection_table(folder):
    """The settings with seed 1 in Markdown: the figures on the validation images in the last epoch, not the test."""
    found = read_runs(folder)
    columns = ("setting", "f up to", "h", "λ", "μ", "lr", "validation accuracy", "h on validation", "loss of h")
    rows = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for setting in SETTINGS:
        run = found.get(run_name(setting, SEEDS[0]))
        if not run:
            rows.append(f"| {setting} | not yet run |" + " |" * (len(columns) - 2))
            continue
        option, last = run["options"], run["last"]
        name = f"**{setting}** (chosen)" if setting in CHOSEN.values() else setting
        rows.append(
            f"| {name} | {option['split_at']} | {option.get('bias_predictor', 'linear')} | {option['lambda_']:g} | "
            f"{option['mu']:g} | {option['lr']:g} | {last['holdout_accuracy']:.3f} | "
            f"{last['holdout_bias_accuracy']:.3f} | {last['bias_loss']:.2f} |"
        )
    return "\n".join(rows)


def pick(found, method):
    """The rule: of a method's settings with seed 1, the first of the highest accuracy on the validation images.

    In the last epoch. found: of `read_runs`. None as long as one of them has not been run.
    """
    runs = {name: found.get(run_name(name, SEEDS[0])) for name, (own, _) in SETTINGS.items() if own == method}
    if None in runs.values():
        return None
    return max(runs, key=lambda name: runs[name]["last"]["holdout_accuracy"])


def bars(folder):
    """What the figure shows, from the records in a folder: [(title, method, is chosen, {column: values})], a row each.

    Of SHOWN alone, and of the rows that have been run.
    """
    return [
        (row.title, row.method, row.name == CHOSEN.get(row.method, row.method), {c: values(records, c) for c in SHOWN})
        for row, records in rows_of(read_runs(folder))
        if records
    ]


def tables(folder):
    """{name of the marker in docs/IMAGES.md: table} of the records in a folder."""
    return {"demonstration": table(folder), "groups": groups_table(folder), "selection": selection_table(folder)}


def add(save_dir, root=ROOT):
    """Copies the records of every finished run in `save_dir`. Returns the names of those that were new or changed."""
    finished = read_runs(save_dir)
    return [name for name in finished if copy_records(Path(save_dir, name), root / RESULTS / name)]


@exits
def main(arguments=None):
    """Trains the methods on cut-outs, one run after another; what is finished or begun is not repeated."""
    parser = Parser(prog="-m evidence.demonstration", description=main.__doc__)
    parser.add_argument(
        "--data_dir", type=location, default="checkpoint/cutouts", help="of dataset.cutouts [checkpoint/cutouts]"
    )
    parser.add_argument(
        "--save_dir", type=location, default="checkpoint/demonstration", help="of the runs [checkpoint/demonstration]"
    )
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=METHODS, help="[all]; LNTL needs its baselines"
    )
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=SEEDS, help="[1 2 3]")
    parser.add_argument("--select", action="store_true", help="try the other settings with seed 1 too")
    parser.add_argument("--threads", type=number(int, 1, 1024), help="CPU threads [PyTorch's own choice]")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="where to compute [auto]")
    parser.add_argument("--plan", action="store_true", help="print the commands, and train nothing")
    parser.add_argument(
        "--add", action="store_true", help="train nothing; copy the records of finished runs to results/"
    )
    option = parser.parse_args(arguments)
    if option.add:
        for name in add(option.save_dir):
            print(f"added: {RESULTS / name}")
        return
    commands = runs(option)
    if option.plan:
        print("\n".join(f"python train.py {shlex.join(flags)}" for flags in commands))
        return
    for fair in dict.fromkeys(row.fair for row in ROWS if row.method in option.methods):
        if not (folder := Path(f"{Path(option.data_dir)}{FAIR * fair}")).is_dir():
            share = " --share 0.5" * fair
            raise UserError(f"{folder} is not there; make it with python -m dataset.cutouts --out {folder}{share}")
    for flags in commands:
        status = subprocess.run([sys.executable, ROOT / "train.py", *flags], check=False).returncode
        if status:
            sys.exit(status)
    print(table(option.save_dir))


if __name__ == "__main__":
    main()
