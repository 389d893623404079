"""Whole runs on a GPU, small ones: data sets, precisions, ways of reading, resumption."""

import pytest
import torch

import test as evaluation
import train
from dataset import photographs
from tests import processes

EPOCHS = 4

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU here")


def run(folder, line, *more):
    """Runs train.py on the GPU; returns the records of its epochs."""
    line = [word if word != "cpu" else "cuda" for word in line]
    assert train.main([*line, *map(str, more)]) == 0
    log = processes.read(folder / "run/log.jsonl")
    assert all(isinstance(v, float) for record in log for name, v in record.items() if name.endswith("loss"))
    assert processes.read(folder / "run/metrics.json")["environment"]["gpu"]
    return log


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_digits_in_every_precision(tmp_path, small_data, precision, optimizer):
    line = processes.flags(tmp_path, small_data, "--holdout", 64)
    assert len(run(tmp_path, line, "--precision", precision, "--optimizer", optimizer)) == EPOCHS


@pytest.mark.parametrize("method", ["baseline", "lntl", "blindeye", "lntl_plus"])
@pytest.mark.parametrize("network", ["resnet18", "paper", "simple_conv"])
def test_images_with_every_method_and_network(small_images, tmp_path, method, network):
    line = processes.image_flags(tmp_path, small_images, "--method", method, "--network", network)
    run(tmp_path, line, "--image_size", 32, "--from_scratch", "--sampling", "balanced", "--augment", "flip", "affine")
    metrics = processes.read(tmp_path / "run/metrics.json")
    assert len(metrics["groups"]) == 4
    assert metrics["probe_chance"] == 0.5


def test_images_that_are_kept_in_a_file(small_images, tmp_path, monkeypatch):
    monkeypatch.setattr(photographs, "IN_MEMORY", 0)
    run(tmp_path, processes.image_flags(tmp_path, small_images, "--method", "lntl_plus"))


@pytest.mark.parametrize("network", ["paper", "simple_conv"])
def test_biased_mnist(tmp_path, network):
    line = ["-e", "run", "--save_dir", str(tmp_path), "--device", "cuda", "--dataset", "biased_mnist", "--dry-run"]
    assert train.main([*line, "--network", network, "--method", "lntl", "--pretrain", "1"]) == 0


@pytest.mark.parametrize("kind", ["digits", "images"])
def test_it_goes_on_after_an_interruption_and_is_evaluated(small_data, small_images, tmp_path, kind):
    line = processes.flags(tmp_path, small_data)
    if kind == "images":
        more = ["--method", "lntl_plus", "--lr_decay_period", 40]
        line = processes.image_flags(tmp_path, small_images, *more, epochs=EPOCHS)
    assert len(run(tmp_path, line)) == EPOCHS
    where = ["-e", "run", "--save_dir", str(tmp_path)]
    assert len(run(tmp_path, [*where, "--resume"], "--max_step", EPOCHS + 2)) == EPOCHS + 2
    before = processes.read(tmp_path / "run/metrics.json")["accuracy"]
    assert evaluation.main([*where, "--device", "cuda"]) == 0
    assert processes.read(tmp_path / "run/metrics.json")["accuracy"] == before
