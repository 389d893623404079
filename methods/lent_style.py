"""Style lent between images: what an image shows stays, and its colours and contrasts become those of another one.

Style is the mean and the spread of each channel of a feature map (Huang and Belongie, ICCV 2017). MixStyle (Zhou et
al., ICLR 2021) mixes that of two images of a batch. Here, as in LISA's first rule (Yao et al., ICML 2022), the lender
has the same label and another bias: what the style tells of the label stays, what it tells of the bias does not.
"""

import torch
from torch import nn

from common.errors import UserError
from methods.lisa import one_of

EPSILON = 1e-5  # added to a variance, as in BatchNorm


def first_convolution(f):
    """The first nn.Conv2d of f, whose output is linear in the pixels. Raises UserError where there is none."""
    for module in f.modules():
        if isinstance(module, nn.Conv2d):
            return module
    raise UserError("--lend_style needs a network that begins with an nn.Conv2d; give --lend_style 0")


def lenders(y, b, share):
    """Whose style each image of a batch takes, int64 (B,): of the same label and another bias, else its own.

    y: int64 (B,). b: int64 (B, heads). share: of the images that take another one's, where there is any; 0..1.
    """
    other = one_of((y[:, None] == y) & (b[:, None] != b).any(2))
    takes = torch.rand(len(y), device=y.device) < share
    return torch.where(takes, other, torch.arange(len(y), device=y.device))


def with_style(maps, lender):
    """maps, float (B, C, H, W), each with the mean and the standard deviation, by channel, of maps[lender].

    lender: int64 (B,). As in MixStyle, no gradient flows through means and deviations.
    """
    var, mean = torch.var_mean(maps.detach().float(), (2, 3), keepdim=True, correction=0)
    std = (var + EPSILON).sqrt()
    scale = std[lender] / std
    return (maps * scale + (mean[lender] - mean * scale)).to(maps.dtype)
