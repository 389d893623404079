"""Builds Colored-MNIST: digits whose colour gives their label away in training, and says nothing in the test.

    python -m dataset.colored_mnist --color_var 0.02 --out DIR      # a file in the released format

The recipe (README.md in this folder has the evidence): MNIST in its own order, binarised at > 128; one RGB triple
per image on a black background. In training the triple is drawn around the mean colour of the image's own digit,
in the test around one of the ten mean colours picked uniformly. Per channel, Normal(mean / 255, sigma^2) is drawn
until it lies in (0, 1), then multiplied by 255 and truncated.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from common import Flag, Parser, location, number, path, seed
from common.errors import UserError, exits
from dataset.base import DATA_DIR, DataSet
from dataset.batches import FactoredData, ImageData, factorise, luma
from dataset.mnist import load_mnist
from dataset.released import read_released, released_name, write_released

MOST = 0.1  # the largest sigma^2 that --color_var takes
DRY_RUN = 128  # images of each part
COLOR_VARS = (0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05)  # sigma^2 of the paper, on the [0, 1] scale
THRESHOLD = 128  # a pixel is foreground iff its MNIST value is greater
DATA_SEED = 0
MEAN_COLORS = np.array(
    [(220, 20, 60), (0, 128, 128), (253, 233, 16), (0, 149, 182), (237, 145, 33),
     (145, 30, 188), (70, 240, 240), (250, 197, 187), (210, 245, 60), (128, 0, 0)], np.uint8,
)  # fmt: skip


class Split(NamedTuple):
    """One half of the data, kept as what it consists of: image n is `mask[n]` filled with the triple `color[n]`."""

    mask: np.ndarray  # bool (N, 28, 28), the foreground
    color: np.ndarray  # uint8 (N, 3), RGB
    label: np.ndarray  # int64 (N,), the digit

    def images(self):
        """The coloured images, uint8 (N, 28, 28, 3)."""
        return self.mask[..., None] * self.color[:, None, None, :]


class ColoredMnist(NamedTuple):
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


def build(color_var, data_seed=DATA_SEED, mnist=None):
    """Builds the data of one variance; the same arguments give the same bytes on every machine.

    color_var: sigma^2 in (0, 1], else ValueError. data_seed: 0..2**32-1. mnist: what `load_mnist()` returned.
    """
    if not 0 < color_var <= 1:
        raise ValueError(f"color_var is {color_var}; it lies above 0, and at most at 1")
    mnist = mnist or load_mnist()
    # RandomState: NumPy promises that its streams never change, which it does not for default_rng().
    rng = np.random.RandomState([data_seed, round(color_var * 1_000_000)])
    train_color = jitter(MEAN_COLORS[mnist.train_labels], color_var, rng)
    test_color = jitter(MEAN_COLORS[rng.randint(10, size=len(mnist.test_labels))], color_var, rng)
    return ColoredMnist(
        train=Split(mnist.train_images > THRESHOLD, train_color, mnist.train_labels),
        test=Split(mnist.test_images > THRESHOLD, test_color, mnist.test_labels),
        test_gray=mnist.test_images,
    )


class ColoredSet(DataSet):
    """The paper's benchmark, built from MNIST or read from a released file; the bias labels are made of the colours.

    With `grey` it has the luma of the images, and two tests: `test_gray`, which matches the published row, and luma.
    """

    name = "colored_mnist"
    help = "the paper's benchmark"
    flags = (
        Flag(
            "color_var", number(float, 0, MOST, open_low=True), 0.03,
            f"σ², the variance of the colours: {', '.join(map(str, COLOR_VARS))}, or another",
        ),
        Flag("data_dir", path, help=DATA_DIR),
        Flag("data_seed", seed, DATA_SEED, "seed of the colours when the data is built"),
    )  # fmt: skip
    usual_method = "lntl"
    has_grey = True
    mean_colors = MEAN_COLORS

    @classmethod
    def check(cls, option):
        if option.data_dir is not None and option.data_seed != DATA_SEED:
            raise UserError("--data_seed is for data that is built, --data_dir for data that is read; give one of them")

    @classmethod
    def method_defaults(cls, option):
        return {"lntl_plus": {"prior": "colour"}}  # chosen on held-out images (docs/LNTL_PLUS.md)

    @classmethod
    def setting(cls, option):
        return f"σ² = {option.color_var}"

    def __init__(self, option, device, grey=False, pixels=False):
        few = DRY_RUN if getattr(option, "dry_run", False) else None
        mask_dtype = torch.bfloat16 if getattr(option, "precision", None) == "bfloat16" else None

        def part(split):
            split = Split(*(field[:few] for field in split))
            split = split._replace(color=luma(split.color)) if grey else split
            if pixels:
                return ImageData(split.images(), split.label, device)
            return FactoredData(*split, device, mask_dtype=mask_dtype)

        self.grey = grey
        data = build(option.color_var, option.data_seed) if option.data_dir is None else read(option)
        self.train, self.test = part(data.train), {"test_accuracy": part(data.test)}
        if grey:
            images = np.repeat(data.test_gray[:few, ..., None], 3, axis=-1)
            gray = ImageData(images, data.test.label[:few], device)
            self.test = {"test_accuracy": gray, "test_luma_accuracy": self.test["test_accuracy"]}

    def unbiased_holdout(self, held_out, option):
        """Held-out images in colours drawn as those of the test. This uses knowledge of the bias.

        None where the images are not built here, not factored, or not coloured.
        """
        if option.data_dir is not None or self.grey or not isinstance(held_out, FactoredData):
            return None
        rng = np.random.RandomState([option.data_seed, option.holdout])
        means = MEAN_COLORS[rng.randint(len(MEAN_COLORS), size=len(held_out))]
        other = held_out.subset(torch.arange(len(held_out)))
        other.color = torch.from_numpy(jitter(means, option.color_var, rng)).to(held_out.color.device)
        return other


def read(option):
    """The ColoredMnist in the released file that resolved options name. Raises UserError."""
    path = Path(option.data_dir, released_name(option.color_var))
    data = read_released(path)
    train, test = factorise(data["train_image"]), factorise(data["test_image"])
    if train is None or test is None:
        raise UserError(f"data file {path} has images that are not of one colour on black; give one of the authors'")
    return ColoredMnist(Split(*train, data["train_label"]), Split(*test, data["test_label"]), data["test_gray"])


@exits
def main(arguments=None):
    """Writes the data of one variance as the authors released it."""
    parser = Parser(prog="-m dataset.colored_mnist", description=main.__doc__)
    for flag in ColoredSet.flags:
        if flag.name != "data_dir":
            flag.add_to(parser)
            parser.set_defaults(**{flag.name: flag.default})
    parser.add_argument("--out", type=location, required=True, help="folder for the file; made if it is missing")
    option = parser.parse_args(arguments)
    file = option.out / released_name(option.color_var)
    if file.exists():
        raise UserError(f"{file} is there already, and may be the authors' own; give another --out, or remove it")
    option.out.mkdir(parents=True, exist_ok=True)
    data = build(option.color_var, option.data_seed)
    write_released(file, data.train.images(), data.train.label, data.test.images(), data.test.label, data.test_gray)
    print(f"written: {file}")


if __name__ == "__main__":
    main()
