"""Pictures: the paper's figures, training curves, and the studies beside them."""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import rgb_to_hsv

from common.picture import plain, save, subplots
from dataset.colored_mnist import COLOR_VARS, build

COLORS = {  # of the methods that the figures of the table show
    "baseline": "#d55e00", "blindeye": "#0072b2", "gray": "#7f7f7f", "gray_luma": "#bdbdbd", "lntl": "#009e73",
    "lntl_plus": "#b3397b",
}  # fmt: skip
OTHER = "black"
PANELS = {  # of the training curves: the record's name and the sign it is drawn with
    "test accuracy": ("test_accuracy", 1),
    "classification loss": ("cls_loss", 1),
    "accuracy of h": ("bias_accuracy", 1),
    "entropy of h's prediction": ("neg_entropy", -1),
}


@plain
def draw_accuracy(path, published, cells, title):
    """Draws accuracy against variance: hollow and dashed as published, filled as measured, bars for one std.

    published: {method: {variance: accuracy}}; cells: of results.json; title: gives a method's name in words.
    """
    cells = [c for c in cells if c["method"] in COLORS]
    figure, axis = subplots(1, 1, (10.5, 5))
    for method, points in published.items():
        axis.plot(*zip(*points.items(), strict=True), "--o", color=COLORS[method], mfc="white", lw=1, ms=7, alpha=0.8)
    for method in reversed({**published, **dict.fromkeys(c["method"] for c in cells)}):
        found = [c for c in cells if c["method"] == method]
        style = {"color": COLORS[method], "marker": "o" if method in published else "D", "ms": 5}
        style |= {"ls": "-" if method in published else ":", "lw": 1.5, "label": title(method)}
        means = dict.fromkeys(COLOR_VARS, np.nan) | {c["color_var"]: c["mean"] for c in found}  # no line over a gap
        axis.plot(*zip(*sorted(means.items()), strict=True), **style)
        several = [c for c in found if c["n"] > 1]
        place, mean, std = ([c[key] for c in several] for key in ("color_var", "mean", "std"))
        axis.errorbar(place, mean, std, fmt="none", color=style["color"], capsize=4, lw=1.5)
    axis.plot([], [], "--o", color=OTHER, mfc="white", lw=1, ms=7, label="published (hollow)")
    axis.set(xlabel=r"variance of the colours, $\sigma^2$", ylabel="test accuracy, last epoch")
    axis.set_xticks([*published["lntl"]])
    tidy(axis)
    figure.legend(
        *axis.get_legend_handles_labels(),
        loc="outside right upper",
        frameon=False,
        alignment="left",
        title="ours: filled, bars of one std",
    )
    save(figure, path)


@plain
def draw_curves(path, runs, starts, title, color_var=0.02):
    """Draws every training epoch by epoch, in three rows: the methods at one variance; LNTL at all variances; and LNTL
    at the one variance by what it starts from.

    runs: of records.load_runs; starts: {name of a run: name of what it starts from}; title: gives a method's name in
    words.
    """
    figure, axes = subplots(3, len(PANELS), (14, 9.2))
    shades = dict(zip(COLOR_VARS, colormaps["viridis"](np.linspace(0, 0.9, len(COLOR_VARS))), strict=True))
    of_lntl = {n: r for n, r in runs.items() if r["options"]["method"] == "lntl"}
    begun = sorted({starts[n] for n, r in of_lntl.items() if r["options"]["color_var"] == color_var})
    for name, run in runs.items():
        method, variance = run["method"], run["options"]["color_var"]
        if variance == color_var and method in COLORS:
            draw_run(axes[0], run, COLORS[method], title(method))
        if method == "lntl":
            draw_run(axes[1], run, shades.get(variance, OTHER), rf"$\sigma^2$ = {variance}")
        if variance == color_var and name in of_lntl:
            draw_run(axes[2], run, f"C{begun.index(starts[name])}", starts[name])
    for axis, (name, _) in zip(axes[0], PANELS.items(), strict=True):
        axis.set_title(name)
    axes[0, 1].set_yscale("log")  # the baseline's first epoch is far above the rest
    axes[0, 1].yaxis.set_major_formatter("{x:g}")
    variance = rf"$\sigma^2$ = {color_var}"
    rows = (f"all methods, {variance}", "LNTL, all variances", f"LNTL by its start, {variance}")
    for row, what in zip(axes, rows, strict=True):
        row[0].set_ylabel(what)
        row[-1].axhline(np.log(8), color=OTHER, ls=":", lw=1)
        row[-1].annotate(
            "log 8, the most there can be", (0.98, np.log(8)), xycoords=("axes fraction", "data"),
            xytext=(0, -3), textcoords="offset points", ha="right", va="top", fontsize=8,
        )  # fmt: skip
        legend(row[-1], row[0])
        for axis in row:
            axis.set(xlabel="epoch")
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter("{x:g}")
            tidy(axis)
    save(figure, path)


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
    figure, axes = subplots(1, len(columns), (12, 3.6))
    shades = colormaps["turbo"](np.linspace(0.05, 0.95, len(logs)))
    for axis, (title, key) in zip(axes, columns.items(), strict=True):
        for i, (label, seeds) in enumerate(logs.items()):
            for log in seeds:
                axis.plot([r["epoch"] for r in log], [r[key] for r in log], color=shades[i], label=label, lw=1.5)
        axis.set(title=title, xlabel="epoch")
        tidy(axis)
    legend(axes[-1])
    save(figure, path)


def draw_run(row, run, color, label):
    """Draws one run in the four panels of a row; a panel whose quantity the run does not have stays as it is."""
    for axis, (key, sign) in zip(row, PANELS.values(), strict=True):
        points = [(r["epoch"], sign * r[key]) for r in run["log"] if key in r]
        if points:
            axis.plot(*zip(*points, strict=True), color=color, label=label, lw=1.5)


def legend(axis, of=None):
    """One entry for all seeds of what is drawn in `of`, right of `axis`."""
    handles = dict(zip(*reversed((of or axis).get_legend_handles_labels()), strict=True))
    axis.legend(handles.values(), handles.keys(), frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def tidy(axis):
    """No frame at the top and the right, and a light grid."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="0.9", lw=0.7)
    axis.set_axisbelow(True)


@plain
def draw_sketch(path, color_var=0.02, count=400):
    """Biased training points against unbiased test points: the colours of real images, by digit, at one variance.

    Left, training: every digit keeps to its mean colour. Right, test: every digit comes in all colours.
    """
    data = build(color_var)
    figure, axes = subplots(1, 2, (9, 3.4), sharey=True)
    for axis, split, title, alpha in zip(
        axes,
        (data.train, data.test),
        ("training: colour tells the digit", "test: colour tells nothing"),
        (1, 0.45),
        strict=True,
    ):
        hue = rgb_to_hsv(split.color[:count] / 255)[:, 0]
        spread = np.linspace(-0.3, 0.3, 7)[np.arange(count) % 7]
        axis.scatter(split.label[:count] + spread, hue, c=split.color[:count] / 255, s=22, alpha=alpha, linewidths=0)
        axis.set(title=title, xlabel="digit", xticks=range(10))
    axes[0].set_ylabel("hue of the image's colour")
    save(figure, path)
