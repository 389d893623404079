"""Accuracy by group, against counts by hand."""

import math

import numpy as np
import pytest
import torch

from dataset.batches import IGNORE_INDEX
from run import evaluate, groups

CLASSES, VALUES = ("cat", "dog"), (("day", "night"),)
TRAIN = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1])  # cat: mostly day; dog: night


def figures(label, bias, correct, values=VALUES, train=TRAIN):
    return groups.group_figures(np.array(label), np.array(bias), np.array(correct, dtype=bool), train, CLASSES, values)


def test_every_group_and_average():
    label, bias = [0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 0, 1, 1, 1]
    found = figures(label, bias, [1, 0, 0, 1, 1, 1, 0])
    assert found["groups"] == [
        {"y": "cat", "b": "day", "n": 2, "accuracy": 0.5},
        {"y": "cat", "b": "night", "n": 1, "accuracy": 0.0},
        {"y": "dog", "b": "day", "n": 1, "accuracy": 1.0},
        {"y": "dog", "b": "night", "n": 3, "accuracy": pytest.approx(2 / 3)},
    ]
    assert found["mean_group_accuracy"] == pytest.approx((0.5 + 0 + 1 + 2 / 3) / 4)
    assert (found["worst_group"], found["worst_group_accuracy"]) == ("cat / night", 0.0)
    assert found["aligned_accuracy"] == pytest.approx(3 / 5)  # cat by day, dog by night
    assert found["conflicting_accuracy"] == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    ("bias", "expected"),
    [
        ([[0], [0], [1]], 2 / 3),
        ([[0, 1], [0, 1], [1, IGNORE_INDEX]], 4 / 5),  # of two biases, with one label missing
        ([0, 1, 1, 1], 3 / 4),  # as Biased-MNIST has them
        ([[IGNORE_INDEX]], math.nan),
    ],
)
def test_what_h_would_have_if_it_guessed(bias, expected):
    class Data:
        def __len__(self):
            return len(bias)

    Data.bias = torch.tensor(bias)
    assert evaluate.majority_baseline(Data()) == pytest.approx(expected, nan_ok=True)


def test_images_without_a_bias_are_in_no_group():
    found = figures([0, 1, 1], [0, IGNORE_INDEX, 1], [1, 0, 1])
    assert sum(g["n"] for g in found["groups"]) == 2
    assert found["mean_group_accuracy"] == 1
    assert figures([0, 1], [IGNORE_INDEX, IGNORE_INDEX], [1, 1]) == groups.NONE


def test_several_biases_are_one_group_together():
    values = (("day", "night"), ("dry", "wet"))
    train = np.array([0, 0, 1]), np.array([[0, 1], [0, 1], [1, 0]])
    found = figures([0, 0, 1], [[0, 1], [1, 1], [1, 0]], [1, 0, 1], values, train)
    assert [g["b"] for g in found["groups"]] == [["day", "wet"], ["night", "wet"], ["night", "dry"]]
    assert found["worst_group"] == "cat / night / wet"
    assert (found["aligned_accuracy"], found["conflicting_accuracy"]) == (1.0, 0.0)


def test_a_class_without_training_images_is_aligned_with_nothing():
    found = figures([1], [1], [1], train=(np.array([0]), np.array([0])))
    assert found["aligned_accuracy"] is None
    assert found["conflicting_accuracy"] == 1


def test_lines_name_the_worst_of_many():
    many = {"groups": [{"y": str(i), "b": "x", "n": 5, "accuracy": i / 40} for i in range(40)]}
    said = groups.lines(groups.NONE | many | {"mean_group_accuracy": 0.5})
    assert said[0] == "accuracy by group (label / bias), the worst 12 of 40"
    assert len(said) == 1 + 12 + 1
    assert groups.lines(groups.NONE) == []
