"""The data and the networks through torch.hub, from a program in another folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(("method", "color_var"), [("lntl", 0.02), ("lntl_plus", 0.05)])
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


@pytest.mark.parametrize("name", ["models", "dataset"])
def test_packages_of_the_caller_that_shadow_ours_are_named(tmp_path, name):
    (tmp_path / f"{name}.py").touch()
    done = python(tmp_path, f"import {name}\ntorch.hub.load(REPO, 'network', source='local')")
    assert done.returncode == 1
    *_, last = done.stderr.strip().splitlines()
    assert last.startswith(f"ImportError: learning-not-to-learn has packages of its own called {name}, and yours are")


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


def test_a_network_can_be_saved_and_read_whole(tmp_path):
    """As by `torch.save(network)`, or on the way to another process."""
    done = python(
        tmp_path,
        """
import pickle
network = torch.hub.load(REPO, "network", source="local", color_var=0.02)
again = pickle.loads(pickle.dumps(network))
x = torch.zeros(2, 3, 28, 28)
assert torch.equal(network(x), again(x))
""",
    )
    assert done.returncode == 0, done.stderr
