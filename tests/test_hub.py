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
    return subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", head + program],
        cwd=folder,
        env=known | {"OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        timeout=300,
    )


ACCURACY = """
network = torch.hub.load(REPO, "network", source="local", method=METHOD, color_var=COLOR_VAR)
test = torch.hub.load(
    REPO, "colored_mnist", source="local", color_var=COLOR_VAR, train=False, transform=network.transform
)
assert not network.training
assert isinstance(network, torch.nn.Module)
correct = 0
with torch.no_grad():
    for images, digits in torch.utils.data.DataLoader(test, batch_size=500):
        logits = network(images)
        assert images.shape == (500, 3, 28, 28) and logits.shape == (500, 10)
        correct += int((logits.argmax(1) == digits).sum())
print(correct)
"""


@pytest.mark.parametrize(("method", "color_var"), [("lntl_plus", 0.05)])
def test_the_network_has_the_accuracy_of_the_table(tmp_path, method, color_var):
    cells = json.loads((ROOT / "results/results.json").read_text("utf-8"))["cells"]
    cell = next(c for c in cells if (c["method"], c["color_var"]) == (method, color_var))
    recorded = cell["accuracy"][cell["seeds"].index(1)]
    done = python(tmp_path, f"METHOD, COLOR_VAR = {method!r}, {color_var}\n{ACCURACY}")
    assert done.returncode == 0, done.stderr
    # Plain images, while the table's were in factored form: the same sums, in another order.
    assert abs(int(done.stdout) - 10_000 * recorded) < 1.5


def test_the_data_is_that_of_the_package(tmp_path):
    done = python(
        tmp_path,
        """
colored = torch.hub.load(REPO, "colored_mnist", source="local", color_var=0.05, data_seed=3)
biased = torch.hub.load(REPO, "biased_mnist", source="local", rho=0.995, train=False, biased=True)
from dataset import BiasedMNIST, ColoredMNIST
assert torch.equal(colored.data, ColoredMNIST(0.05, data_seed=3).data) and len(colored) == 60_000
assert torch.equal(biased.data, BiasedMNIST(0.995, train=False, biased=True).data) and len(biased) == 10_000
assert torch.equal(biased.bias, biased.targets)
""",
    )
    assert done.returncode == 0, done.stderr


def test_worker_processes_find_the_data(tmp_path):
    program = tmp_path / "program.py"  # a file, as worker processes that are spawned import it again
    program.write_text(
        f"""
import torch

def tensor(image):
    return torch.tensor(image.getpixel((0, 0)))

if __name__ == "__main__":
    data = torch.hub.load({str(ROOT)!r}, "biased_mnist", source="local", train=False, transform=tensor)
    data = torch.utils.data.DataLoader(data, batch_size=64, num_workers=1, multiprocessing_context="spawn")
    print(next(iter(data))[1].shape)
"""
    )
    done = subprocess.run([sys.executable, program], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "64" in done.stdout


def test_packages_of_the_caller_that_shadow_ours_are_named(tmp_path):
    (tmp_path / "models.py").touch()
    done = python(tmp_path, "import models\ntorch.hub.load(REPO, 'network', source='local')")
    assert done.returncode == 1
    *_, last = done.stderr.strip().splitlines()
    assert last.startswith("ImportError: learning-not-to-learn has packages of its own called models, and yours are")


def test_weights_that_are_not_shipped_are_named(tmp_path):
    done = python(tmp_path, "torch.hub.load(REPO, 'network', source='local', method='gray')")
    *_, last = done.stderr.strip().splitlines()
    assert last.startswith("ValueError: no weights are shipped for gray at 0.02; there are baseline_var0.020, ")


def test_importing_the_package_is_quiet_and_late():
    program = "import sys, dataset; assert 'torch' not in sys.modules; from dataset import ColoredMNIST, BiasedMNIST"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    help_ = [sys.executable, "-W", "error", "-m", "dataset.colored_mnist", "--help"]
    assert subprocess.run(help_, cwd=ROOT, capture_output=True, text=True).stderr == ""


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
    ("network", "split_at"), [("resnet18", None), ("resnet18", "layer3"), ("shufflenet_v2_x0_5", None), ("paper", None)]
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


def test_a_users_own_network_is_asked_for(tmp_path, hub):
    (tmp_path / "own.py").write_text("from torchvision.models import resnet18 as net\n")
    name = f"{tmp_path / 'own.py'}:net"
    f, g = weights(tmp_path / "final.pth", name, ["a", "b"], INPUTS)
    with pytest.raises(UserError, match="code of its maker; give network="):
        hub.classifier(tmp_path / "final.pth")
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(hub.classifier(tmp_path / "final.pth", network=name)(x), g(f(x)))


def test_older_files_of_images_do_not_say_how_inputs_are_made(tmp_path, hub):
    weights(tmp_path / "final.pth", "paper", ["a", "b"], None)
    with pytest.raises(UserError, match="does not say how its inputs are made"):
        hub.classifier(tmp_path / "final.pth")


def test_the_official_file_is_a_classifier(hub):
    classifier = hub.classifier(shared("official", "pretrained_var0.020.pth"))
    assert classifier.classes == list("0123456789")
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)
    expected = (torch.tensor(pixels).permute(2, 0, 1) / 255).sub(torch.tensor(MEAN)[:, None, None])
    expected = expected / torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(classifier.transform(Image.fromarray(pixels)), expected, rtol=0, atol=1e-6)
    assert classifier.f(expected[None]).shape == (1, 32, 14, 14)
