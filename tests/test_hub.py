"""The data and the networks through torch.hub, from a program in another folder."""

import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from common.errors import UserError
from dataset.batches import MEAN, STD
from dataset.pictures import read_picture
from models.checkpoint import join_net
from models.networks import make_networks
from tests.conftest import shared

ROOT = Path(__file__).resolve().parents[1]


def python(folder, program):
    """Runs a program in another folder, which knows nothing of this one but its path; returns the finished process."""
    known = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    head = f"import torch\nimport torch.hub\nREPO = {str(ROOT)!r}\n"
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", head + program]
    return subprocess.run(command, cwd=folder, env=known, capture_output=True, text=True, timeout=300)


def test_the_network_has_the_accuracy_of_the_table_and_the_data_is_that_of_the_package(tmp_path):
    cells = json.loads((ROOT / "results/results.json").read_text("utf-8"))["cells"]
    cell = next(c for c in cells if (c["method"], c["color_var"]) == ("lntl_plus", 0.05))
    done = python(
        tmp_path,
        """
network = torch.hub.load(REPO, "classifier", f"{REPO}/checkpoints/lntl_plus_var0.050.pth", source="local")
how = {"color_var": 0.05, "train": False, "transform": network.transform}
test = torch.hub.load(REPO, "colored_mnist", source="local", **how)
with torch.no_grad():
    batches = torch.utils.data.DataLoader(test, batch_size=500)
    print(sum(int((network(images).argmax(1) == digits).sum()) for images, digits in batches))
biased = torch.hub.load(REPO, "biased_mnist", source="local", rho=0.995, train=False, biased=True)
from dataset import BiasedMNIST, ColoredMNIST
assert torch.equal(test.data, ColoredMNIST(0.05, train=False).data)
assert torch.equal(biased.data, BiasedMNIST(0.995, train=False, biased=True).data)
""",
    )
    assert done.returncode == 0, done.stderr
    # Plain images, while the table's were in factored form: the same sums, in another order.
    assert abs(int(done.stdout) - 10_000 * cell["accuracy"][cell["seeds"].index(1)]) < 1.5


def test_packages_of_the_caller_that_shadow_ours_are_named(tmp_path):
    (tmp_path / "models.py").touch()
    done = python(tmp_path, "import models\ntorch.hub.load(REPO, 'colored_mnist', source='local')")
    assert done.returncode == 1
    assert "ImportError: learning-not-to-learn has packages of its own called models, and yours" in done.stderr


@pytest.fixture(scope="module")
def hub():
    spec = importlib.util.spec_from_file_location("hubconf", ROOT / "hubconf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def weights(path, network, names, inputs, split_at=None, size=32, **option):
    """Writes the weights file of a run on images with a random network; returns its f and g in eval mode."""
    f, g, _ = make_networks(network, len(names), (2,), False, split_at, size=size)
    with torch.no_grad():
        for _ in range(3):
            g(f(torch.randn(8, 3, size, size)))  # BatchNorm's statistics
    option |= {"dataset": "images", "network": network, "split_at": split_at}
    content = {"net_state_dict": join_net(f, g), "names": {"classes": names, "biases": {}}, "inputs": inputs}
    torch.save(content | {"option": option, "step": 3}, path)
    return f.eval(), g.eval()


INPUTS = {"size": 32, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@pytest.mark.parametrize(
    ("network", "split_at"), [("resnet18", "layer3"), ("shufflenet_v2_x0_5", None), ("paper", None)]
)
def test_a_classifier_predicts_as_the_runs_own_f_and_g(tmp_path, hub, network, split_at):
    f, g = weights(tmp_path / "final.pth", network, ["cat", "dog", "eel"], INPUTS, split_at)
    classifier = hub.classifier(tmp_path / "final.pth")
    assert classifier.classes == ["cat", "dog", "eel"]
    assert not classifier.training
    rng = np.random.default_rng(0)
    for number, size in enumerate([(50, 40, 3), (32, 32, 3), (20, 64, 3), (300, 200, 3), (40, 50)]):
        path = tmp_path / f"{number}.{'jpg' if number % 2 else 'png'}"
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(path)
        pixels = torch.tensor(read_picture(path, 32)).permute(2, 0, 1) / 255  # as --dataset images reads it
        mean, std = (torch.tensor(INPUTS[key])[:, None, None] for key in ("mean", "std"))
        x = classifier.transform(Image.open(path))
        torch.testing.assert_close(x, (pixels - mean) / std, rtol=0, atol=1e-6)
        assert torch.equal(classifier(x[None]), g(f(x[None])))
    assert torch.equal(pickle.loads(pickle.dumps(classifier))(x[None]), classifier(x[None]))


def test_what_a_file_does_not_say_is_asked_for(tmp_path, hub):
    (tmp_path / "own.py").write_text("from torchvision.models import resnet18 as net\n")
    name = f"{tmp_path / 'own.py'}:net"
    f, g = weights(tmp_path / "final.pth", name, ["a", "b"], INPUTS)
    with pytest.raises(UserError, match="code of its maker; give network="):
        hub.classifier(tmp_path / "final.pth")
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(hub.classifier(tmp_path / "final.pth", network=name)(x), g(f(x)))


def test_the_official_file_is_a_classifier(hub):
    classifier = hub.classifier(shared("official", "pretrained_var0.020.pth"))
    assert classifier.classes == list("0123456789")
    x = classifier.transform(Image.new("RGB", (28, 28), (255, 0, 51)))
    expected = [(value - mean) / std for value, mean, std in zip((1, 0, 0.2), MEAN, STD, strict=True)]
    torch.testing.assert_close(x[:, 5, 5], torch.tensor(expected), rtol=0, atol=1e-6)
    assert classifier.f(x[None]).shape == (1, 32, 14, 14)
