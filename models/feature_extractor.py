"""f: the feature extractor, from a coloured image to a map of 32 features."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from dataset.batches import ColoredMasks


class FeatureExtractor(nn.Module):
    """f (official network up to its second convolution; names of the parameters are the official ones).

    BatchNorm2d(3) - conv 5x5, 3 to 32 - ReLU - max pool 3, stride 2 - conv 3x3, 32 to 32 - ReLU.
    """

    def __init__(self):
        super().__init__()
        self.bn0 = nn.BatchNorm2d(3)
        self.conv1 = nn.Conv2d(3, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1)
        init_convolutions(self)

    def forward(self, x):
        """x: normalised images, float (B, 3, 28, 28), or the same in factored form, `ColoredMasks`.

        Returns the features, float (B, 32, 14, 14), >= 0.
        """
        if isinstance(x, ColoredMasks):
            z = normalise_and_convolve_masks(x, self.bn0, self.conv1)
        else:
            z = self.conv1(self.bn0(x))
        # The pool before the ReLU, as both orders give the same numbers and this one clips a quarter of them.
        z = F.relu_(F.max_pool2d(z, kernel_size=3, stride=2, padding=1))
        return F.relu_(self.conv2(z))


def init_convolutions(module):
    """Draws the convolutions' weights from Normal(0, sqrt(2 / (k * k * out))) (official; for f and g only)."""
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d):
            height, width = conv.kernel_size
            nn.init.normal_(conv.weight, std=math.sqrt(2 / (height * width * conv.out_channels)))


def normalise_and_convolve_masks(x, bn, conv):
    """`conv(bn(images))` for images that are a mask filled with one colour, in a fifth of the time.

    Such an image is background + mask * offset per channel, with offset = foreground - background. BatchNorm keeps
    this form, and the convolution is linear in it: one kernel per image, summed over the channels, meets the mask
    alone (25 products for a value instead of 75), and one map, the same for all, is what the background and its zero
    padding leave. Equal up to rounding to the plain form, buffers of the BatchNorm included.

    x: ColoredMasks of B images. Returns float (B, 32, 28, 28) in channels_last order.
    """
    offset = x.foreground - x.background
    if bn.training:
        middle = x.patches[:, x.patches.shape[1] // 2]  # of the 5x5 patches: the mask itself
        share = middle.mean(1, keepdim=True, dtype=offset.dtype)  # of foreground, by image
        mean_offset = (share * offset).mean(0)
        mean = x.background + mean_offset
        var = (share * offset**2).mean(0) - mean_offset**2
        with torch.no_grad():
            count = x.patches.shape[0] * x.patches.shape[2]
            bn.running_mean.lerp_(mean, bn.momentum)
            bn.running_var.lerp_(var * count / (count - 1), bn.momentum)
            bn.num_batches_tracked.add_(1)
    else:
        mean, var = bn.running_mean, bn.running_var
    scale = bn.weight * torch.rsqrt(var + bn.eps)
    background = (x.background - mean) * scale + bn.bias

    canvas = F.conv2d(background.view(1, 3, 1, 1).expand(1, 3, 28, 28), conv.weight, conv.bias, padding=2)
    kernels = torch.einsum("nc,ocij->nijo", offset * scale, conv.weight).flatten(1, 2)  # (B, 25, 32)
    canvas = canvas.flatten(2).transpose(1, 2).expand(len(kernels), -1, -1)  # (B, 784, 32)
    z = torch.baddbmm(canvas, x.patches.transpose(1, 2).to(kernels.dtype), kernels)
    return z.transpose(1, 2).unflatten(2, (28, 28))
