"""Whole runs on a GPU, small ones: every data set, precision and way of reading, averages, resumption, predictions."""

import json

import pytest
import torch

import test as evaluation
import train
from dataset import image_batches
from methods import METHODS
from tests import processes
from tests.dataset import sets

DEVICE = "cuda"
EPOCHS = 4

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU here")


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("birds")
    sets.birds(folder)
    return folder


def run(folder, *more, program=train):
    """Runs train.py on the GPU in `folder`/run; returns the records of its epochs."""
    line = ["-e", "run", "--save_dir", str(folder), "--device", DEVICE, "--random_seed", "1"]
    assert program.main([*line, *map(str, more)]) == 0
    log = [json.loads(text) for text in (folder / "run" / "log.jsonl").read_text("utf-8").splitlines()]
    losses = [value for record in log for name, value in record.items() if name.endswith("loss")]
    assert all(isinstance(value, float) for value in losses)  # a loss that is no number is null there
    assert json.loads((folder / "run" / "metrics.json").read_text("utf-8"))["environment"]["gpu"]
    return log


def small(data):
    """Flags of a short LNTL run on random digits; averages of whole numbers are among what it keeps."""
    flags = f"--color_var 0.02 --from_scratch --batch_size 16 --lr 0.01 --max_step {EPOCHS} --average 3 --holdout 64"
    return [*flags.split(), "--data_dir", data]


def images(data, method="lntl", network="resnet18"):
    flags = f"--dataset images --network {network} --image_size 32 --batch_size 8 --max_step {EPOCHS} --method {method}"
    scratch = ["--from_scratch"] if METHODS[method].from_baseline else []
    return [*flags.split(), *scratch, "--data_dir", data]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_digits_in_every_precision(tmp_path, precision, optimizer):
    data = processes.write_small(tmp_path)
    log = run(tmp_path, *small(data), "--precision", precision, "--optimizer", optimizer)
    assert ["averaged_test_accuracy" in record for record in log] == [False, True, True, True]
    assert (tmp_path / "run" / "averaged.pth").exists()


@pytest.mark.parametrize("method", ["baseline", "lntl", "blindeye", "lntl_plus"])
@pytest.mark.parametrize("network", ["resnet18", "paper", "simple_conv"])
def test_images_with_every_method_and_network(birds, tmp_path, method, network):
    run(tmp_path, *images(birds, method, network))
    assert len(json.loads((tmp_path / "run" / "metrics.json").read_text("utf-8"))["groups"]) == 4


def test_images_that_are_read_ahead(birds, tmp_path, monkeypatch):
    monkeypatch.setattr(image_batches, "free_memory", lambda device="cpu": 0)
    run(tmp_path, *images(birds), "--workers", "1", "--augment", "crop")


@pytest.mark.parametrize("network", ["paper", "simple_conv"])
def test_biased_mnist(tmp_path, network):
    line = ["-e", "run", "--save_dir", str(tmp_path), "--device", DEVICE, "--dataset", "biased_mnist", "--dry-run"]
    assert train.main([*line, "--network", network, "--pretrain", "1"]) == 0


@pytest.mark.parametrize("kind", ["digits", "images"])
def test_it_goes_on_after_an_interruption(birds, tmp_path, kind):
    flags = small(processes.write_small(tmp_path)) if kind == "digits" else images(birds)
    assert len(run(tmp_path, *flags)) == EPOCHS
    assert len(run(tmp_path, "--resume", "--max_step", EPOCHS + 2)) == EPOCHS + 2


def test_evaluation_and_predictions(birds, tmp_path):
    run(tmp_path, *images(birds))
    before = json.loads((tmp_path / "run" / "metrics.json").read_text("utf-8"))["accuracy"]
    where = ["-e", "run", "--save_dir", str(tmp_path), "--device", DEVICE]
    assert evaluation.main(where) == 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text("utf-8"))["accuracy"] == before
    assert evaluation.main([*where, "--images", str(birds), "--out", str(tmp_path / "p.csv")]) == 0
    assert len((tmp_path / "p.csv").read_text("utf-8").splitlines()) > 1
