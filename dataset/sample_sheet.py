"""Pictures of samples: the first images of every digit of the benchmark, and of every group of one's own images."""

import numpy as np

from common.picture import plain, save, subplots

PER_DIGIT = 8


@plain
def draw_samples(path, data, title):
    """Writes a PNG with the first 8 images of each digit, training at the left and test at the right.

    data: ColoredMnist.
    """
    figure, axes = subplots(1, 2, (9, 6))
    figure.suptitle(title)
    show_samples(axes[0], data.train, "training: the colour follows the digit")
    show_samples(axes[1], data.test, "test: the colour says nothing")
    save(figure, path)


def show_samples(axis, split, heading):
    """Draws the first 8 images of each digit, a row a digit. split: of ColoredMnist."""
    first = np.concatenate([np.flatnonzero(split.label == digit)[:PER_DIGIT] for digit in range(10)])
    images = type(split)(*(field[first] for field in split)).images()  # (80, 28, 28, 3)
    grid = images.reshape(10, PER_DIGIT, 28, 28, 3).swapaxes(1, 2).reshape(280, PER_DIGIT * 28, 3)
    axis.imshow(grid, interpolation="nearest")
    axis.set(title=heading, xticks=[], yticks=range(14, 280, 28), yticklabels=range(10))


@plain
def draw_groups(path, title, groups, images, columns):
    """Writes a PNG with a row of samples for each group.

    groups: list of (name, positions of its samples). images: {position: uint8 image (S, S, 3)}; those that are not
    there are left out. title: shown, and kept in the file. columns: samples a row at most.
    """
    figure, axes = subplots(len(groups), columns, (2 + columns, 0.4 + 1.05 * len(groups)), squeeze=False)
    for row, (name, positions) in zip(axes, groups, strict=True):
        for axis in row:
            axis.set_axis_off()
        for axis, position in zip(row, [p for p in positions if p in images], strict=False):
            axis.imshow(images[position], interpolation="nearest")
        text = row[0].text(-0.1, 0.5, name, transform=row[0].transAxes, ha="right", va="center", fontsize=8)
        text.set_parse_math(False)  # a dollar sign in a name is a dollar sign
    figure.suptitle(title, fontsize=10)
    save(figure, path, 100, title)
