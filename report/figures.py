"""Figures, from the frames of records.frame. A method has the same colour and marker in all of them (STYLE)."""

import numpy as np

from common.picture import draw_confusion, plain, save, subplots
from dataset.colored_mnist import MEAN_COLORS, build, show_samples
from report.published import COLOR_VARS, PUBLISHED
from report.tables import MINE, TITLES, select

OURS = ("baseline", "blindeye", "gray", "lntl", "lntl_plus")
COLORS = ("#d55e00", "#0072b2", "#7f7f7f", "#009e73", "#b3397b", "#56b4e9", "#8c564b", "#5b3fa0", "#999900", "#e0a000")
ORDER = [*OURS, *(method for method in MINE if method not in OURS)]
STYLE = dict(zip(ORDER, zip(COLORS, "ovs^DPXhp*", strict=True), strict=False))  # method: colour, marker
COLOR_VAR = 0.02  # of the figures that show one variance
GLANCE = ("baseline", "lntl", "lntl_plus")
AT = f"$\\sigma^2$ = {COLOR_VAR}"


def tidy(axis, **words):
    """Labels, no frame at the top and the right, a light grid."""
    axis.set(**words)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="0.9", lw=0.7)
    axis.set_axisbelow(True)


@plain
def glance(path, cells):
    """Samples of training and test, and three accuracies at one variance."""
    data = build(COLOR_VAR)
    figure, axes = subplots(1, 3, (10, 3.9), width_ratios=(1, 1, 1.5))
    show_samples(axes[0], data.train, "training:\nthe colour follows the digit")
    show_samples(axes[1], data.test, "test:\nthe colour says nothing")
    for place, method in enumerate(GLANCE):
        mean, published = cells[method, COLOR_VAR]["mean"], PUBLISHED.get(method, {}).get(COLOR_VAR)
        axes[2].barh(place, mean, 0.5, color=STYLE[method][0])
        text = f"{mean:.2f}, mean of {cells[method, COLOR_VAR]['n']}"
        axes[2].text(mean - 0.02, place, text, ha="right", va="center", color="white", size=10)
        if published:
            axes[2].plot([published] * 2, [place - 0.36, place + 0.36], color="black", lw=1.5)
            axes[2].text(published, place - 0.38, f"{published:.4f}", ha="center", va="bottom")
    axes[2].set_yticks(range(len(GLANCE)), [TITLES[m] for m in GLANCE])
    title = f"accuracy on the test, {AT}\nbars: ours; lines: as published"
    tidy(axes[2], title=title, xlim=(0, 1), ylim=(len(GLANCE) - 0.5, -0.7))
    axes[2].grid(visible=False, axis="y")
    save(figure, path)


@plain
def accuracy(path, cells):
    """Accuracy against the variance: hollow as published, filled as measured, bars for one std."""
    means = {key: (cell["mean"], cell["std"] or 0) for key, cell in cells.items() if key[0] in MINE}
    figure, axis = subplots(1, 1, (9.5, 4.8))
    for method in [m for m in MINE if any(m == name for name, _ in means)]:
        color, marker = STYLE[method]
        if method in PUBLISHED:
            hollow = {"marker": marker, "color": color, "mfc": "white", "lw": 1, "ms": 6}
            axis.plot(*zip(*PUBLISHED[method].items(), strict=True), "--", **hollow)
        places = sorted({*COLOR_VARS, *(v for name, v in means if name == method)})
        mean, std = zip(*(means.get((method, v), (np.nan, 0)) for v in places), strict=True)  # no line over a gap
        axis.errorbar(places, mean, std, color=color, marker=marker, ms=5, lw=1.5, capsize=4, label=TITLES[method])
    axis.plot([], [], "--o", color="black", mfc="white", lw=1, label="published (hollow)")
    tidy(axis, xlabel=r"variance of the colours, $\sigma^2$", ylabel="accuracy on the test, last epoch")
    axis.set_xticks(sorted({*COLOR_VARS, *(v for _, v in means)}))
    axis.set_xlim(left=min(v for _, v in [*means, ("", COLOR_VARS[0])]) - 0.002)
    title = "ours: filled,\nbars of one std"
    figure.legend(loc="outside right upper", frameon=False, alignment="left", title=title)
    save(figure, path)


def confusion(path, runs):
    """Confusion matrices of run 1 of three methods at one variance, under the mean colours of training."""
    found = [r for m in GLANCE for _, r in select(runs, m, COLOR_VAR).query("seed == 1").iterrows()]
    titles = [f"{TITLES[r.row]}, run 1: {r['metrics.accuracy']:.4f}" for r in found]
    matrices = zip(titles, (r["metrics.confusion"] for r in found), strict=True)
    draw_confusion(path, [*matrices], colors=MEAN_COLORS)


@plain
def by_place(path, runs, rows, places, column, words, published=None):
    """A column of the rows at every place (a ρ, a bias), bars for one std; hollow: of the first recipe.

    words: of the axes. published: {title: a figure a place}, for a line each.
    """
    figure, axis = subplots(1, 1, (10, 5.5))
    shown = [row for row in rows if row.name in {*runs.row}]
    for i, row in enumerate(shown):
        color, marker = ("black", "_") if row.name == "fair" else STYLE[row.method]
        how = {"color": color, "marker": marker, "capsize": 3, "label": row.title}
        how["ls"] = "" if isinstance(places[0], str) else "-"  # no line between biases
        how |= {"ls": "--", "mfc": "white"} if "first recipe" in row.title else {}
        values = [select(runs, row.name, place, column).dropna() for place in places]
        at = np.arange(len(places)) + 0.03 * (i - len(shown) / 2)  # side by side
        std = [v.std() if len(v) > 1 else 0 for v in values]
        axis.errorbar(at, [v.mean() for v in values], std, **how)
    for title, values in (published or {}).items():
        axis.plot(values, ":o", mfc="white", color="0.4", label=title)
    tidy(axis, ylim=(0, 1), **words)
    axis.set_xticks(range(len(places)), places)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    save(figure, path)
