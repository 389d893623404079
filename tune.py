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
from tabulate import tabulate

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
    except (Busy, Diverged) as error:  # Busy: another worker has it
        print(f"WARNING: {error}")
        return 0


def result(folder):
    """(worst group, mean over groups) on validation images of the last epoch of a finished trial; None of another."""
    last = read_json_lines(folder / "log.jsonl")[-1] if (folder / "metrics.json").exists() else None
    if last and JUDGED_BY[0] not in last:
        raise UserError(f"{folder} has no validation images with a bias label; add a split val, or give --holdout N")
    return last and tuple(last[key] for key in JUDGED_BY)


def table(trials):
    """Markdown of [(settings, result or None, folder)], the best first."""
    rows = []
    for settings, found, folder in trials:
        figures = [f"{value:.4f}" for value in found] if found else ["no result", "-"]
        rows.append([folder.name, " ".join(flags_of(settings)) or "defaults", *figures])
    head = ("trial", "settings", "worst group", "mean over groups")
    return tabulate(rows, head, tablefmt="github", disable_numparse=True) + "\n"


def flags_of(settings):
    return [f"--{name}={value}" for name, value in settings.items()]


@exits
def main(arguments=None):
    parser = Parser(prog="tune.py", description=__doc__)
    parser.add_argument("--trials", type=count, default=12, help="settings, the defaults among them [12]")
    parser.add_argument("--workers", type=count, default=1, help="trials at a time, a process each [1]")
    parser.add_argument("--search_seed", type=seed, default=0, help="of the settings that are drawn [0]")
    own, given = parser.parse_known_args(arguments)
    option = options.train_options(given)  # refuses what is wrong before any trial
    words = {word.partition("=")[0] for word in given}
    ranges = {flag: ends for flag, ends in METHODS[option.method].ranges.items() if f"--{flag}" not in words}
    trials, commands = [], []
    for trial in range(own.trials):
        settings = draw(ranges, trial, own.search_seed)
        folder = Path(option.save_dir, f"{option.exp_name}_trial{trial}")
        trials.append((settings, folder))
        if not any((folder / name).exists() for name in ("metrics.json", "diverged.json")):
            same = [f"--random_seed={option.random_seed}", "--continue", "-e", folder.name]
            commands.append([*given, *flags_of(settings), *same])
    if own.workers > 1:
        with ProcessPoolExecutor(own.workers, multiprocessing.get_context("spawn")) as pool:
            stopped = next(filter(None, [*pool.map(run_trial, commands)]), 0)
    else:
        stopped = next(filter(None, map(run_trial, commands)), 0)
    if stopped:
        print("stopped; to go on, give the same command again")
        return stopped
    found = [(settings, result(folder), folder) for settings, folder in trials]
    found.sort(key=lambda trial: trial[1] or (-1,), reverse=True)
    if not found[0][1]:
        raise UserError("no trial has a result; give a smaller --lr, or look into the trials' log.txt")
    text, path = table(found), Path(option.save_dir, f"{option.exp_name}_tuned.md")
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")
    print(f"{text}written: {path}")
    print(f"to train with the best: {command('train.py')} {shlex.join([*given, *flags_of(found[0][0])])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
