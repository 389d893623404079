"""Chooses a method's settings on validation images: a random search, whose first trial is the defaults.

python tune.py -e NAME --dataset images --data_dir DIR --method lntl_plus --trials 12 --workers 2

Every other flag is one of train.py, and the same in all trials. The range of a setting stands in its method's class
(`ranges`). A trial is a run of train.py, SAVE_DIR/NAME_trialK; the same command again goes on where it was stopped. The
best trial has the highest worst group on the validation images, in the last epoch; of two, the higher mean over groups.
"""

import math
import multiprocessing
import shlex
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import common.before_torch  # noqa: F401

# isort: split
import numpy as np

import option as options
from common import Parser, count, seed
from common.commands import command
from common.errors import Busy, Diverged, UserError, exits
from common.files import read_json_lines, replacing
from methods import METHODS
from train import train

JUDGED_BY = ("holdout_worst_group_accuracy", "holdout_mean_group_accuracy")


def draw(ranges, trial, search_seed):
    """{flag: value} of a trial: {} of trial 0, else drawn from `ranges`, {flag: (low, high)}, evenly in the log."""
    rng = np.random.default_rng([search_seed, trial])
    low_high = {flag: (math.log(low), math.log(high)) for flag, (low, high) in ranges.items()}
    return {flag: float(f"{math.exp(rng.uniform(*ends)):.2g}") for flag, ends in low_high.items()} if trial else {}


def run_trial(flags):
    """Trains one trial, or goes on with it. Returns the exit status; 0 too where its losses became NaN."""
    try:
        return train(options.train_options(flags))
    except Busy:  # another worker has it
        return 0
    except Diverged as error:
        print(f"WARNING: {error}")
        return 0


def result(folder):
    """(worst group, mean over groups) on validation images of the last epoch of a finished trial; None of another."""
    if not (folder / "metrics.json").exists():
        return None
    last = read_json_lines(folder / "log.jsonl")[-1]
    if JUDGED_BY[0] not in last:
        raise UserError(f"{folder} has no validation images with a bias label; add a split val, or give --holdout N")
    return tuple(last[key] for key in JUDGED_BY)


def table(trials):
    """Markdown of [(settings, result or None, folder)], the best first."""
    names = [*dict.fromkeys(name for settings, *_ in trials for name in settings)]
    rows = [f"| trial | {' | '.join([*names, 'worst group', 'mean over groups'])} |", "|---" * (len(names) + 3) + "|"]
    for settings, found, folder in trials:
        figures = [f"{value:.4f}" for value in found] if found else ["diverged" if diverged(folder) else "not run", "-"]
        rows.append(f"| {folder.name} | {' | '.join([*(str(settings.get(n, 'default')) for n in names), *figures])} |")
    return "\n".join(rows) + "\n"


def diverged(folder):
    return (folder / "diverged.json").exists()


@exits
def main(arguments=None):
    parser = Parser(prog="tune.py", description=__doc__)
    parser.add_argument(
        "--trials", type=count, default=12, help="settings that are tried, the defaults among them [12]"
    )
    parser.add_argument("--workers", type=count, default=1, help="trials at a time, a process each [1]")
    parser.add_argument("--search_seed", type=seed, default=0, help="of the settings that are drawn [0]")
    own, given = parser.parse_known_args(arguments)
    option = options.train_options(given)  # refuses what is wrong before any trial
    ranges = METHODS[option.method].ranges
    if taken := sorted(flag for flag in ranges if any(word.partition("=")[0] == f"--{flag}" for word in given)):
        ranges = {flag: ends for flag, ends in ranges.items() if flag not in taken}
    trials, commands = [], []
    for trial in range(own.trials):
        settings = draw(ranges, trial, own.search_seed)
        folder = Path(option.save_dir, f"{option.exp_name}_trial{trial}")
        flags = [f"--{name}={value}" for name, value in settings.items()]
        flags = [*given, *flags, f"--random_seed={option.random_seed}", "--continue", "-e", folder.name]
        trials.append((settings, folder))
        if not (folder / "metrics.json").exists() and not diverged(folder):
            commands.append(flags)
    if own.workers > 1:
        with ProcessPoolExecutor(own.workers, multiprocessing.get_context("spawn")) as pool:
            statuses = [*pool.map(run_trial, commands)]
    else:
        statuses = []
        for flags in commands:
            statuses.append(run_trial(flags))
            if statuses[-1]:
                break
    if stopped := next(filter(None, statuses), 0):
        print("stopped; to go on, give the same command again")
        return stopped
    found = [(settings, result(folder), folder) for settings, folder in trials]
    found.sort(key=lambda trial: trial[1] or (-1,), reverse=True)
    if not found[0][1]:
        raise UserError("no trial has a result; give a smaller --lr, or look into the trials' log.txt")
    text = table(found)
    path = Path(option.save_dir, f"{option.exp_name}_tuned.md")
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")
    best = [f"--{name}={value}" for name, value in found[0][0].items()]
    print(f"{text}written: {path}")
    print(f"to train with the best: {command('train.py')} {shlex.join([*given, *best])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
