"""The data that a run's options ask for, on its device."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from dataset import mistakes
from dataset.batches import FactoredData, ImageData, luma, on_device
from dataset.colored_mnist import MEAN_COLORS, Split, build, jitter
from errors import UserError

DRY_RUN = 128  # images of each part


class Data(NamedTuple):
    """Training data, and test data by the name under which its accuracy is recorded."""

    train: FactoredData | ImageData
    test: dict


def load_data(option, device):
    """Builds the data (or reads the released file in `data_dir`) for a method, as dataset.batches on `device`.

    `gray` trains on the luma of the coloured images; its test is `test_gray` (the reading that matches the published
    row), and the luma of the coloured test images beside it. All other methods have the one coloured test.
    """
    if option.data_dir is None:
        data = mistakes.BUILD.get(getattr(option, "deviation", None), build)(option.color_var, option.data_seed)
    else:
        from dataset.released import read_released, released_name

        path = Path(option.data_dir, released_name(option.color_var))
        if not path.exists():
            raise UserError(f"{path} does not exist; give the folder of the released files, or unset --data_dir")
        data = read_released(path)
    few = DRY_RUN if getattr(option, "dry_run", False) else None
    mask_dtype = torch.bfloat16 if getattr(option, "precision", None) == "bfloat16" else None

    def part(split):
        if isinstance(split, mistakes.Shaded):
            split = mistakes.Shaded(*(field[:few] for field in split))
            split = (split.images(), split.label)
        if isinstance(split, Split):
            split = Split(*(field[:few] for field in split))
            color = luma(split.color) if option.method == "gray" else split.color
            return FactoredData(split.mask, color, split.label, device, mask_dtype=mask_dtype)
        images, label = split[0][:few], split[1][:few]
        return on_device(luma(images) if option.method == "gray" else images, label, device)

    if option.data_dir is None:
        train, test = data.train, data.test
        test_label = data.test.label
    else:
        train, test = (data.train_image, data.train_label), (data.test_image, data.test_label)
        test_label = data.test_label
    if option.method != "gray":
        return Data(part(train), {"test_accuracy": part(test)})
    gray = ImageData(np.repeat(data.test_gray[:few, ..., None], 3, axis=-1), test_label[:few], device)
    return Data(part(train), {"test_accuracy": gray, "test_luma_accuracy": part(test)})


def hold_out(data, option):
    """Splits off `option.holdout` training images, the same ones for every run on this data seed."""
    if not option.holdout:
        return data, None
    if option.holdout >= len(data):
        raise UserError(f"--holdout {option.holdout} leaves none of the {len(data)} training images; give less")
    shuffled = torch.randperm(len(data), generator=torch.Generator().manual_seed(option.data_seed))
    return data.subset(shuffled[option.holdout :].sort().values), data.subset(shuffled[: option.holdout])


def recolored(held_out, option):
    """Held-out images in colours drawn as those of the test, to choose settings by without touching the test.

    This uses knowledge of the bias: of how the test differs from the training. None where the images are not built
    here, not of one colour each, or not coloured.
    """
    if option.data_dir is not None or option.method == "gray" or not isinstance(held_out, FactoredData):
        return None
    rng = np.random.RandomState([option.data_seed, option.holdout])
    means = MEAN_COLORS[rng.randint(len(MEAN_COLORS), size=len(held_out))]
    other = held_out.subset(torch.arange(len(held_out)))
    other.color = torch.from_numpy(jitter(means, option.color_var, rng)).to(held_out.color.device)
    return other
