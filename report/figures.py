"""Figures, from the frames of records.frame. A method has the same colour and marker in all of them (STYLE)."""

import itertools

import numpy as np

from common.picture import draw_confusion, plain, save, subplots
from dataset.colored_mnist import MEAN_COLORS, build, show_samples
from report.group_tables import GROUPS
from report.published import COLOR_VARS, MARKS, PUBLISHED, RHOS
from report.rows import BIASED, BIASED_BEFORE, BIASES, SUITE
from report.tables import MINE, TITLES, select

STYLE = {  # method: colour, marker
    "baseline": ("#d55e00", "o"),
    "blindeye": ("#0072b2", "v"),
    "gray": ("#7f7f7f", "s"),
    "lntl": ("#009e73", "^"),
    "lntl_plus": ("#b3397b", "D"),
}
SPARE = itertools.cycle([("#56b4e9", "P"), ("#8c564b", "X"), ("#5b3fa0", "h"), ("#999900", "p"), ("#e0a000", "*")])
STYLE |= {method: next(SPARE) for method in MINE if method not in STYLE}  # in their order
CEILING = ("black", "_")  # trained without the bias
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
    shown = [method for method in GLANCE if (method, COLOR_VAR) in cells]
    for place, method in enumerate(shown):
        mean, published = cells[method, COLOR_VAR]["mean"], PUBLISHED.get(method, {}).get(COLOR_VAR)
        axes[2].barh(place, mean, 0.5, color=STYLE[method][0])
        text = f"{mean:.2f}, mean of {cells[method, COLOR_VAR]['n']}"
        axes[2].text(mean - 0.02, place, text, ha="right", va="center", color="white", size=10)
        if published:
            axes[2].plot([published] * 2, [place - 0.36, place + 0.36], color="black", lw=1.5)
            axes[2].text(published, place - 0.38, f"{published:.4f}", ha="center", va="bottom")
    axes[2].set_yticks(range(len(shown)), [TITLES[m] for m in shown])
    title = f"accuracy on the test, {AT}\nbars: ours; lines: as published"
    tidy(axes[2], title=title, xlim=(0, 1), ylim=(len(shown) - 0.5, -0.7))
    axes[2].grid(visible=False, axis="y")
    save(figure, path)


@plain
def accuracy(path, cells):
    """Accuracy against the variance: hollow as published, filled as measured, bars for one std.

    Where there are runs of the strong-bias region, it lies to the left, with the marks of others.
    """
    means = {key: (cell["mean"], cell["std"] or 0) for key, cell in cells.items() if key[0] in MINE}
    strong = any(v < COLOR_VARS[0] for _, v in means)
    figure, axis = subplots(1, 1, (11 if strong else 9.5, 4.8))
    for method in [m for m in MINE if any(m == name for name, _ in means)]:
        color, marker = STYLE[method]
        if method in PUBLISHED:
            axis.plot(
                *zip(*PUBLISHED[method].items(), strict=True), "--", marker=marker, color=color, mfc="white", lw=1, ms=6
            )
        places = sorted({*COLOR_VARS, *(v for name, v in means if name == method)})
        mean, std = zip(*(means.get((method, v), (np.nan, 0)) for v in places), strict=True)  # no line over a gap
        axis.errorbar(places, mean, std, color=color, marker=marker, ms=5, lw=1.5, capsize=4, label=TITLES[method])
    axis.plot([], [], "--o", color="black", mfc="white", lw=1, label="published (hollow)")
    for (name, row), line in zip(MARKS.items() if strong else (), (":", "-.", (0, (1, 3)), "--", "-"), strict=False):
        axis.plot(
            *zip(*row.items(), strict=True), ls=line, color="0.55", marker="x", ms=4, lw=1, label=f"{name} (± .01)"
        )
    if strong:
        axis.axvspan(0, (0.015 + COLOR_VARS[0]) / 2, color="0.96", zorder=0)
        axis.text(0.0035, 0.985, "strong bias", va="top", transform=axis.get_xaxis_transform())
    tidy(axis, xlabel=r"variance of the colours, $\sigma^2$", ylabel="accuracy on the test, last epoch")
    axis.set_xticks(sorted({*COLOR_VARS, *(v for _, v in means)}))
    axis.set_xlim(left=min(v for _, v in [*means, ("", COLOR_VARS[0])]) - 0.002)
    title = "ours: filled,\nbars of one std" + "\n×: by Li et al. 2023" * strong
    figure.legend(loc="outside right upper", frameon=False, alignment="left", title=title)
    save(figure, path)


def confusion(path, runs):
    """Confusion matrices of run 1 of three methods at one variance, under the mean colours of training."""
    found = [r for m in GLANCE for _, r in select(runs, m, COLOR_VAR).query("seed == 1").iterrows()]
    titles = [f"{TITLES[r.row]}, run 1: {r['metrics.accuracy']:.4f}" for r in found]
    matrices = zip(titles, (r["metrics.confusion"] for r in found), strict=True)
    draw_confusion(path, [*matrices], colors=MEAN_COLORS)


@plain
def curves(path, runs, epochs):
    """Trainings at one variance epoch by epoch, a line a run, a colour a method."""
    panels = {"accuracy on the test images": "test_accuracy", "classification loss in training": "cls_loss"}
    panels |= {"accuracy of h in training": "bias_accuracy", "entropy of h's prediction": "neg_entropy"}
    figure, axes = subplots(2, 2, (9, 6.4))
    figure.suptitle(f"the methods at {AT}, a line a run", fontsize=11)
    for axis, (title, key) in zip(axes.flat, panels.items(), strict=True):
        for method, run in ((m, name) for m in MINE for name in select(runs, m, COLOR_VAR).name):
            log = epochs[epochs.name == run]
            sign = -1 if key == "neg_entropy" else 1
            axis.plot(log.epoch, sign * log[key], color=STYLE[method][0], lw=1.5, label=TITLES[method])
        tidy(axis, title=title, xlabel="epoch", xscale="log")
        axis.xaxis.set_major_formatter("{x:g}")
    axes[0, 1].set_yscale("log")
    axes[1, 1].axhline(np.log(8), color="black", ls=":", lw=1)
    axes[1, 1].text(1, np.log(8) - 0.02, "log 8, that of a guess", va="top", fontsize=9)
    handles = dict(zip(*reversed(axes[0, 0].get_legend_handles_labels()), strict=True))  # one for all runs
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=5, frameon=False)
    save(figure, path)


def look(row):
    """(colour, marker) of a Row."""
    return CEILING if row.name == "fair" else STYLE[row.method]


def figures_of(runs, row, places, column):
    """(means, std, 0 of one run) of a Row at every place; NaN where there is no run."""
    values = [select(runs, row.name, place, column).dropna() for place in places]
    return [v.mean() for v in values], [v.std() if len(v) > 1 else 0 for v in values]


def finish(figure, axis, places, path, **words):
    """Names the places along the axis, puts the legend below, and writes the figure."""
    tidy(axis, ylim=(0, 1), **words)
    axis.set_xticks(range(len(places)), places)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    save(figure, path)


@plain
def by_rho(path, runs, published):
    """Biased-MNIST: the unbiased accuracy at every ρ, a line a row, bars for one std; dashed: of the first recipe.

    published: {title: a figure a ρ}.
    """
    figure, axis = subplots(1, 1, (10, 5.5))
    shown = [row for row in (*BIASED, *BIASED_BEFORE) if row.name in {*runs.row}]
    for i, row in enumerate(shown):
        color, marker = look(row)
        how = {"color": color, "marker": marker, "capsize": 3, "label": row.title}
        if row in BIASED_BEFORE:
            how |= {"label": f"{row.title}; first recipe", "ls": "--", "mfc": "white"}
        at = np.arange(len(RHOS)) + 0.03 * (i - len(shown) / 2)  # side by side
        axis.errorbar(at, *figures_of(runs, row, RHOS, "metrics.accuracy"), **how)
    for title, values in published.items():
        axis.plot(values, ":o", mfc="white", color="0.4", label=title)
    words = {"xlabel": "ρ, share of training images on their digit's colour", "ylabel": "unbiased accuracy, last epoch"}
    finish(figure, axis, RHOS, path, **words)


@plain
def suite(path, runs):
    """The suite of biases: a bar a method, its mean over groups, one std; a line across: trained without the bias."""
    figure, axis = subplots(1, 1, (9, 4))
    width, place = 0.8 / (len(SUITE) - 1), np.arange(len(BIASES))
    for i, row in enumerate(SUITE):
        mean, std = figures_of(runs, row, BIASES, GROUPS["mean over groups"])
        color, _ = look(row)
        if row.name == "fair":
            axis.hlines(mean, place - 0.45, place + 0.45, color, label=row.title)
        else:
            axis.bar(place - 0.4 + (i + 0.5) * width, mean, width, yerr=std, color=color, capsize=2, label=row.title)
    finish(figure, axis, BIASES, path, ylabel="mean over groups, last epoch", xlim=(-0.5, len(BIASES) - 0.5))
