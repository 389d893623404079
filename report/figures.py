"""Figures, from the frames of records.frame. A method has the same colour and marker in all of them (STYLE)."""

import numpy as np

from common.picture import plain, save, subplots
from methods import METHODS
from report.published import BIASED_MNIST, COLOR_VARS, LNL, MARKS, PUBLISHED, RHOS, STRONG
from report.rows import BIASED, BIASES, STRONG_PLUS, SUITE, Row
from report.tables import MEAN, MINE, select

OURS = ("baseline", "blindeye", "gray", "lntl", "lntl_plus")
COLORS = ("#d55e00", "#0072b2", "#7f7f7f", "#009e73", "#b3397b", "#56b4e9", "#8c564b", "#5b3fa0", "#999900", "#e0a000")
MARKERS = "ovs^DPXhp*d"
ORDER = [*OURS, *(method for method in MINE if method not in OURS)]
STYLE = {m: {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)]} for i, m in enumerate(ORDER)}


@plain
def by_place(path, runs, rows, places, column, published=(), **words):
    """A column of the rows at every place (a variance, a ρ, a bias), bars for one std.

    published: of hollow points, (title or None, {place: figure}, how they are drawn) each. words: of the axes.
    """
    figure, axis = subplots(1, 1, (10, 5.5))
    shown = [row for row in rows if row.name in {*runs.row}]
    for i, row in enumerate(shown):
        how = {"color": "black", "marker": "_"} if row.name == "fair" else STYLE[row.method]
        values = [select(runs, row.name, place, column).dropna() for place in places]
        at = np.arange(len(places)) + 0.03 * (i - len(shown) / 2)  # side by side
        std = [v.std() if len(v) > 1 else 0 for v in values]
        line = "" if isinstance(places[0], str) else "-"  # none between biases
        axis.errorbar(at, [v.mean() for v in values], std, capsize=3, label=row.title, ls=line, **how)
    for title, figures, how in published:
        found = [(at, figures[place]) for at, place in enumerate(places) if place in figures]
        axis.plot(*zip(*found, strict=True), mfc="white", label=title, **how)
    axis.set(**words)
    axis.set_xticks(range(len(places)), places)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="0.9", lw=0.7)
    axis.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    save(figure, path)


def draw(folder, runs):
    """Draws all figures of the report in `folder`. runs: {table: frame}."""
    colored = runs["colored_mnist"].replace({"row": {STRONG_PLUS.name: STRONG_PLUS.method}})
    rows = [Row(method) for method in MINE]
    strong = [v for v in STRONG if any(len(select(colored, row.name, v)) for row in rows)]
    hollow = [(f"{METHODS[m].title}, published", PUBLISHED[m], {"ls": "--", "lw": 1} | STYLE[m]) for m in PUBLISHED]
    for name, marker in {"CSAD": "<", "SABAF": ">"}.items() if strong else ():  # run by Li et al. 2023
        hollow.append((f"{name}, published", MARKS[name], {"ls": "", "marker": marker, "color": "black"}))
    words = {"xlabel": r"variance of the colours, $\sigma^2$", "ylabel": "accuracy on the test, last epoch"}
    by_place(folder / "accuracy.png", colored, rows, [*strong, *COLOR_VARS], "last.test_accuracy", hollow, **words)

    words = {"xlabel": "ρ, share of training images on their digit's colour", "ylabel": "unbiased accuracy, last epoch"}
    lnl = {rho: float(figure.split()[0]) for rho, figure in zip(RHOS, BIASED_MNIST[LNL], strict=True)}
    hollow = [("LNL, published, another network", lnl, {"ls": ":", "marker": "o", "color": "0.4"})]
    by_place(
        folder / "biased_mnist.png",
        runs["biased_mnist"],
        BIASED,
        RHOS,
        "metrics.accuracy",
        hollow,
        ylim=(0, 1),
        **words,
    )
    words = {"ylim": (0, 1.02), "ylabel": "mean over groups, last epoch"}
    by_place(folder / "suite.png", runs["suite"], SUITE, [*BIASES], MEAN, **words)
