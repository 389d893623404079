"""Pictures by matplotlib with a style and a backend of their own: no setting of a user, notebook or folder matters."""

import functools
import os
import warnings

import numpy as np

from common.errors import UserError, is_out_of_memory
from common.files import replacing

MOST_NAMES = 100  # of classes along an axis; of more, some are named
OF_THE_USER = ("MPLBACKEND", "MATPLOTLIBRC")
kept = {name: os.environ.pop(name) for name in OF_THE_USER if name in os.environ}
try:  # a notebook's MPLBACKEND may name what is not installed; Figure below needs none
    os.environ["MATPLOTLIBRC"] = os.devnull  # comes before the settings in the home folder
    from matplotlib import style
    from matplotlib.figure import Figure
except Exception as error:  # a broken installation, an unreadable matplotlibrc in this folder: a picture is no result
    if is_out_of_memory(error):
        raise
    raise UserError(f"matplotlib cannot be loaded ({type(error).__name__}: {error}); see to its settings") from None
finally:
    del os.environ["MATPLOTLIBRC"]
    os.environ.update(kept)


def plain(draw):
    """Decorator of a function that draws: in it, matplotlib has its default style, such as no LaTeX."""

    @functools.wraps(draw)
    def drawing(*arguments, **how):
        with style.context("default"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # of a name in a script that the font lacks
            return draw(*arguments, **how)

    return drawing


def subplots(rows, columns, figsize, **how):
    """(figure, axes) as of pyplot.subplots, but with a figure that belongs to no window."""
    figure = Figure(figsize=figsize, layout="constrained")
    return figure, figure.subplots(rows, columns, **how)


@plain
def save(figure, path, dpi=150, title=None):
    """Writes a figure as PNG, whole or not at all, without the date and version that would change its bytes.

    title: kept in the file, not shown.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi, metadata={"Software": None, "Title": title})


@plain
def draw_confusion(path, matrices, of="digit", colors=None, names=None):
    """Draws confusion matrices side by side.

    matrices: list of (title, K x K counts: row = true class, column = predicted class). of: what a class is called.
    colors: uint8 (K, 3), a row of mean colours in training above each. names: of the classes [0 to K - 1].
    """
    heights = (0.01 if colors is None else 1, 10)
    size = (4.6, 5.1) if len(matrices) == 1 else (3.4 * len(matrices), 4.2)
    classes = len(matrices[0][1])
    if classes > 20:
        size = (min(20, size[0] + 0.1 * (classes - 20)), min(20, size[1] + 0.1 * (classes - 20)))
    figure, axes = subplots(2, len(matrices), size, squeeze=False, height_ratios=heights)
    for (bar, matrix), (title, counts) in zip(axes.T, matrices, strict=True):
        if colors is not None:
            bar.set(title=title, xticks=[], yticks=[])
            if bar is axes[0, 0]:
                bar.set_yticks([0], ["mean\ncolour"])
            bar.imshow(colors[None], aspect="auto")
        else:
            bar.axis("off")
            matrix.set_title(title)
        counts = np.asarray(counts)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        matrix.imshow(share, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(share):
            if value >= 0.005 and len(counts) <= 20:
                matrix.text(
                    column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7.5,
                    color="white" if value > 0.5 else "black",
                )  # fmt: skip
        matrix.set_xlabel(f"predicted {of}")
        if matrix is axes[1, 0]:
            matrix.set_ylabel(f"true {of} (rows in %)")
        place = range(0, classes, -(-classes // MOST_NAMES))
        shown = [names[i] for i in place] if names else place
        matrix.set_xticks(place, shown, rotation=45 if names and max(map(len, names)) > 2 else 0, ha="center")
        matrix.set_yticks(place, shown)
        for text in (bar.title, matrix.title, *matrix.get_xticklabels(), *matrix.get_yticklabels()):
            text.set_parse_math(False)  # a dollar sign in a name is a dollar sign
    save(figure, path)


@plain
def draw_groups(path, title, groups, classes, bias):
    """Draws the accuracy of every group as a heat map, a row a class, a column a value of the bias.

    groups: list of {"y", "b", "n", "accuracy"}, names as of metrics.json. bias: what the columns are called.
    """
    columns = list(dict.fromkeys(g["b"] if isinstance(g["b"], str) else " / ".join(g["b"]) for g in groups))
    accuracy = np.full((len(classes), len(columns)), np.nan)
    few = accuracy.size <= 200
    figure, axis = subplots(1, 1, (max(4.5, 0.55 * len(columns) + 2.5), max(3, 0.45 * len(classes) + 2)))
    for group in groups:
        b = group["b"] if isinstance(group["b"], str) else " / ".join(group["b"])
        row, column = list(classes).index(group["y"]), columns.index(b)
        accuracy[row, column] = group["accuracy"]
        if few:
            text = f"{100 * group['accuracy']:.0f}" + (f"\nn {group['n']}" if accuracy.size <= 40 else "")
            color = "white" if group["accuracy"] < 0.5 else "black"
            axis.text(column, row, text, ha="center", va="center", fontsize=7, color=color)
    shown = axis.imshow(accuracy, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    figure.colorbar(shown, label="accuracy")
    axis.set(title=title, xlabel=bias, ylabel="class")
    axis.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axis.set_yticks(range(len(classes)), classes)
    for text in (axis.title, *axis.get_xticklabels(), *axis.get_yticklabels()):
        text.set_parse_math(False)  # a dollar sign in a name is a dollar sign
    save(figure, path)
