"""Biased-MNIST as train.py takes it."""

import numpy as np
import torch

from common import Flag, number, seed
from dataset.base import BY_IMAGE, DataSet
from dataset.biased_batches import BiasedData, BiasedImageData
from dataset.biased_mnist import (
    BACKGROUNDS,
    COLORS,
    DATA_SEED,
    RHOS,
    UNBIASED_RHO,
    BiasedSplit,
    assign_backgrounds,
    build,
)

DRY_RUN = 128  # images of each part


class BiasedSet(DataSet):
    """White digits on a background whose colour is the bias label, one an image (dataset/biased_mnist.py).

    The test is the unbiased one; the accuracy on the biased one, where the background tells the digit, is beside it.
    """

    name = "biased_mnist"
    help = "white digits on coloured backgrounds (Bahng et al. 2020)"
    flags = (
        Flag("rho", number(float, 0, 1), 0.99, f"ρ, share of training images on their digit's colour: {RHOS}, or any"),
        Flag("data_seed", seed, DATA_SEED, "seed of the colours when the data is built"),
    )
    networks = ("paper", "simple_conv")
    biases = ("background",)
    values = (COLORS,)
    map_bias = False
    mean_colors = BACKGROUNDS

    @classmethod
    def resolve(cls, option):
        option.rho = 0.99 if option.rho is None else option.rho
        option.data_seed = DATA_SEED if option.data_seed is None else option.data_seed

    @classmethod
    def settings(cls, option):
        return BY_IMAGE | {"lntl_plus": {"mu": 0.03}}  # the best there, where 0.01 is the best on photographs

    @classmethod
    def setting(cls, option):
        return f"ρ = {option.rho:g}"

    def __init__(self, option, device, grey=False):
        self.kind = BiasedData if option.network == "paper" else BiasedImageData
        self.how = {"device": device}
        if getattr(option, "precision", None) == "bfloat16":
            self.how["mask_dtype"] = torch.bfloat16
        few = DRY_RUN if getattr(option, "dry_run", False) else None
        parts = [BiasedSplit(*(field[:few] for field in part)) for part in build(option.rho, option.data_seed)]
        self.train, test, biased = (self.kind(*part, **self.how) for part in parts)
        self.test = {"test_accuracy": test, "test_biased_accuracy": biased}

    def unbiased_holdout(self, held_out, option):
        """Held-out images on backgrounds like those of the test, every colour equally often.

        This uses knowledge of the bias: of how the test differs from the training.
        """
        rng = np.random.RandomState([option.data_seed, option.holdout])
        other = held_out.subset(torch.arange(len(held_out)))
        bias = assign_backgrounds(held_out.label.cpu().numpy(), UNBIASED_RHO, rng)
        other.bias = torch.from_numpy(bias).to(held_out.bias.device)
        return other
