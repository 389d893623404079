"""How much of the spread is the draw of the colours, how much the seed, how much the start: an analysis of variance.

One-way, with random effects, over the runs that there are: what differs within a group is the one, what differs between
groups the other and the first. Variances σ² of the colours are pooled where a row says so.
"""

import math
import statistics
from typing import NamedTuple

from dataset.colored_mnist import COLOR_VARS
from evidence.records import AUTHORS_NETWORK, ONE_DRAW, start, title
from run.compare import PUBLISHED

NOT_YET = "not yet"
CROSSED = ("lntl", f"lntl_{ONE_DRAW}", "lntl_baseline1", "lntl_baseline2", "lntl_official")  # one draw, several starts


class Spread(NamedTuple):
    """What came out. Degrees of freedom are 0, and the variance None, where too few runs tell it."""

    n: int  # runs
    within: float | None  # variance of what differs within a group
    dof_within: int
    between: float | None  # variance of what is common to a group, 0 at least
    dof_between: int

    @property
    def share(self):
        """The share of the group in the variance of one run, or None."""
        if self.within is None or self.between is None:
            return None
        both = self.within + self.between
        return self.between / both if both else 0.0


def one_way(cells):
    """The decomposition of cells, a dict {group: list of values} each; their sums of squares are pooled.

    By the method of moments, groups of any sizes: the mean square within is the variance within, and the sum of squares
    between is expected to be (groups - 1) · within + (N - Σ n²/N) · between.
    """
    cells = [[values for values in groups.values() if values] for groups in cells]
    squares_within = squares_between = weight = 0.0
    dof_within = dof_between = n = 0
    for groups in cells:
        values = [v for group in groups for v in group]
        if not values:
            continue
        mean, count = statistics.fmean(values), len(values)
        n += count
        for group in groups:
            center = statistics.fmean(group)
            squares_within += sum((v - center) ** 2 for v in group)
            squares_between += len(group) * (center - mean) ** 2
        dof_within += count - len(groups)
        dof_between += len(groups) - 1
        weight += count - sum(len(group) ** 2 for group in groups) / count
    within = squares_within / dof_within if dof_within else None
    between = None
    if dof_between and within is not None:
        between = max(0.0, (squares_between - dof_between * within) / weight)
    return Spread(n, within, dof_within, between, dof_between)


def last_of(run):
    return run["log"][-1]["test_accuracy"]


def by_draw(runs, method):
    """{σ²: {data seed: accuracies}} of a method, each run from the baseline of its own seed and draw."""
    found = {v: {} for v in COLOR_VARS}
    for run in runs.values():
        option = run["options"]
        if run["method"] in (method, f"{method}_{ONE_DRAW}") and option["color_var"] in found:
            found[option["color_var"]].setdefault(option["data_seed"], []).append(last_of(run))
    return found


def by_start(runs):
    """{(σ², data seed): {start: {seed: accuracy}}} of LNTL, where several starts, or seeds of one, were tried."""
    found = {}
    for run in runs.values():
        if run["method"] in CROSSED:
            option = run["options"]
            cell = found.setdefault((option["color_var"], option["data_seed"]), {})
            cell.setdefault(start(option), {})[option["random_seed"]] = last_of(run)
    return {key: cell for key, cell in sorted(found.items()) if sum(map(len, cell.values())) > 1}


# ------------------------------------------------------------------------------------------------- tables


def deviation(variance, dof):
    """A standard deviation with its degrees of freedom."""
    return NOT_YET if variance is None else f"{math.sqrt(variance):.4f} ({dof})"


def row(what, where, spread):
    share = NOT_YET if spread.share is None else f"{spread.share:.0%}"
    within = deviation(spread.within, spread.dof_within)
    return f"| {what} | {where} | {spread.n} | {within} | {deviation(spread.between, spread.dof_between)} | {share} |"


def analysis(runs):
    """The decompositions in Markdown: baseline and LNTL by draw, LNTL by start; σ² by σ², and pooled."""
    rows = [
        "| runs, and what differs within: between | σ² | n | std within | std between | share of between |",
        "|---|---|---|---|---|---|",
    ]
    for method in ("baseline", "lntl"):
        found = by_draw(runs, method)
        what = f"{title(method)}, seed{' and its baseline' if method == 'lntl' else ''}: draw"
        several = {v: groups for v, groups in found.items() if sum(map(len, groups.values())) > 1}
        rows += [row(what, v, one_way([groups])) for v, groups in several.items()]
        rows.append(row(f"**{what}**", "all", one_way(several.values())))
    what = "LNTL on one draw, order of the images: start"
    cells = {
        key: {name: [*seeds.values()] for name, seeds in groups.items() if name != AUTHORS_NETWORK}
        for key, groups in by_start(runs).items()
    }
    rows += [row(what, f"{v}, draw {draw}", one_way([groups])) for (v, draw), groups in cells.items()]
    rows.append(row(f"**{what}**", "all", one_way(cells.values())))
    return "\n".join(rows)


def crossed(runs):
    """Accuracy of LNTL by start and seed, in Markdown, where they were crossed."""
    cells = by_start(runs)
    seeds = sorted({seed for groups in cells.values() for of_seed in groups.values() for seed in of_seed})
    rows = ["| σ² | draw | start | " + " | ".join(f"seed {s}" for s in seeds) + " |", "|" + "---|" * (3 + len(seeds))]
    for (color_var, draw), groups in cells.items():
        for name, of_seed in sorted(groups.items()):
            values = [f"{of_seed[s]:.4f}" if s in of_seed else "" for s in seeds]
            rows.append(f"| {color_var} | {draw} | {name} | " + " | ".join(values) + " |")
    return "\n".join(rows)


def draws(runs):
    """Baseline and LNTL by draw, in Markdown: the mean over the seeds of each draw, and their number."""
    found = {method: by_draw(runs, method) for method in ("baseline", "lntl")}
    numbers = sorted({draw for cells in found.values() for groups in cells.values() for draw in groups})
    rows = ["| method | σ² | published | " + " | ".join(f"draw {d}" for d in numbers) + " |"]
    rows.append("|" + "---|" * (3 + len(numbers)))
    for method, cells in found.items():
        for color_var, groups in cells.items():
            values = [
                f"{statistics.fmean(groups[d]):.4f}" + (f" ({len(groups[d])})" if len(groups[d]) > 1 else "")
                if d in groups
                else NOT_YET
                for d in numbers
            ]
            head = f"| {title(method)} | {color_var} | {PUBLISHED[method][color_var]:.4f} | "
            rows.append(head + " | ".join(values) + " |")
    return "\n".join(rows)


def answer(runs):
    """What the analysis says, in two or three sentences; only what its numbers of runs allow."""
    sentences = []
    for method in ("baseline", "lntl"):
        found = one_way([g for g in by_draw(runs, method).values() if sum(map(len, g.values())) > 1])
        name = title(method)
        if found.share is None:
            tell = f"seed alone {math.sqrt(found.within):.4f}" if found.within is not None else "nothing yet"
            sentences.append(f"{name}: {found.n} runs; std of the {tell}; of the draw: not yet.")
            continue
        sentences.append(
            f"{name}: over {found.n} runs, one run deviates by a std of {math.sqrt(found.within + found.between):.4f}: "
            f"{math.sqrt(found.within):.4f} by the seed and {math.sqrt(found.between):.4f} by the draw, which has "
            f"{found.share:.0%} of the variance ({found.dof_within} and {found.dof_between} degrees of freedom)."
        )
    cells = [
        {name: [*seeds.values()] for name, seeds in groups.items() if name != AUTHORS_NETWORK}
        for groups in by_start(runs).values()
    ]
    found = one_way(cells)
    if found.share is not None:
        sentences.append(
            f"LNTL on one draw: {math.sqrt(found.within):.4f} by the order of the images and "
            f"{math.sqrt(found.between):.4f} by the start, which has {found.share:.0%} of the variance "
            f"({found.n} runs, {found.dof_within} and {found.dof_between} degrees of freedom)."
        )
    return "\n".join(f"- {sentence}" for sentence in sentences)


def page(runs):
    """The generated part of the page on the spread."""
    return "\n\n".join((answer(runs), analysis(runs), draws(runs), crossed(runs)))
