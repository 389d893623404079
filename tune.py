"""Chooses a method's settings on validation images: a random search, whose first trial is the defaults.

python tune.py -e NAME --dataset images --data_dir DIR --method lntl_plus --trials 12

Every other flag is one of train.py, and the same in all trials. The range of a setting stands in its method's class
(`ranges`). A trial is a run of train.py, SAVE_DIR/NAME_trialK; the same command again goes on where it was stopped, or
takes the trials that another process has not. The best trial has the highest worst group on the validation images, in
the last epoch; of two, the higher mean over groups.
"""

import math
import shlex
import sys
from pathlib import Path

import common.before_torch  # noqa: F401

# isort: split
import numpy as np
from tabulate import tabulate

import option as options
from common import Parser, count
from common.commands import command
from common.errors import Busy, Diverged, UserError, exits
from common.files import read_json_lines, replacing
from methods import METHODS
from train import train

JUDGED_BY = ("holdout_worst_group_accuracy", "holdout_mean_group_accuracy")


def draw(ranges, trial):
    """{flag: value} of a trial: {} of trial 0, else drawn from `ranges`, {flag: (low, high)}, evenly in the log."""
    rng = np.random.default_rng([0, trial])
    low_high = {flag: (math.log(low), math.log(high)) for flag, (low, high) in ranges.items()}
    return {flag: float(f"{math.exp(rng.uniform(*ends)):.2g}") for flag, ends in low_high.items()} if trial else {}


def result(folder):
    """(worst group, mean over groups) on validation images of the last epoch of a finished trial; None of another."""
    last = read_json_lines(folder / "log.jsonl")[-1] if (folder / "metrics.json").exists() else None
    if last and JUDGED_BY[0] not in last:
        raise UserError(f"{folder} has no validation images with a bias label; add a split val, or give --holdout N")
    return last and tuple(last[key] for key in JUDGED_BY)


@exits
def main(arguments=None):
    parser = Parser(prog="tune.py", description=__doc__)
    parser.add_argument("--trials", type=count, default=12, help="settings, the defaults among them [12]")
    own, given = parser.parse_known_args(arguments)
    given = ["--random_seed", "1", *given]  # where it is given again, that one counts
    option = options.train_options(given)  # refuses what is wrong before any trial
    words = {word.partition("=")[0] for word in given}
    ranges = {flag: ends for flag, ends in METHODS[option.method].ranges.items() if f"--{flag}" not in words}
    flags = [[f"--{name}={value}" for name, value in draw(ranges, k).items()] for k in range(own.trials)]
    trials = [(its, Path(option.save_dir, f"{option.exp_name}_trial{k}")) for k, its in enumerate(flags)]
    for its, folder in trials:
        if any((folder / name).exists() for name in ("metrics.json", "diverged.json")):
            continue
        try:
            status = train(options.train_options([*given, *its, "--continue", "-e", folder.name]))
        except (Busy, Diverged) as error:  # Busy: another process has it
            print(f"WARNING: {error}")
            continue
        if status:
            print("stopped; to go on, give the same command again")
            return status
    found = [(result(folder), folder, its) for its, folder in trials]
    found.sort(key=lambda trial: trial[0] or (-1,), reverse=True)
    if not found[0][0]:
        raise UserError("no trial has a result; give a smaller --lr, or look into the trials' log.txt")
    rows = [(folder.name, " ".join(its) or "defaults", *(best or ("no result", "-"))) for best, folder, its in found]
    text = tabulate(rows, ("trial", "settings", "worst group", "mean over groups"), tablefmt="github", floatfmt=".4f")
    path = Path(option.save_dir, f"{option.exp_name}_tuned.md")
    with replacing(path) as temporary:
        temporary.write_text(f"{text}\n", "utf-8")
    print(f"{text}\nwritten: {path}")
    print(f"to train with the best: {command('train.py')} {shlex.join([*given, *found[0][2]])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
