"""What the benchmark measures against: a straightforward rewrite of the original, as one would write it by its README.

float32 in NCHW, PIL transforms in a data loader, three separate bias predictors, two full forward passes an iteration,
gradients of everything. It computes what methods/ computes, and is used for nothing but timing.
"""

from collections import OrderedDict

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision import transforms

from dataset.batches import IGNORE_INDEX, MEAN, STD
from methods.lntl import GradientReversal


class Images(Dataset):
    """Colored-MNIST, image by image: normalised image (3, 28, 28), label, bias labels (3, 14, 14)."""

    def __init__(self, images, label):
        """images: uint8 (N, 28, 28, 3); label: int64 (N,). NumPy arrays."""
        self.images, self.label = images, label
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def __len__(self):
        return len(self.label)

    def __getitem__(self, i):
        image = Image.fromarray(self.images[i])
        small = np.asarray(image.resize((14, 14), Image.NEAREST)).transpose(2, 0, 1)
        bias = np.where(small > 0, small // 32, IGNORE_INDEX)
        return self.transform(image), int(self.label[i]), torch.from_numpy(bias).long()


class Network(nn.Module):
    """f and g in one, as in the original: returns (features, logits)."""

    def __init__(self):
        super().__init__()
        self.bn0 = nn.BatchNorm2d(3)
        self.conv1 = nn.Conv2d(3, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv2d(64, 64, 3, padding=1)
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu_(self.conv1(self.bn0(x))), 3, 2, 1)
        features = F.relu_(self.conv2(x))
        x = F.relu_(self.conv4(F.relu_(self.conv3(features))))
        return features, self.fc(F.avg_pool2d(x, 7).flatten(1))


def predictor():
    """The bias predictor of one colour channel: (B, 32, 14, 14) to logits (B, 8, 14, 14)."""
    layers = {"pred_conv1": nn.Conv2d(32, 32, 3, padding=1), "pred_bn1": nn.BatchNorm2d(32), "relu": nn.ReLU(True)}
    return nn.Sequential(OrderedDict(layers, pred_conv2=nn.Conv2d(32, 8, 3, padding=1)))


class Straightforward:
    """The baseline and LNTL in the plainest form."""

    def __init__(self, option, device="cpu"):
        """option: lr, momentum, weight_decay, lambda_, mu, of train.py."""
        self.option, self.net = option, Network().to(device)
        self.predictors = [predictor().to(device) for _ in "rgb"]
        how = {"lr": option.lr, "momentum": option.momentum, "weight_decay": option.weight_decay}
        self.optimizers = [torch.optim.SGD(m.parameters(), **how) for m in (self.net, *self.predictors)]

    def step(self, loss, optimizers):
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=False)  # zeros, as PyTorch 0.4 left them
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()

    def baseline(self, x, y, b):
        """One iteration of the baseline. Returns its loss."""
        loss = F.cross_entropy(self.net(x)[1], y)
        self.step(loss, self.optimizers[:1])
        return loss.item()

    def lntl(self, x, y, b):
        """Updates A and B. Returns the losses of classification and bias, and the entropy term."""
        features, logits = self.net(x)
        cls_loss = F.cross_entropy(logits, y)
        log_p = [F.log_softmax(one(features), dim=1) for one in self.predictors]
        term = sum((one.exp() * one).sum(1).mean() for one in log_p) / 3
        self.step(cls_loss + self.option.lambda_ * term, self.optimizers[:1])

        features = GradientReversal.apply(self.net(x)[0], self.option.mu)
        each = zip(self.predictors, b.unbind(1), strict=True)
        bias_loss = sum(F.cross_entropy(one(features), of, ignore_index=IGNORE_INDEX) for one, of in each)
        self.step(bias_loss, self.optimizers)
        return cls_loss.item(), bias_loss.item(), term.item()
