"""How λ, μ and the learning rate were chosen on Biased-MNIST: a list that was fixed before it was run,
but for the last three of LNTL+.

    python reproduce.py --dataset biased_mnist --studies selection

5,000 training images are held out, of pretraining too, and judged on backgrounds of which every one is equally
frequent, as in the test; no setting is chosen on the test. At one ρ and one run, for all of them.
"""

import itertools
from typing import NamedTuple

from evidence.selection import CRITERION, JUDGED_BY, first_of_best
from evidence.settings import in_words
from methods import METHODS

RHO, RUN = 0.995, 1


class Row(NamedTuple):
    """A method with flags of its own: of the table, or of the list."""

    name: str  # of its runs, before _rhoR_seedK
    method: str
    flags: str = ""  # of train.py
    title: str = ""
    start: str = "baseline"  # the row whose weights it begins with, where its method begins with trained ones


def candidate(method, lr, lambda_, mu, *more, scratch=False):
    """A row of the list. more: further flags, NAME VALUE."""
    own = "_".join("".join(pair) for pair in more)
    name = f"{method}_holdout_lr{lr:g}_lambda{lambda_:g}_mu{mu:g}" + (f"_{own}" if own else "")
    flags = f"--lr {lr:g} --lambda_ {lambda_:g} --mu {mu:g}" + "".join(f" --{key} {value}" for key, value in more)
    if scratch:
        name, flags = f"{name}_scratch", f"{flags} --from_scratch"
    return Row(name, method, f"{flags} --holdout 5000", start="baseline_holdout")


BASELINE = Row("baseline_holdout", "baseline", "--holdout 5000")
CANDIDATES = {
    "lntl": (
        candidate("lntl", 0.001, 0.01, 0.1),  # the paper's
        candidate("lntl", 0.001, 0.01, 1),
        candidate("lntl", 0.001, 1, 0.1),
        candidate("lntl", 0.001, 1, 1),
        candidate("lntl", 0.01, 0.01, 0.1),
        candidate("lntl", 0.01, 0.01, 1),
        candidate("lntl", 0.01, 1, 0.1),
        candidate("lntl", 0.01, 1, 1),
        candidate("lntl", 0.01, 0.01, 0.1, scratch=True),
        candidate("lntl", 0.01, 0.01, 1, scratch=True),
        candidate("lntl", 0.01, 1, 1, scratch=True),
    ),
    "lntl_plus": (
        candidate("lntl_plus", 0.01, 0.01, 0.1),  # that of Colored-MNIST
        candidate("lntl_plus", 0.01, 0.01, 0.03),
        candidate("lntl_plus", 0.01, 0.01, 0.01),
        candidate("lntl_plus", 0.01, 0.01, 0.001),
        candidate("lntl_plus", 0.01, 0, 0),  # its label loss alone
        candidate("lntl_plus", 0.001, 0.01, 0.1),
        candidate("lntl_plus", 0.01, 0.01, 0.01, ("smoothing", "0.01")),
        candidate("lntl_plus", 0.01, 0.01, 0.01, ("smoothing", "0.1")),
        # Listed when the others had been run, of which some diverge: the label loss is scaled by 37 here.
        candidate("lntl_plus", 0.003, 0.01, 0.1),
        candidate("lntl_plus", 0.003, 0.01, 0.03),
        candidate("lntl_plus", 0.003, 0.01, 0.01),
    ),
}
LIST = (BASELINE, *CANDIDATES["lntl"], *CANDIDATES["lntl_plus"])
CHOSEN = {
    "lntl": "lntl_holdout_lr0.001_lambda1_mu1",
    "lntl_plus": "lntl_plus_holdout_lr0.01_lambda0.01_mu0.03",
}  # by `pick`


def chosen_rows():
    """The rows of the table for what was chosen, where that is another setting than the table has anyway."""
    rows = {row.name: row for row in LIST}
    for method, name in CHOSEN.items():
        if name not in (None, CANDIDATES[method][0].name):
            flags = rows[name].flags.replace(" --holdout 5000", "")
            other = flags.replace(f"--lr {METHODS[method].lr:g} ", "")  # than the method's own
            yield Row(f"{method}_chosen", method, flags, ", ".join([METHODS[method].title, *in_words(other)]))


def judged(run):
    """The criterion after the last epoch; -1 where the losses became NaN."""
    return -1 if run["diverged"] else run["log"][-1][CRITERION]


def pick(runs, method):
    """The rule: the highest criterion after the last epoch; of those within TIE of it, the first of the list.

    runs: {name of a row: run}. Returns a name, or None as long as one of the list has not been run.
    """
    names = [row.name for row in CANDIDATES[method]]
    return first_of_best({name: judged(runs[name]) if name in runs else None for name in names})


def table(runs):
    """The list in Markdown; what the rule picks of each method in bold. runs: {name of a row: run}."""
    rows = ["| method | learning rate | λ | μ | smoothing | start | " + " | ".join(JUDGED_BY) + " |"]
    rows.append("|" + "---|" * (6 + len(JUDGED_BY)))
    for method, candidates in CANDIDATES.items():
        picked = pick(runs, method)
        for row in candidates:
            words = row.flags.split()
            flags = dict(itertools.pairwise(words))
            if not (run := runs.get(row.name)):
                values = ["not yet run", *["-"] * (len(JUDGED_BY) - 1)]
            elif run["diverged"]:
                values = [f"diverged in epoch {run['diverged']}", *["-"] * (len(JUDGED_BY) - 1)]
            else:
                values = [f"{run['log'][-1][key]:.4f}" for key in JUDGED_BY.values()]
            if row.name == picked:
                values[0] = f"**{values[0]}**"
            start = "random" if method == "lntl_plus" or "--from_scratch" in words else "baseline"
            setting = [METHODS[method].title, flags["--lr"], flags["--lambda_"], flags["--mu"]]
            setting += [flags.get("--smoothing", "0.03" if method == "lntl_plus" else "-"), start]
            rows.append("| " + " | ".join([*setting, *values]) + " |")
    return "\n".join(rows)
