"""What the benchmark measures against: a straightforward rewrite of the original, as one would write it by its README.

float32 in NCHW, PIL transforms in a data loader, three separate bias predictors, two full forward passes an iteration,
gradients of everything. It computes what methods/ computes, and is used for nothing but timing.
"""

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


def conv(inputs, outputs, size=3, stride=1):
    return nn.Conv2d(inputs, outputs, size, stride, size // 2)


class Straightforward:
    """The baseline and LNTL in the plainest form; the layers in the order of the original."""

    def __init__(self, option, device="cpu"):
        """option: lr, momentum, weight_decay, lambda_, mu, of train.py."""
        self.option, relu = option, nn.ReLU(inplace=True)
        first = (nn.BatchNorm2d(3), conv(3, 32, 5), relu, nn.MaxPool2d(3, 2, 1))
        self.f = nn.Sequential(*first, conv(32, 32), relu).to(device)
        self.g = nn.Sequential(
            conv(32, 64, stride=2), relu, conv(64, 64), relu, nn.AvgPool2d(7), nn.Flatten(), nn.Linear(64, 10)
        ).to(device)
        self.predictors = [nn.Sequential(conv(32, 32), nn.BatchNorm2d(32), relu, conv(32, 8)).to(device) for _ in "rgb"]
        how = {"lr": option.lr, "momentum": option.momentum, "weight_decay": option.weight_decay}
        parts = (nn.ModuleList([self.f, self.g]), *self.predictors)
        self.optimizers = [torch.optim.SGD(part.parameters(), **how) for part in parts]

    def step(self, loss, optimizers):
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=False)  # zeros, as PyTorch 0.4 left them
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()

    def baseline(self, x, y, b):
        """One iteration of the baseline. Returns its loss."""
        loss = F.cross_entropy(self.g(self.f(x)), y)
        self.step(loss, self.optimizers[:1])
        return loss.item()

    def lntl(self, x, y, b):
        """Updates A and B. Returns the losses of classification and bias, and the entropy term."""
        features = self.f(x)
        cls_loss = F.cross_entropy(self.g(features), y)
        log_p = [F.log_softmax(one(features), dim=1) for one in self.predictors]
        term = sum((one.exp() * one).sum(1).mean() for one in log_p) / 3
        self.step(cls_loss + self.option.lambda_ * term, self.optimizers[:1])

        features = self.f(x)
        self.g(features)  # as the original does, unused
        features = GradientReversal.apply(features, self.option.mu)
        each = zip(self.predictors, b.unbind(1), strict=True)
        bias_loss = sum(F.cross_entropy(one(features), of, ignore_index=IGNORE_INDEX) for one, of in each)
        self.step(bias_loss, self.optimizers)
        return cls_loss.item(), bias_loss.item(), term.item()
