"""SimpleConvNet, the published network on Biased-MNIST (Bahng et al. 2020), as f, g and h (Hong & Yang 2021).

Four blocks, 3 to 16 to 32 to 64 to 128 channels, without pooling; average over all positions; linear layer. f is the
first two blocks, g the rest; h has two blocks of its own. f and g together have 531,210 parameters at ten classes, and
cost 415 million multiply-adds an image: a network for a GPU.
"""

from collections import OrderedDict

from torch import nn


def block(in_channels, out_channels):
    """conv 7x7 - BatchNorm - ReLU. The convolution's weights are Kaiming-normal by fan_out, all else as by default."""
    conv = nn.Conv2d(in_channels, out_channels, 7, padding=3)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def simple_conv(classes=10):
    layers = OrderedDict(block1=block(3, 16), block2=block(16, 32), block3=block(32, 64), block4=block(64, 128))
    layers |= {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(128, classes)}
    return nn.Sequential(layers)
