"""Pictures: confusion matrices in the manner of the paper's figure."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt

from dataset.colored_mnist import MEAN_COLORS, build
from files import replacing


def save(figure, path):
    """Writes a figure as PNG, whole or not at all, without the date and version that would change its bytes."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    plt.close(figure)


def draw_confusion(path, matrices):
    """Draws confusion matrices side by side, each under a row of the mean colours of the digits in training.

    matrices: list of (title, 10x10 counts: row = true digit, column = predicted digit).
    """
    figure, axes = plt.subplots(
        2,
        len(matrices),
        figsize=(4.6 * len(matrices), 5.1),
        squeeze=False,
        height_ratios=(1, 10),
        layout="constrained",
    )
    for (colors, matrix), (title, counts) in zip(axes.T, matrices, strict=True):
        colors.imshow(MEAN_COLORS[None], aspect="auto")
        colors.set(title=title, xticks=[], yticks=[0], yticklabels=["mean\ncolour"])
        counts = np.asarray(counts)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        matrix.imshow(share, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(share):
            if value >= 0.005:
                matrix.text(
                    column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7,
                    color="white" if value > 0.5 else "black",
                )  # fmt: skip
        matrix.set(xticks=range(10), yticks=range(10), xlabel="predicted digit", ylabel="true digit (rows in %)")
    save(figure, path)


def draw_sketch(path, color_var=0.02, count=400):
    """Biased training points against unbiased test points: the colours of real images, by digit, at one variance.

    Left, training: every digit keeps to its mean colour. Right, test: every digit comes in all colours.
    """
    data = build(color_var)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
    for axis, split, title, alpha in zip(
        axes,
        (data.train, data.test),
        ("training: colour tells the digit", "test: colour tells nothing"),
        (1, 0.45),
        strict=True,
    ):
        hue = matplotlib.colors.rgb_to_hsv(split.color[:count] / 255)[:, 0]
        spread = np.linspace(-0.3, 0.3, 7)[np.arange(count) % 7]
        axis.scatter(split.label[:count] + spread, hue, c=split.color[:count] / 255, s=22, alpha=alpha, linewidths=0)
        axis.set(title=title, xlabel="digit", xticks=range(10))
    axes[0].set_ylabel("hue of the image's colour")
    save(figure, path)
