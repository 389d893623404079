"""The data and the trained networks from outside, by torch.hub:

    test = torch.hub.load(FOLDER, "colored_mnist", source="local", color_var=0.02, train=False)
    network = torch.hub.load(FOLDER, "network", source="local", method="lntl", color_var=0.02)

Our packages have short names (`models`, `dataset`, `common`, `run`, ...) and stay imported: use the hub from a program
that has none of the same names.
"""

import sys
from pathlib import Path

dependencies = ["torch", "torchvision", "numpy", "PIL", "tqdm", "matplotlib"]

FOLDER = Path(__file__).resolve().parent
OURS = ("dataset", "models", "common")


def shadowed():
    """Names of modules of the caller that stand in the way of ours."""

    def is_ours(module):
        place = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), "")
        return FOLDER in Path(place).resolve().parents

    return [name for name in OURS if name in sys.modules and not is_ours(sys.modules[name])]


if names := shadowed():
    raise ImportError(
        f"learning-not-to-learn has packages of its own called {', '.join(names)}, and yours are imported already; "
        "load it in a program, or a process, that has not imported them"
    )
if str(FOLDER) not in sys.path[1:]:  # torch.hub takes its own entry, the first, away again
    sys.path.append(str(FOLDER))  # last: for the worker processes of a DataLoader, which import the data set's class

from dataset.torch_datasets import BiasedMNIST, ColoredMNIST  # noqa: E402  after the check
from models import FeatureExtractor, LabelClassifier  # noqa: E402
from models.checkpoint import load_weights  # noqa: E402
from models.classifier import Network  # noqa: E402
from models.shipped import cell_name, weights_of  # noqa: E402


def colored_mnist(**how):
    """Colored-MNIST as a torch Dataset. Keywords and defaults: color_var=0.02, train=True, data_seed=0,
    transform=None, target_transform=None; see dataset.torch_datasets.ColoredMNIST."""
    return ColoredMNIST(**how)


def biased_mnist(**how):
    """Biased-MNIST as a torch Dataset. Keywords and defaults: rho=0.99, train=True, data_seed=0, biased=False,
    transform=None, target_transform=None; see dataset.torch_datasets.BiasedMNIST."""
    return BiasedMNIST(**how)


def network(method="lntl", color_var=0.02):
    """f and g of seed 1 as one module in eval mode, with the weights of checkpoints/.

    method: baseline, lntl or lntl_plus. color_var: 0.02 0.025 0.03 0.035 0.04 0.045 0.05.
    Raises ValueError where no weights are shipped.
    """
    path = weights_of(cell_name(method, color_var, 1))
    if not path.exists():
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*_var0.0??.pth")))
        raise ValueError(f"no weights are shipped for {method} at {color_var}; there are {there}")
    f, g = FeatureExtractor(), LabelClassifier()
    load_weights(path, f, g)
    return Network(f, g).eval()
