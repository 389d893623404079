"""Builds Colored-MNIST: digits whose colour gives their label away in training, and says nothing in the test.

    python -m dataset.colored_mnist --color_var 0.02 --out DIR      # a file in the released format, a sample sheet

The recipe (README.md in this folder has the evidence): MNIST in its own order, binarised at > 128; one RGB triple
per image on a black background. In training the triple is drawn around the mean colour of the image's own digit,
in the test around one of the ten mean colours picked uniformly. Per channel, Normal(mean / 255, sigma^2) is drawn
until it lies in (0, 1), then multiplied by 255 and truncated.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import UserError, exits
from dataset.mnist import load_mnist

COLOR_VARS = (0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05)  # sigma^2 of the paper, on the [0, 1] scale
THRESHOLD = 128  # a pixel is foreground iff its MNIST value is greater
DATA_SEED = 0
MEAN_COLORS = np.array(
    [
        (220, 20, 60),  # 0 crimson
        (0, 128, 128),  # 1 teal
        (253, 233, 16),  # 2 lemon
        (0, 149, 182),  # 3 bondi blue
        (237, 145, 33),  # 4 carrot orange
        (145, 30, 188),  # 5 strong violet
        (70, 240, 240),  # 6 cyan
        (250, 197, 187),  # 7 your pink
        (210, 245, 60),  # 8 lime
        (128, 0, 0),  # 9 maroon
    ],
    dtype=np.uint8,
)


class Split(NamedTuple):
    """One half of the data, kept as what it consists of: image n is `mask[n]` filled with the triple `color[n]`."""

    mask: np.ndarray  # bool (N, 28, 28), the foreground
    color: np.ndarray  # uint8 (N, 3), RGB
    label: np.ndarray  # int64 (N,), the digit

    def images(self):
        """The coloured images, uint8 (N, 28, 28, 3)."""
        return self.mask[..., None] * self.color[:, None, None, :]


class ColoredMnist(NamedTuple):
    """The benchmark at one variance."""

    train: Split  # 60,000, colour follows the digit
    test: Split  # 10,000, colour is independent of the digit
    test_gray: np.ndarray  # uint8 (10000, 28, 28), the raw MNIST test images


def jitter(means, color_var, rng):
    """Draws one colour around each row of `means`, uint8 (N, 3): Normal, resampled until inside (0, 1), truncated."""
    center = means / 255.0
    value = np.full(center.shape, -1.0)
    while (outside := ~((value > 0) & (value < 1))).any():
        value[outside] = rng.normal(center[outside], np.sqrt(color_var))
    return (value * 255).astype(np.uint8)


def build(color_var, data_seed=DATA_SEED, mnist=None, draw=jitter):
    """Builds the data of one variance; the same arguments give the same bytes on every machine.

    color_var: sigma^2 in (0, 1]. data_seed: 0..2**32-1, independent of the seed of a training run.
    mnist: what `load_mnist()` returned, where several variances are built in a row. draw: of the colours around means.
    Raises ValueError for another color_var.
    """
    if not 0 < color_var <= 1:
        raise ValueError(f"color_var is {color_var}; it lies above 0, and at most at 1")
    mnist = mnist or load_mnist()
    # RandomState: NumPy promises that its streams never change, which it does not for default_rng().
    rng = np.random.RandomState([data_seed, round(color_var * 1_000_000)])
    train_color = draw(MEAN_COLORS[mnist.train_labels], color_var, rng)
    test_color = draw(MEAN_COLORS[rng.randint(10, size=len(mnist.test_labels))], color_var, rng)
    return ColoredMnist(
        train=Split(mnist.train_images > THRESHOLD, train_color, mnist.train_labels),
        test=Split(mnist.test_images > THRESHOLD, test_color, mnist.test_labels),
        test_gray=mnist.test_images,
    )


def sha256(data):
    """SHA-256 (hex) over the bytes of every image and label of a ColoredMnist, in the order of the released keys."""
    digest = hashlib.sha256()
    for split in (data.train, data.test):
        digest.update(split.images().tobytes())
        digest.update(split.label.astype("int8").tobytes())
    digest.update(data.test_gray.tobytes())
    return digest.hexdigest()


def main(arguments=None):
    """Writes the data of one variance as the authors released it, and a picture of it."""
    from common import Parser, number, path, seed
    from dataset.released import ReleasedFile, released_name, write_released
    from dataset.sample_sheet import draw_samples

    parser = Parser(prog="-m dataset.colored_mnist", description=main.__doc__)
    sigma = number(float, 0, 1, open_low=True)
    parser.add_argument("--color_var", type=sigma, required=True, help="sigma^2 of the colours, 0.02 to 0.05")
    parser.add_argument("--data_seed", type=seed, default=DATA_SEED, help="seed of the colours [0]")
    parser.add_argument("--out", type=path, required=True, help="folder for the two files; made if it is missing")
    option = parser.parse_args(arguments)
    option.out = Path(option.out)
    if option.out.exists() and not option.out.is_dir():
        raise UserError(f"--out {option.out} is a file; give a folder")
    file = option.out / released_name(option.color_var)
    for path_of in (file, file.with_suffix(".png")):
        if path_of.exists():
            raise UserError(
                f"{path_of} is there already, and may be the authors' own; give another --out, or remove it"
            )
    option.out.mkdir(parents=True, exist_ok=True)

    data = build(option.color_var, option.data_seed)
    images = (data.train.images(), data.train.label, data.test.images(), data.test.label, data.test_gray)
    write_released(file, ReleasedFile(*images))
    title = f"Colored-MNIST, $\\sigma^2$ = {option.color_var:g}"
    draw_samples(file.with_suffix(".png"), data, title)
    print(f"written: {file}, {file.with_suffix('.png')}")
    print(f"SHA-256 of the data: {sha256(data)}")


if __name__ == "__main__":
    exits(main)()
