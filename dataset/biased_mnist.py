"""Builds Biased-MNIST: white digits on a coloured background that gives almost every training label away.

The recipe is that of Bahng et al., "Learning De-biased Representations with Biased Representations" (ICML 2020), in
its authors' own implementation: pixels of MNIST whose value is not 0 become white, the others take the background's
colour. Digit k owns colour k. Of the n images of a digit, the first floor(n * rho) in a random order get its own
colour. The rest is cut into consecutive pieces of ceil(rest / 9) images, which the nine other colours get in random
order: the last piece may be short, and colours may be left without any. So counts are the same for every seed.
The bias label is the index of the background's colour: one label an image.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from common import Flag, number, seed
from dataset.base import AUGMENT_FLAG, BY_IMAGE, METHODS_BY_IMAGE, DataSet
from dataset.batches import ColoredMasks, OnDevice, augment, mask_patches
from dataset.mnist import load_mnist

RHOS = (0.999, 0.997, 0.995, 0.99)  # of the published tables
UNBIASED_RHO = 0.1  # of the test images: every colour, for every digit, equally often
DATA_SEED = 0
DRY_RUN = 128  # images of each part
MEAN = STD = 0.5  # of the normalisation, all channels (published protocol): values lie in -1..1
WHITE = 255
BACKGROUNDS = np.array(
    [(255, 0, 0), (0, 255, 0), (0, 0, 255), (225, 225, 0), (225, 0, 225),  # 225 in the published code as well
     (0, 255, 255), (255, 128, 0), (255, 0, 128), (128, 0, 255), (128, 128, 128)], np.uint8,
)  # fmt: skip
COLORS = ("red", "green", "blue", "yellow", "magenta", "cyan", "orange", "rose", "violet", "grey")


class BiasedSplit(NamedTuple):
    """One part of the data: image n is white where `mask[n]` is set, and of colour `BACKGROUNDS[bias[n]]` elsewhere."""

    mask: np.ndarray  # bool (N, 28, 28), the digit
    bias: np.ndarray  # int64 (N,), 0..9, index of the background's colour
    label: np.ndarray  # int64 (N,), 0..9, the digit

    def images(self):
        """The coloured images, uint8 (N, 28, 28, 3)."""
        background = BACKGROUNDS[self.bias][:, None, None, :]
        return np.where(self.mask[..., None], np.uint8(WHITE), background)


class BiasedMnist(NamedTuple):
    train: BiasedSplit  # 60,000, the background follows the digit but for a few images
    test: BiasedSplit  # 10,000, "unbiased": rho = 0.1; the same for every rho of the training images
    test_biased: BiasedSplit  # 10,000, "biased": rho = 1, every digit on its own colour


def assign_backgrounds(labels, rho, rng):
    """The background of every image by the rule above, int64 (N,), 0..9. rng: np.random.RandomState."""
    colors = len(BACKGROUNDS)
    share = Fraction(str(rho))  # as written: 0.1 is a tenth, so that no product falls below a whole number by rounding
    bias = np.empty(len(labels), np.int64)
    for digit in range(colors):
        shuffled = rng.permutation(np.flatnonzero(labels == digit))
        own = math.floor(len(shuffled) * share)
        bias[shuffled[:own]] = digit
        rest = shuffled[own:]
        others = rng.permutation(np.delete(np.arange(colors), digit))
        size = max(1, math.ceil(len(rest) / len(others)))
        bias[rest] = others[np.arange(len(rest)) // size]
    return bias


def build(rho, data_seed=DATA_SEED, mnist=None):
    """Builds the data of one rho in [0, 1]; the same arguments give the same bytes on every machine.

    data_seed: 0..2**32-1. mnist: what `load_mnist()` returned.
    """
    mnist, parts = mnist or load_mnist(), []
    for images, labels, share in ((*mnist[:2], rho), (*mnist[2:], UNBIASED_RHO), (*mnist[2:], 1)):
        # RandomState: NumPy promises that its streams never change, which it does not for default_rng().
        rng = np.random.RandomState([data_seed, round(share * 1_000_000)])
        parts.append(BiasedSplit(images != 0, assign_backgrounds(labels, share, rng), labels))
    return BiasedMnist(*parts)


class BiasedImageData(OnDevice):
    """Images of Biased-MNIST as pixels; masks and background indices live on the device as bytes."""

    of_images = ("mask", "bias", "label")

    def __init__(self, mask, bias, label, device="cpu", dtype=torch.float32, mask_dtype=None, augment="none"):
        """The first three are of a BiasedSplit. dtype: of the colours. mask_dtype: of the masks in factored form
        [as the colours]. augment: of the masks, before they are coloured.
        """
        self.mask, self.bias, self.label = (torch.from_numpy(array).to(device) for array in (mask, bias, label))
        # Made once: a constant copied to a GPU in every batch makes it wait, and cannot be part of a CUDA graph.
        colors = (torch.from_numpy(np.vstack([BACKGROUNDS, [WHITE] * 3])).to(dtype) / 255 - MEAN) / STD
        self.palette, self.white = colors[:-1].to(device), colors[-1].to(device)  # (10, 3), (3,)
        self.mask_dtype = mask_dtype or dtype
        self.augment = augment

    @property
    def image_bias(self):
        return self.bias[:, None]

    def batch(self, index, augmented=False):
        """index: int64 (B,) on the device. Returns x (of `inputs`), y int64 (B,), b int64 (B, 1, 1, 1), 0..9."""
        mask, bias = self.mask[index], self.bias[index]
        if augmented and "none" not in self.augment:
            mask = augment(mask, self.augment)
        return self.inputs(mask, self.palette[bias]), self.label[index], bias.view(-1, 1, 1, 1)

    def inputs(self, mask, background):
        """x of one batch, float (B, 3, 28, 28) in channels_last order. mask: bool (B, 28, 28); background: (B, 3)."""
        return torch.where(mask[..., None], self.white, background[:, None, None, :]).permute(0, 3, 1, 2)


class BiasedData(BiasedImageData):
    """The same images in factored form, which the paper's f computes faster: a mask of the digit's outside."""

    def inputs(self, mask, background):
        patches = mask_patches(F.pad(~mask, (2, 2, 2, 2)).to(self.mask_dtype))
        return ColoredMasks(patches, foreground=background, background=self.white)


class BiasedSet(DataSet):
    """The test is the unbiased one; the accuracy on the biased one, where the background tells, is beside it."""

    name = "biased_mnist"
    help = "white digits on coloured backgrounds (Bahng et al. 2020)"
    flags = (
        Flag("rho", number(float, 0, 1), 0.99, f"ρ, share of training images on their digit's colour: {RHOS}, or any"),
        Flag("data_seed", seed, DATA_SEED, "seed of the colours when the data is built"),
        AUGMENT_FLAG,
    )
    networks = ("paper", "simple_conv")
    any_network = True
    biases = ("background",)
    values = (COLORS,)
    map_bias = False
    mean_colors = BACKGROUNDS
    mean, std = (MEAN,) * 3, (STD,) * 3

    @classmethod
    def defaults(cls, option):
        return BY_IMAGE | {"batch_size": 128, "max_step": 12}

    @classmethod
    def method_defaults(cls, option):
        if option.network not in (None, "paper"):
            return METHODS_BY_IMAGE
        paper = {m: METHODS_BY_IMAGE.get(m, {}) | {"split_at": "conv2"} for m in ("lntl", "blindeye")}
        return METHODS_BY_IMAGE | paper

    @classmethod
    def setting(cls, option):
        return f"ρ = {option.rho:g}"

    def __init__(self, option, device, grey=False, pixels=False):
        kind = BiasedData if option.network == "paper" and not pixels else BiasedImageData
        mask_dtype = torch.bfloat16 if getattr(option, "precision", None) == "bfloat16" else None
        how = {"device": device, "mask_dtype": mask_dtype}
        few = DRY_RUN if getattr(option, "dry_run", False) else None
        parts = [BiasedSplit(*(field[:few] for field in part)) for part in build(option.rho, option.data_seed)]
        self.train = kind(*parts[0], augment=option.augment, **how)
        self.test = {"test_accuracy": kind(*parts[1], **how), "test_biased_accuracy": kind(*parts[2], **how)}

    def unbiased_holdout(self, held_out, option):
        """Held-out images on backgrounds like those of the test. This uses knowledge of the bias."""
        rng = np.random.RandomState([option.data_seed, option.holdout])
        other = held_out.subset(torch.arange(len(held_out)))
        bias = assign_backgrounds(held_out.label.cpu().numpy(), UNBIASED_RHO, rng)
        other.bias = torch.from_numpy(bias).to(held_out.bias.device)
        return other
