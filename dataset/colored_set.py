"""Colored-MNIST as train.py takes it: built from MNIST, or read from a released file."""

from pathlib import Path

import numpy as np
import torch

from common import Flag, number, path, seed
from common.errors import UserError
from dataset import mistakes
from dataset.base import DataSet
from dataset.batches import FactoredData, ImageData, luma, on_device
from dataset.colored_mnist import COLOR_VARS, DATA_SEED, MEAN_COLORS, Split, build, jitter
from dataset.released import read_released, released_name

DRY_RUN = 128  # images of each part


class ColoredSet(DataSet):
    """The paper's benchmark; the bias labels are made of the images' colours.

    With `grey` it has the luma of the coloured images; its test is `test_gray` (the reading that matches the published
    row), and the luma of the coloured test images beside it. Otherwise it has the one coloured test.
    """

    name = "colored_mnist"
    help = "the paper's benchmark"
    flags = (
        Flag(
            "color_var",
            number(float, 0, 1, open_low=True),
            0.03,
            f"σ², the variance of the colours: {', '.join(map(str, COLOR_VARS))}; any other with --data_dir",
        ),
        Flag("data_dir", path, help="folder of the data: the released files (unset, it is built), or your images"),
        Flag("data_seed", seed, DATA_SEED, "seed of the colours when the data is built"),
    )

    has_grey = True
    mean_colors = MEAN_COLORS

    @classmethod
    def resolve(cls, option):
        option.color_var = 0.03 if option.color_var is None else option.color_var
        if option.data_dir is None and option.color_var not in COLOR_VARS:
            raise UserError(
                f"--color_var {option.color_var}: data is built for the paper's {', '.join(map(str, COLOR_VARS))} "
                "alone; give one of them, or a released file of your own with --data_dir"
            )
        if option.data_dir is not None and option.data_seed is not None:
            raise UserError("--data_seed is for data that is built, --data_dir for data that is read; give one of them")
        if option.data_dir is not None and not Path(option.data_dir).is_dir():
            raise UserError(f"--data_dir {option.data_dir} is not a folder; unset it to build the data from MNIST")
        if option.data_dir is not None and getattr(option, "deviation", None) in mistakes.BUILD:
            raise UserError(f"--deviation {option.deviation} is one of the data that is built; unset --data_dir")
        option.data_seed = DATA_SEED if option.data_seed is None else option.data_seed

    @classmethod
    def settings(cls, option):
        return {"lntl_plus": {"prior": "colour"}}  # chosen on held-out images: docs/REPRODUCTION.md

    @classmethod
    def setting(cls, option):
        return f"σ² = {option.color_var}"

    def __init__(self, option, device, grey=False):
        if option.data_dir is None:
            data = mistakes.BUILD.get(getattr(option, "deviation", None), build)(option.color_var, option.data_seed)
            train, test, test_label = data.train, data.test, data.test.label
        else:
            file = Path(option.data_dir, released_name(option.color_var))
            if not file.exists():
                raise UserError(f"{file} does not exist; give the folder of the released files, or unset --data_dir")
            data = read_released(file)
            train, test = (data.train_image, data.train_label), (data.test_image, data.test_label)
            test_label = data.test_label
        few = DRY_RUN if getattr(option, "dry_run", False) else None
        mask_dtype = torch.bfloat16 if getattr(option, "precision", None) == "bfloat16" else None

        def part(split):
            if isinstance(split, mistakes.Shaded):
                split = mistakes.Shaded(*(field[:few] for field in split))
                split = (split.images(), split.label)
            if isinstance(split, Split):
                split = Split(*(field[:few] for field in split))
                color = luma(split.color) if grey else split.color
                return FactoredData(split.mask, color, split.label, device, mask_dtype=mask_dtype)
            images, label = split[0][:few], split[1][:few]
            return on_device(luma(images) if grey else images, label, device)

        self.grey = grey
        self.train, self.test = part(train), {"test_accuracy": part(test)}
        if grey and data.test_gray is None:
            raise UserError(f"{file} has no test_gray, which --method gray is tested on; give a file that has it")
        if grey:
            gray = ImageData(np.repeat(data.test_gray[:few, ..., None], 3, axis=-1), test_label[:few], device)
            self.test = {"test_accuracy": gray, "test_luma_accuracy": self.test["test_accuracy"]}

    def unbiased_holdout(self, held_out, option):
        """Held-out images in colours drawn as those of the test, to choose settings by without touching the test.

        This uses knowledge of the bias: of how the test differs from the training. None where the images are not built
        here, not of one colour each, or not coloured.
        """
        if option.data_dir is not None or self.grey or not isinstance(held_out, FactoredData):
            return None
        rng = np.random.RandomState([option.data_seed, option.holdout])
        means = MEAN_COLORS[rng.randint(len(MEAN_COLORS), size=len(held_out))]
        other = held_out.subset(torch.arange(len(held_out)))
        other.color = torch.from_numpy(jitter(means, option.color_var, rng)).to(held_out.color.device)
        return other
