"""Colored-MNIST built wrong on purpose, one mistake at a time, to measure what each does to the accuracy.

Each function is one value of `train.py --deviation`, and returns what `dataset.colored_mnist.build` returns.
"""

import numpy as np

from dataset.colored_mnist import Split, build
from dataset.mnist import load_mnist


def clipped(color_var, data_seed):
    """Colours outside (0, 1) are clipped to its ends instead of drawn again: a fifth of the channels saturate."""

    def clip(means, color_var, rng):
        value = rng.normal(means / 255.0, np.sqrt(color_var))
        return (value.clip(0, 1) * 255).astype(np.uint8)

    return build(color_var, data_seed, draw=clip)


def any_grey(color_var, data_seed):
    """A pixel is foreground where MNIST is above 0, instead of above 128: the digits get bolder."""
    mnist, data = load_mnist(), build(color_var, data_seed)
    train = data.train._replace(mask=mnist.train_images > 0)
    return data._replace(train=train, test=data.test._replace(mask=mnist.test_images > 0))


def uniform_test(color_var, data_seed):
    """Test colours are uniform over all RGB colours but black, instead of around the ten means."""
    data = build(color_var, data_seed)
    colors = np.random.RandomState(data_seed).randint(1, 256, data.test.color.shape).astype(np.uint8)
    return data._replace(test=data.test._replace(color=colors))


class Shaded(Split):
    """A Split whose `mask` holds the grey levels of MNIST, uint8, that scale the colour."""

    def images(self):
        scaled = self.mask[..., None].astype(np.uint32) * self.color[:, None, None, :]
        return (scaled // 255).astype(np.uint8)


def shaded(color_var, data_seed):
    """The grey levels of MNIST shade the colour, instead of a mask filled with it."""
    mnist, data = load_mnist(), build(color_var, data_seed)
    train = Shaded(mnist.train_images, data.train.color, data.train.label)
    return data._replace(train=train, test=Shaded(mnist.test_images, data.test.color, data.test.label))


BUILD = {"clipped": clipped, "any_grey": any_grey, "uniform_test": uniform_test, "shaded": shaded}
