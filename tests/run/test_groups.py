"""Accuracy by group, and what is aligned, against counts by hand."""

import math

import numpy as np
import pytest
import torch

from dataset.batches import IGNORE_INDEX
from dataset.tables import read_table
from run import groups
from run.evaluate import majority_baseline
from tests.conftest import shared

CLASSES, VALUES = ("cat", "dog"), (("day", "night"),)
TRAIN = np.array([0, 0, 0, 1, 1]), np.array([[0], [0], [1], [1], [1]])  # cat: mostly day; dog: night


def figures(label, bias, correct, values=VALUES, train=TRAIN):
    bias = np.array(bias).reshape(len(label), -1)
    return groups.group_figures(np.array(label), bias, np.array(correct, dtype=bool), train, CLASSES, values)


def test_every_group_and_average():
    found = figures([0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 0, 1, 1, 1], [1, 0, 0, 1, 1, 1, 0])
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


def test_equally_frequent_values_of_a_real_set_are_not_aligned():
    table = read_table(str(shared("cases3", "02-aligned-of-a-balanced-set", "data")))
    train, test = table.where(0), table.where(2)
    assert len(train)
    assert groups.is_aligned(table.label[test], table.bias[test], table.label[train], table.bias[train]) is None


@pytest.mark.parametrize(
    ("bias", "expected"),
    [
        ([[0], [0], [1]], 2 / 3),
        ([[0, 1], [0, 1], [1, IGNORE_INDEX]], 4 / 5),  # of two biases, with one label missing
        ([[IGNORE_INDEX]], math.nan),
    ],
)
def test_what_h_would_have_if_it_named_the_most_frequent_value(bias, expected):
    assert majority_baseline(torch.tensor(bias)) == pytest.approx(expected, nan_ok=True)


def test_images_without_a_bias_are_in_no_group():
    found = figures([0, 1, 1], [0, IGNORE_INDEX, 1], [1, 0, 1])
    assert sum(g["n"] for g in found["groups"]) == 2
    assert found["mean_group_accuracy"] == 1
    assert figures([0, 1], [IGNORE_INDEX, IGNORE_INDEX], [1, 1]) == groups.NONE
    assert figures([1], [1], [1], train=(np.array([0]), np.array([[0]])))["aligned_accuracy"] is None


def test_lines_name_the_worst_of_many():
    many = {"groups": [{"y": str(i), "b": "x", "n": 5, "accuracy": i / 40} for i in range(40)]}
    said = groups.lines(groups.NONE | many | {"mean_group_accuracy": 0.5})
    assert said[0] == "accuracy by group (label / bias), the worst 12 of 40"
    assert len(said) == 1 + 12 + 1
    assert groups.lines(groups.NONE) == []
