"""The data and the trained networks from outside, by torch.hub:

    test = torch.hub.load(FOLDER, "colored_mnist", source="local", color_var=0.02, train=False)
    network = torch.hub.load(FOLDER, "classifier", f"{FOLDER}/checkpoints/lntl_var0.020.pth", source="local")
    logits = network(network.transform(PIL.Image.open("a.jpg"))[None])     # of network.classes, in this order

Our packages have short names (`models`, `dataset`, `common`, ...) and stay imported: use the hub from a program that
has none of the same names.
"""

import sys
from pathlib import Path

dependencies = ["torch", "torchvision", "numpy", "PIL", "tqdm", "matplotlib"]

FOLDER = Path(__file__).resolve().parent


if names := [
    name
    for name in ("dataset", "models", "common")
    if name in sys.modules and FOLDER not in Path(sys.modules[name].__file__ or "").resolve().parents
]:
    raise ImportError(
        f"learning-not-to-learn has packages of its own called {', '.join(names)}, and yours are imported already; "
        "load it in a program, or a process, that has not imported them"
    )
if str(FOLDER) not in sys.path[1:]:  # torch.hub takes its own entry, the first, away again
    sys.path.append(str(FOLDER))  # last: for the worker processes of a DataLoader, which import the data set's class

from dataset.torch_datasets import BiasedMNIST as biased_mnist  # noqa: E402  after the check
from dataset.torch_datasets import ColoredMNIST as colored_mnist  # noqa: E402
from models.classifier import classifier  # noqa: E402

__all__ = ["biased_mnist", "classifier", "colored_mnist"]
