"""A picture of the benchmark: the first training and test images of every digit."""

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
