"""Pictures by matplotlib, in its default style and without a window: of an evaluation, and what all begin with."""

import functools
import warnings

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

from common.files import replacing

MOST_NAMES = 100  # of classes along an axis; of more, some are named


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


def label(axis, title, rows, columns):
    """Titles a matrix and names its rows and columns; a dollar sign in a name is a dollar sign."""
    axis.set_title(title)
    for ticks, names in ((axis.set_yticks, rows), (axis.set_xticks, columns)):
        place = range(0, len(names), -(-len(names) // MOST_NAMES))
        ticks(place, [str(names[i]) for i in place])
    if max(len(str(name)) for name in columns) > 2:
        axis.tick_params(axis="x", rotation=45)
    for text in (axis.title, *axis.get_xticklabels(), *axis.get_yticklabels()):
        text.set_parse_math(False)


@plain
def draw_confusion(path, matrices, of="digit", colors=None, names=None):
    """Draws confusion matrices side by side.

    matrices: list of (title, K x K counts: row = true class, column = predicted class). of: what a class is called.
    colors: uint8 (K, 3), a row of mean colours in training above each. names: of the classes [0 to K - 1].
    """
    classes = len(matrices[0][1])
    more = min(15, 0.1 * max(0, classes - 20))
    size = (4.6 + more, 4.6 + more) if len(matrices) == 1 else (3.4 * len(matrices) + more, 4.2 + more)
    figure, axes = subplots(1, len(matrices), size, squeeze=False)
    for axis, (title, counts) in zip(axes[0], matrices, strict=True):
        counts = np.asarray(counts)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axis.imshow(share, cmap="Greys", vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(share if classes <= 20 else share[:0]):
            if value >= 0.005:
                color = "white" if value > 0.5 else "black"
                axis.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7.5, color=color)
        label(axis, title, *[names or range(classes)] * 2)
        axis.set(xlabel=f"predicted {of}", ylabel=f"true {of} (rows in %)" if axis is axes[0, 0] else "")
        if colors is not None:
            bar = axis.inset_axes((0, 1.02, 1, 0.08))
            bar.imshow(colors[None], aspect="auto")
            bar.set(xticks=[], yticks=[0], yticklabels=["mean\ncolour" if axis is axes[0, 0] else ""])
            axis.title.set_y(1.12)
    save(figure, path)
