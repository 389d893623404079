"""The data and the trained networks from outside, by torch.hub:

    test = torch.hub.load(FOLDER, "colored_mnist", source="local", color_var=0.02, train=False)
    network = torch.hub.load(FOLDER, "network", source="local", method="lntl", color_var=0.02)
    network = torch.hub.load(FOLDER, "classifier", "checkpoint/RUN/final.pth", source="local")
    logits = network(network.transform(PIL.Image.open("a.jpg"))[None])     # of network.classes, in this order

Our packages have short names (`models`, `dataset`, `common`, ...) and stay imported: use the hub from a program that
has none of the same names.
"""

import sys
from pathlib import Path

dependencies = ["torch", "torchvision", "numpy", "PIL", "tqdm", "matplotlib"]

FOLDER = Path(__file__).resolve().parent


def is_ours(module):
    place = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), "")
    return FOLDER in Path(place).resolve().parents


if names := [n for n in ("dataset", "models", "common") if n in sys.modules and not is_ours(sys.modules[n])]:
    raise ImportError(
        f"learning-not-to-learn has packages of its own called {', '.join(names)}, and yours are imported already; "
        "load it in a program, or a process, that has not imported them"
    )
if str(FOLDER) not in sys.path[1:]:  # torch.hub takes its own entry, the first, away again
    sys.path.append(str(FOLDER))  # last: for the worker processes of a DataLoader, which import the data set's class

from dataset.torch_datasets import BiasedMNIST as biased_mnist  # noqa: E402  after the check
from dataset.torch_datasets import ColoredMNIST as colored_mnist  # noqa: E402
from models.classifier import classifier  # noqa: E402
from models.shipped import cell_name, weights_of  # noqa: E402

__all__ = ["biased_mnist", "classifier", "colored_mnist", "network"]


def network(method="lntl", color_var=0.02):
    """The `classifier` of seed 1 with the weights of checkpoints/, from (B, 3, 28, 28) to (B, 10).

    method: baseline, lntl or lntl_plus. color_var: 0.02 to 0.05. Raises ValueError where no weights are shipped.
    """
    path = weights_of(cell_name(method, color_var, 1))
    if not path.exists():
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*_var0.0??.pth")))
        raise ValueError(f"no weights are shipped for {method} at {color_var}; there are {there}")
    return classifier(path)
