"""f and g as one network, for programs that want nothing else; not in hubconf.py, so that it can be pickled."""

from torch import nn

from dataset.batches import MEAN, STD


class Network(nn.Sequential):
    """f and g: normalised images, float (B, 3, 28, 28), to logits (B, 10). `transform` makes a (3, 28, 28) of a PIL
    image."""

    def __init__(self, f, g):
        from torchvision.transforms import Compose, Normalize, ToTensor  # slow to import, and the data needs none of it

        super().__init__()
        self.add_module("f", f)
        self.add_module("g", g)
        self.transform = Compose([ToTensor(), Normalize(MEAN, STD)])
