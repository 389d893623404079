"""Pictures: the paper's figures, training curves, and the studies beside them; legends in the table's order."""

import itertools

import numpy as np
from matplotlib import colormaps

from common.picture import plain, save, subplots
from dataset.colored_mnist import COLOR_VARS, build
from dataset.sample_sheet import show_samples
from methods import METHODS

COLORS = {"baseline": "#d55e00", "blindeye": "#0072b2", "gray": "#7f7f7f", "lntl": "#009e73", "lntl_plus": "#b3397b"}
SPARE = ("#56b4e9", "#8c564b", "#5b3fa0", "#999900", "#000000")  # for other methods
OTHER = "black"
LINES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...", "xxx")
PANELS = {  # of the training curves: the record's name and the sign it is drawn with
    "accuracy on the test images": ("test_accuracy", 1),
    "classification loss in training": ("cls_loss", 1),
    "accuracy of h in training": ("bias_accuracy", 1),
    "entropy of h's prediction": ("neg_entropy", -1),
}
GLANCE = ("baseline", "lntl", "lntl_plus")


def colors_of(methods):
    """{method: colour}: its own, or one that is to spare."""
    spare = itertools.cycle(SPARE)
    return {m: COLORS.get(m) or next(spare) for m in methods}


@plain
def draw_glance(path, published, cells, title, color_var=0.02):
    """Draws the data at a glance, and what happens on it: samples of training and test, and three accuracies.

    published: {method: {variance: accuracy}}; cells: of results.json; title: gives a method's name in words.
    """
    data = build(color_var)
    figure, axes = subplots(1, 3, (10, 3.9), width_ratios=(1, 1, 1.5))
    show_samples(axes[0], data.train, "training:\nthe colour follows the digit")
    show_samples(axes[1], data.test, "test:\nthe colour says nothing")
    axis = axes[2]
    means = {c["method"]: c["mean"] for c in cells if c["color_var"] == color_var}
    shown = [m for m in GLANCE if m in means]
    colors = colors_of(shown)
    for place, method in enumerate(shown):
        axis.barh(place, means[method], 0.5, color=colors[method])
        axis.text(means[method] - 0.02, place, f"{means[method]:.2f}", ha="right", va="center", color="white", size=13)
        if (figure_of := published.get(method, {}).get(color_var)) is not None:
            axis.plot([figure_of] * 2, [place - 0.36, place + 0.36], color=OTHER, lw=1.5)
            axis.text(figure_of, place - 0.38, f"{figure_of:.4f}", ha="center", va="bottom")
    axis.set_yticks(range(len(shown)), [title(m) for m in shown])
    heading = f"accuracy on the test, $\\sigma^2$ = {color_var}\nbars: ours; lines: as published"
    axis.set(title=heading, xlim=(0, 1), ylim=(len(shown) - 0.5, -0.7))
    tidy(axis)
    axis.grid(visible=False, axis="y")
    save(figure, path)


@plain
def draw_accuracy(path, published, cells, title):
    """Draws the methods' accuracy against the variance: hollow as published, filled as measured, bars for one std.

    published: {method: {variance: accuracy}}; cells: of results.json; title: gives a method's name in words.
    """
    methods = [m for m in {**published, **METHODS} if any(c["method"] == m for c in cells)]
    colors = colors_of(methods)
    figure, axis = subplots(1, 1, (9.5, 4.8))
    for method in methods:
        found = [c for c in cells if c["method"] == method]
        if method in published:
            axis.plot(
                *zip(*published[method].items(), strict=True), "--o", color=colors[method], mfc="white", lw=1, ms=7
            )
        style = {"color": colors[method], "marker": "o" if method in published else "D", "ms": 5}
        style |= {"ls": "-" if method in published else ":", "lw": 1.5, "label": title(method)}
        means = dict.fromkeys(COLOR_VARS, np.nan) | {c["color_var"]: c["mean"] for c in found}  # no line over a gap
        axis.plot(*zip(*sorted(means.items()), strict=True), **style)
        several = [c for c in found if c["n"] > 1]
        place, mean, std = ([c[key] for c in several] for key in ("color_var", "mean", "std"))
        axis.errorbar(place, mean, std, fmt="none", color=style["color"], capsize=4, lw=1.5)
    axis.plot([], [], "--o", color=OTHER, mfc="white", lw=1, ms=7, label="published (hollow)")
    axis.set(xlabel=r"variance of the colours, $\sigma^2$", ylabel="accuracy on the test, last epoch")
    axis.set_xticks(COLOR_VARS)
    tidy(axis)
    how = {"frameon": False, "alignment": "left", "title": "ours: filled,\nbars of one std"}
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper", **how)
    save(figure, path)


@plain
def draw_curves(path, groups, heading, log_loss=False):
    """Draws trainings epoch by epoch in four panels: a line a run, a colour a group.

    groups: {label: (colour, line style, [log of each run])}, in the order of the legend. log_loss: the loss on a
    logarithmic axis.
    """
    figure, axes = subplots(2, 2, (9, 6.4))
    figure.suptitle(heading, fontsize=11)
    for axis, (name, (key, sign)) in zip(axes.flat, PANELS.items(), strict=True):
        for label, (color, line, logs) in groups.items():
            for log in logs:
                if points := [(r["epoch"], sign * r[key]) for r in log if key in r]:
                    axis.plot(*zip(*points, strict=True), color=color, ls=line, label=label, lw=1.5)
        axis.set(title=name, xlabel="epoch", xscale="log")
        axis.xaxis.set_major_formatter("{x:g}")
        tidy(axis)
    if log_loss:
        axes[0, 1].set_yscale("log")
        axes[0, 1].yaxis.set_major_formatter("{x:g}")
    last = axes[1, 1]
    last.axhline(np.log(8), color=OTHER, ls=":", lw=1)
    last.annotate(
        "log 8, that of a guess", (0.98, np.log(8)), xycoords=("axes fraction", "data"),
        xytext=(0, -3), textcoords="offset points", ha="right", va="top", fontsize=9,
    )  # fmt: skip
    legend(figure, axes[0, 0], 5 if len(groups) == 5 else 4)
    save(figure, path)


def by_method(runs, title, color_var):
    """The groups of `draw_curves`: every method at one variance, all seeds. runs: of records.load_runs."""
    logs = {m: [r["log"] for r in runs if (r["method"], r["options"]["color_var"]) == (m, color_var)] for m in METHODS}
    order = sorted((m for m in METHODS if logs[m]), key=lambda m: [*COLORS, m].index(m))
    return {title(m): (color, "-", logs[m]) for m, color in colors_of(order).items()}


def by_variance(runs, method="lntl"):
    """The groups of `draw_curves`: one method at every variance, all seeds."""
    shades = colormaps["viridis"](np.linspace(0, 0.9, len(COLOR_VARS)))
    return {
        rf"$\sigma^2$ = {v}": (
            shade, "-", [r["log"] for r in runs if (r["method"], r["options"]["color_var"]) == (method, v)]
        )
        for v, shade in zip(COLOR_VARS, shades, strict=True)
    }  # fmt: skip


def by_start(started):
    """The groups of `draw_curves`: runs by the weights that they begin with. started: [(its name, log of a run)]."""
    names = sorted({name for name, _ in started})
    return {
        name: (f"C{i}", LINES[i % len(LINES)], [log for other, log in started if other == name])
        for i, name in enumerate(names)
    }


@plain
def draw_sensitivity(path, lambdas, mus, panels):
    """Draws a heat map a panel: a row a lambda, a column a mu, the number in each cell; what was not run stays empty.

    panels: {title: 2-d list, lambda by mu}, NaN where not run.
    """
    figure, axes = subplots(1, len(panels), (11, 3.6))
    for axis, (title, values) in zip(axes, panels.items(), strict=True):
        values = np.asarray(values)
        known = values[np.isfinite(values)]
        low, high = (known.min(), known.max()) if known.size else (0, 1)
        axis.imshow(values, cmap="viridis", vmin=low, vmax=high + 1e-6, aspect="auto")
        axis.set_facecolor("0.93")
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                color = "black" if value > (low + 2 * high) / 3 else "white"
                axis.text(column, row, f"{value:.3f}", ha="center", va="center", fontsize=9, color=color)
        axis.set(title=title, xlabel=r"$\mu$", ylabel=r"$\lambda$")
        axis.set_xticks(range(len(mus)), [f"{m:g}" for m in mus])
        axis.set_yticks(range(len(lambdas)), [f"{v:g}" for v in lambdas])
    save(figure, path)


@plain
def draw_selection(path, logs, columns):
    """Draws the settings of a selection epoch by epoch: a line a setting, a panel a column.

    logs: {label: [log of each seed]}; columns: {title: the record's name}.
    """
    logs = {label: seeds for label, seeds in logs.items() if seeds}
    figure, axes = subplots(1, len(columns), (11, 4 + 0.15 * len(logs)))
    colors = colormaps["turbo"](np.linspace(0.05, 0.95, len(logs)))
    longest = max((len(log) for seeds in logs.values() for log in seeds), default=1)
    for axis, (title, key) in zip(axes, columns.items(), strict=True):
        for i, (label, seeds) in enumerate(logs.items()):
            style = {"color": colors[i], "ls": LINES[i % len(LINES)], "marker": "os^DvPX"[i % 7], "ms": 4, "lw": 1.5}
            style["markevery"] = 0.1  # of the length of the axis: a hundred epochs are no row of dots
            for log in seeds:
                axis.plot([r["epoch"] for r in log], [r[key] for r in log], label=label, **style)
        axis.set(title=title, xlabel="epoch", ylabel="accuracy")
        if longest > 20:
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter("{x:g}")
        tidy(axis)
    legend(figure, axes[0], 2, fontsize=9)
    save(figure, path)


@plain
def draw_biased(path, rhos, lines):
    """Draws unbiased accuracy on Biased-MNIST against ρ, bars for one std of several runs.

    lines: {title: [(ρ, values of its runs)]}; the last one is what was published, hollow and dashed.
    """
    figure, axis = subplots(1, 1, (7.5, 4))
    published = [*lines][-1]
    for i, (title, line) in enumerate(lines.items()):
        place = [rhos.index(rho) for rho, _ in line]
        mean = [np.mean(values) for _, values in line]
        std = [np.std(values, ddof=1) if len(values) > 1 else 0 for _, values in line]
        look = {"ls": "--", "mfc": "white", "color": OTHER} if title == published else {"ls": "-", "color": f"C{i}"}
        axis.errorbar(place, mean, std, marker="o", capsize=4, label=title, lw=1.5, **look)
    axis.set(xlabel="ρ, share of training images on their digit's colour", ylabel="unbiased test accuracy, last epoch")
    axis.set_xticks(range(len(rhos)), [f"{rho:g}" for rho in rhos])
    axis.set_ylim(0, 1)
    tidy(axis)
    axis.legend(frameon=False, fontsize=8)
    save(figure, path)


@plain
def draw_demonstration(path, bars):
    """Draws the figures of the demonstration on images: bars, one std, and a dot a seed.

    bars: [(title, method, is chosen, {what: values of its seeds})], a row each; those not chosen are pale, and
    hatched each in another way.
    """
    figure, axis = subplots(1, 1, (6, 3.4))
    wide = 0.8 / max(1, len(bars))
    for i, (title, method, is_chosen, figures) in enumerate(bars):
        places = [place + (i - (len(bars) - 1) / 2) * wide for place in range(len(figures))]
        means = [np.mean(values) for values in figures.values()]
        stds = [np.std(values, ddof=1) if len(values) > 1 else 0 for values in figures.values()]
        pale = sum(m == method and not chosen for _, m, chosen, _ in bars[:i])
        style = {"color": COLORS[method], "alpha": 1 if is_chosen else 0.5}
        style |= {"hatch": "" if is_chosen else HATCHES[pale % len(HATCHES)], "edgecolor": "white"}
        axis.bar(places, means, 0.9 * wide, yerr=stds, capsize=4, label=title, **style)
        for place, values in zip(places, figures.values(), strict=True):
            axis.plot([place] * len(values), values, "o", color="black", ms=3)
    axis.axhline(0.5, color="black", ls=":", lw=1, label="guessing")
    axis.set(ylabel="test accuracy, last epoch", ylim=(0, 1))
    columns = [*bars[0][-1]] if bars else []
    axis.set_xticks(range(len(columns)), columns)
    tidy(axis)
    figure.legend(loc="outside right upper", frameon=False)
    save(figure, path)


def legend(figure, axis, columns, **how):
    """Below the panels, one entry for all seeds of what is drawn in `axis`; read row by row."""
    handles = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    rows = -(-len(handles) // columns)
    order = [i for column in range(columns) for i in range(column, rows * columns, columns) if i < len(handles)]
    labels = [*handles]
    how |= {"loc": "outside lower center", "ncols": columns, "frameon": False}
    figure.legend([handles[labels[i]] for i in order], [labels[i] for i in order], **how)


def tidy(axis):
    """No frame at the top and the right, and a light grid."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="0.9", lw=0.7)
    axis.set_axisbelow(True)
