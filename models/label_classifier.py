"""g: the label classifier, from features to the ten digits."""

import torch
from torch import nn
from torch.nn import functional as F

from models.feature_extractor import init_convolutions


def not_below_float32(logits):
    """Logits in float32 where autocast made bfloat16 of them, whose softmax a CPU would leave in it; float64 stays."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


class LabelClassifier(nn.Module):
    """g (official network after its second convolution; names of the parameters are the official ones).

    conv 3x3, 32 to 64, stride 2 - ReLU - conv 3x3, 64 to 64 - ReLU - average over the 7x7 map - linear 64 to 10.
    """

    def __init__(self):
        super().__init__()
        self.conv3 = nn.Conv2d(32, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv2d(64, 64, 3, padding=1)
        self.fc = nn.Linear(64, 10)
        init_convolutions(self)

    def forward(self, features):
        """features: float (B, 32, 14, 14). Returns logits (B, 10), not below float32."""
        z = F.relu_(self.conv3(features))
        z = F.relu_(self.conv4(z))
        return not_below_float32(self.fc(z.mean(dim=(2, 3))))
