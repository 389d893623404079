"""The demonstration on photographs: cut-outs (dataset/cutouts.py) with a ResNet-18, each method with three seeds.

    python -m dataset.cutouts --out checkpoint/cutouts
    python -m evidence.demonstration --data_dir checkpoint/cutouts    # again after any interruption
    python -m evidence.demonstration --plan                           # the commands alone

Every method sees every training image ten times: the baseline and LNTL+ in ten epochs from random weights, LNTL in
five that begin with the baseline's weights after its fifth. `--add` copies the records of what is finished to
results/demonstration/; `python reproduce.py --report` makes the tables of docs/IMAGES.md and the figure of them.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

from common import number
from errors import UserError, exits
from evidence.records import ROOT, copy_records
from files import read_json_lines
from methods import METHODS as KINDS
from run.folder import RunFolder

RESULTS = Path("results", "demonstration")
METHODS = ("baseline", "lntl", "lntl_plus")
SEEDS = (1, 2, 3)
EPOCHS, START = 10, 5  # in all, and those of the baseline after which LNTL starts
COMMON = "--dataset images --network resnet18 --image_size 64 --init random --batch_size 32"
SETTINGS = {  # of LNTL, beside its defaults: what was tried with seed 1
    "default": "",
    "lr0.01": "--lr 0.01",
}
CHOSEN = "default"  # by the accuracy on the validation images in the last epoch
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


def run_name(method, seed, setting=CHOSEN):
    """The name of a run, which is that of its folder. LNTL alone has settings; the others keep to their defaults."""
    return f"{method}_{setting}_seed{seed}" if method == "lntl" else f"{method}_seed{seed}"


def runs(option):
    """The flags of train.py of every run, a list of lists, in the order of need.

    option.data_dir, save_dir, methods, seeds, threads, device; option.select: whether LNTL's settings are tried too.
    """
    found = []

    def add(method, seed, setting=CHOSEN):
        flags = ["-e", run_name(method, seed, setting), "--method", method, *COMMON.split()]
        flags += [f"--data_dir={option.data_dir}", f"--save_dir={option.save_dir}", "--random_seed", str(seed)]
        if method == "lntl":
            start = Path(option.save_dir, run_name("baseline", seed), f"checkpoint_step_{START:04d}.pth")
            flags += ["--max_step", str(EPOCHS - START), f"--checkpoint={start}", *SETTINGS[setting].split()]
        else:
            flags += ["--max_step", str(EPOCHS), "--save_step", str(START)]
        for flag in ("threads", "device"):
            if (value := getattr(option, flag)) is not None:
                flags += [f"--{flag}", str(value)]
        found.append(flags)

    for method in METHODS:
        for seed in option.seeds:
            if method in option.methods or (method == "baseline" and "lntl" in option.methods):
                add(method, seed)
    if option.select:
        for setting in SETTINGS:
            if setting != CHOSEN:
                add("lntl", SEEDS[0], setting)
    return found


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


def of_method(found, method):
    """The runs of a method, by seed."""
    names = (run_name(method, seed) for seed in SEEDS)
    return [found[name] for name in names if name in found]


def values(records, column):
    """The figures of a column of the table, one a run; [] where the method has none."""
    kind, key = COLUMNS[column]
    return [run[kind][key] for run in records if run[kind].get(key) is not None]


def spread(figures):
    """mean ± std of a sample, in Markdown; a dash where there is none."""
    if not figures:
        return "-"
    return f"{statistics.fmean(figures):.3f}" + (f" ± {statistics.stdev(figures):.3f}" if len(figures) > 1 else "")


def table(folder):
    """The table of the methods in Markdown, from the records in a folder: mean ± std over the seeds."""
    found = read_runs(folder)
    rows = [f"| method | {' | '.join(COLUMNS)} | n | minutes |", "|" + "---|" * (len(COLUMNS) + 3)]
    for method in METHODS:
        records = of_method(found, method)
        if not records:
            rows.append(f"| {KINDS[method].title} | not yet run |" + " |" * (len(COLUMNS) + 1))
            continue
        minutes = statistics.fmean(sum(e["seconds"] for e in r["log"]) / 60 for r in records)
        cells = [spread(values(records, column)) for column in COLUMNS]
        rows.append(f"| {KINDS[method].title} | {' | '.join(cells)} | {len(records)} | {minutes:.0f} |")
    return "\n".join(rows)


def groups_table(folder):
    """The accuracy of every group in Markdown: a row a group, a column a method, the mean over the seeds."""
    found = read_runs(folder)
    methods = [m for m in METHODS if of_method(found, m)]
    columns = {}
    for method in methods:
        for run in of_method(found, method):
            for group in run["metrics"]["groups"]:
                columns.setdefault((group["y"], group["b"], group["n"]), {}).setdefault(method, []).append(
                    group["accuracy"]
                )
    rows = [f"| group | images | {' | '.join(KINDS[m].title for m in methods)} |", "|" + "---|" * (2 + len(methods))]
    for (y, b, n), by_method in columns.items():
        rows.append(f"| {y} / {b} | {n} | {' | '.join(spread(by_method.get(m, [])) for m in methods)} |")
    return "\n".join(rows)


def selection_table(folder):
    """LNTL's settings with seed 1 in Markdown: the figures on the validation images in the last epoch, not the test."""
    found = read_runs(folder)
    rows = ["| setting | λ | μ | lr | validation accuracy | h on validation |", "|" + "---|" * 6]
    for setting in SETTINGS:
        run = found.get(run_name("lntl", SEEDS[0], setting))
        if not run:
            rows.append(f"| {setting} | not yet run |" + " |" * 4)
            continue
        option, last = run["options"], run["last"]
        name = f"**{setting}** (chosen)" if setting == CHOSEN else setting
        rows.append(
            f"| {name} | {option['lambda_']:g} | {option['mu']:g} | {option['lr']:g} | "
            f"{last['holdout_accuracy']:.3f} | {last['holdout_bias_accuracy']:.3f} |"
        )
    return "\n".join(rows)


def draw(folder, path):
    """Draws the mean over groups and the worst group of every method: bars, one std, and a dot a seed."""
    from common.picture import save, subplots  # matplotlib is slow to import
    from evidence.figures import COLORS, tidy

    found = read_runs(folder)
    methods = [m for m in METHODS if of_method(found, m)]
    figure, axis = subplots(1, 1, (6, 3.4))
    wide = 0.8 / max(1, len(methods))
    for i, method in enumerate(methods):
        places = [place + (i - (len(methods) - 1) / 2) * wide for place in range(len(SHOWN))]
        figures = [values(of_method(found, method), column) for column in SHOWN]
        means = [statistics.fmean(some) for some in figures]
        stds = [statistics.stdev(some) if len(some) > 1 else 0 for some in figures]
        axis.bar(places, means, 0.9 * wide, yerr=stds, capsize=4, color=COLORS[method], label=KINDS[method].title)
        for place, some in zip(places, figures, strict=True):
            axis.plot([place] * len(some), some, "o", color="black", ms=3)
    axis.axhline(0.5, color="black", ls=":", lw=1, label="guessing")
    axis.set(ylabel="test accuracy, last epoch", ylim=(0, 1))
    axis.set_xticks(range(len(SHOWN)), SHOWN)
    tidy(axis)
    figure.legend(loc="outside right upper", frameon=False)
    save(figure, path)


def tables(folder):
    """{name of the marker in docs/IMAGES.md: table} of the records in a folder."""
    return {"demonstration": table(folder), "groups": groups_table(folder), "selection": selection_table(folder)}


def add(save_dir, root=ROOT):
    """Copies the records of every finished run in `save_dir`. Returns the names of those that were new or changed."""
    finished = read_runs(save_dir)
    return [name for name in finished if copy_records(Path(save_dir, name), root / RESULTS / name)]


@exits
def main(arguments=None, parser=None):
    """Trains the methods on cut-outs, one run after another; what is finished or begun is not repeated."""
    parser = parser or argparse.ArgumentParser(prog="python -m evidence.demonstration", description=main.__doc__)
    parser.add_argument("--data_dir", default="checkpoint/cutouts", help="of dataset.cutouts [checkpoint/cutouts]")
    parser.add_argument(
        "--save_dir", default="checkpoint/demonstration", help="folder of the runs [checkpoint/demonstration]"
    )
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=METHODS, help="[all]; LNTL needs its baselines"
    )
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=SEEDS, help="[1 2 3]")
    parser.add_argument("--select", action="store_true", help="try the settings of LNTL with seed 1 too")
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
    if not Path(option.data_dir).is_dir():
        raise UserError(
            f"{option.data_dir} is not there; make it with python -m dataset.cutouts --out {option.data_dir}"
        )
    for flags in commands:
        flags += ["--resume"] if RunFolder.holds_a_run(option.save_dir, flags[1]) else []
        status = subprocess.run([sys.executable, ROOT / "train.py", *flags], check=False).returncode
        if status:
            sys.exit(status)
    print(table(option.save_dir))


if __name__ == "__main__":
    main()
