"""SimpleConvNet, the published network on Biased-MNIST (Bahng et al. 2020), as f, g and h (Hong & Yang 2021).

Four blocks, 3 to 16 to 32 to 64 to 128 channels, without pooling; average over all positions; linear layer. f is the
first two blocks, g the rest; h has two blocks of its own. f and g together have 531,210 parameters at ten classes, and
cost 415 million multiply-adds an image: a network for a GPU.
"""

from torch import nn

from models.label_classifier import not_below_float32
from models.pooled_predictor import PooledPredictor


def block(in_channels, out_channels):
    """conv 7x7 - BatchNorm - ReLU. The convolution's weights are Kaiming-normal by fan_out, all else as by default."""
    conv = nn.Conv2d(in_channels, out_channels, 7, padding=3)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


class SimpleConvFeatures(nn.Module):
    """f: the first two blocks."""

    channels = 32  # of the features

    def __init__(self):
        super().__init__()
        self.block1 = block(3, 16)
        self.block2 = block(16, self.channels)

    def forward(self, x):
        """x: normalised images, float (B, 3, height, width). Returns features, float (B, 32, height, width), >= 0."""
        return self.block2(self.block1(x))


class SimpleConvClassifier(nn.Module):
    """g: the other two blocks, the average over all positions, and the linear layer."""

    def __init__(self, classes=10):
        super().__init__()
        self.block3 = block(SimpleConvFeatures.channels, 64)
        self.block4 = block(64, 128)
        self.fc = nn.Linear(128, classes)

    def forward(self, features):
        """features: float (B, 32, height, width). Returns logits (B, classes), not below float32."""
        z = self.block4(self.block3(features))
        return not_below_float32(self.fc(z.mean(dim=(2, 3))))


def simple_conv_predictor(values):
    """h: two blocks of its own, as g's, before a PooledPredictor. values: number of values of each head."""
    body = nn.Sequential(block(SimpleConvFeatures.channels, 64), block(64, 128))
    return PooledPredictor(128, values, body=body)
