"""Every method by its name."""

import torch

from blindeye import BlindEye
from deviations import DEVIATIONS
from lntl_plus import LNTLPlus
from trainer import LNTL, Baseline

METHODS = {"lntl": LNTL, "baseline": Baseline, "gray": Baseline, "blindeye": BlindEye, "lntl_plus": LNTLPlus}


def make_method(option, device="cpu", dtype=torch.float32):
    """The method that the options name, with its deviation if they have one."""
    kind = METHODS[option.method]
    if getattr(option, "deviation", None):
        kind = DEVIATIONS.get(option.deviation, kind)
    return kind(option, device, dtype)
