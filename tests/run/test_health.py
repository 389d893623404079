"""Warnings of numerical trouble: they come when they should, and not in healthy runs; pictures cost no result."""

import math

import pytest
import torch

import train
import trainer as trainers
from common import picture
from dataset.colored_mnist import ColoredSet
from models import BiasPredictor, FeatureExtractor, LabelClassifier
from run import evaluate, health
from tests.dataset.sets import data_of, on_device
from tests.processes import flags, read
from tests.test_trainer import digits, options

HEALTHY = {"epoch": 3, "accuracy": 0.99, "bias_loss": 1.2}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({}, {}),
        ({"bias_loss": 2.07}, {}),
        ({"accuracy": 0.19}, {"collapsed": "near chance (a smaller --lr may help"}),
        ({"bias_loss": 2.09}, {"h": "a guess, 2.0794 (a smaller --mu, or of blindeye --alpha, may help"}),
        ({"accuracy": None, "bias_loss": 9.0}, {"h": "its loss 9.0000"}),  # of a method that has no accuracy
    ],
)
def test_each_condition(change, what):
    found = health.warnings(HEALTHY | change, [{"accuracy": 0.5}], BiasPredictor())
    assert found.keys() == what.keys()
    assert all(part in found[kind] for kind, part in what.items())
    assert all(line.startswith("epoch 3: ") for line in found.values())
    assert not health.warnings(HEALTHY | change, [], BiasPredictor())  # the first epoch may be slow


def test_a_warning_is_said_once_in_a_run(tmp_path, small_data, monkeypatch):
    monkeypatch.setattr(trainers.health, "CLOSE", 1)
    assert train.main(flags(tmp_path, small_data, epochs=2)) == 0
    assert train.main(["-e", "run", "--save_dir", str(tmp_path), "--resume", "--max_step", "3"]) == 0
    assert (tmp_path / "run/log.txt").read_text("utf-8").count("WARNING: epoch 2: training collapsed") == 1


def test_a_picture_that_cannot_be_drawn_costs_no_result(tmp_path, small_data, monkeypatch, capsys):
    monkeypatch.setattr(picture, "draw_confusion", lambda *_: (_ for _ in ()).throw(RuntimeError("no font\nhere")))
    assert train.main(flags(tmp_path, small_data, epochs=1)) == 0
    assert "WARNING: no picture confusion_matrix.png (RuntimeError: no font\\nhere)" in capsys.readouterr().out
    assert read(tmp_path / "run/metrics.json")["n"] == 64


def test_figures_that_are_no_numbers_are_null(tmp_path):
    images, labels = digits(20)
    f, g, h = FeatureExtractor(), LabelClassifier(), BiasPredictor()
    black = on_device(images * 0, labels)
    assert math.isnan(evaluate.bias_accuracy(f, h, black))  # of no labelled position
    torch.nn.init.constant_(g.fc.bias, float("inf"))
    (tmp_path / "w").write_bytes(b"")
    tests = {"test_accuracy": black}
    option = options(color_var=0.02)
    evaluated = {"test_accuracy": (black, evaluate.evaluate(f, g, black))}
    evaluate.report(option, tmp_path, evaluated, data_of(ColoredSet, black, tests), tmp_path / "w")
    assert read(tmp_path / "metrics.json")["loss"] is None
