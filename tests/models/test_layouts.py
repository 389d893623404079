"""Weights as people have them: under other names, deeper, and beside things that are no weights."""

import argparse
import collections
import pathlib

import numpy as np
import pytest
import torch

from common.errors import UserError
from models import FeatureExtractor, LabelClassifier
from models.checkpoint import join_net, load_weights

F, G = FeatureExtractor(), LabelClassifier()
NET = join_net(F, G)
WITHOUT_COUNTS = {k: v for k, v in NET.items() if "num_batches" not in k}


def before(prefix, net=None):
    return {prefix + k: v for k, v in (net or NET).items()}


LAYOUTS = {
    "DataParallel": {"net_state_dict": before("module.")},
    "compiled": {"net_state_dict": before("_orig_mod.")},
    "compiled and parallel": {"model": before("_orig_mod.module."), "epoch": 3},
    "plain": NET,
    "plain, old": WITHOUT_COUNTS,
    "plain, parallel": before("module."),
    "state_dict": {"state_dict": before("model.")},
    "model_state_dict": {"model_state_dict": NET, "optimizer_state_dict": {"state": {}, "param_groups": []}},
    "deeper": {"checkpoint": {"model": {"state_dict": before("module.")}}},
    "f and g": {"epoch": 1, "f": F.state_dict(), "g": G.state_dict(), "h": {"x": torch.zeros(1)}},
    "f and g, parallel": {"f": before("module.", F.state_dict()), "g": before("module.", G.state_dict())},
    "f. and g. and h.": before("f.", F.state_dict()) | before("g.", G.state_dict()) | {"h.conv.weight": torch.ones(1)},
    "Sequential": before("0.", F.state_dict()) | before("1.", G.state_dict()),
    "AveragedModel": {"n_averaged": torch.tensor(3)} | before("module."),
    "the official one wins": {"net_state_dict": NET, "model": {k: v + 1 for k, v in NET.items()}},
    "twice the same": {"model": NET, "ema": NET},
    "half": {"net_state_dict": {k: v.half() if v.is_floating_point() else v for k, v in NET.items()}},
}
EXTRAS = {
    "Namespace": argparse.Namespace(lr=0.01, path=pathlib.Path("x")), "np.float64": np.float64(0.5),
    "NumPy's random state": np.random.get_state(), "generator": np.random.default_rng().bit_generator.state,
    "device": torch.device("cuda:0"), "dtype": torch.float16, "set": {1, 2}, "frozenset": frozenset({1}),
    "defaultdict": collections.defaultdict(list, a=[1]), "Counter": collections.Counter("ab"),
    "deque": collections.deque([1]), "float keys": {0.1: 0.5, (1, 2): 3, None: 4}, "long list": [0.1] * 60000,
    "class": argparse.Namespace, "function": np.mean, "bytes": b"x" * 300, "long text": "x" * (2 << 20), "None": None,
    "nested": [{"a": {1}}, ({2}, 3)], "complex tensor": torch.zeros(2, dtype=torch.complex64), "range": range(3),
    "sparse": torch.eye(2).to_sparse(), "array": np.zeros((2, 2)), "uint16": torch.zeros(2, dtype=torch.uint16),
}  # fmt: skip


def loaded(path):
    f, g = FeatureExtractor(), LabelClassifier()
    content = load_weights(path, f, g)
    return content, join_net(f, g)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_loads(tmp_path, name):
    torch.save(LAYOUTS[name], tmp_path / "x.pth")
    content, net = loaded(tmp_path / "x.pth")
    rtol = 1e-3 if name == "half" else 0
    for k, v in WITHOUT_COUNTS.items():
        torch.testing.assert_close(net[k], v, rtol=rtol, atol=rtol)
    assert set(WITHOUT_COUNTS) <= set(content["net_state_dict"])


@pytest.mark.parametrize("name", EXTRAS)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_lies_beside_is_left_out(tmp_path, name, protocol):
    content = {"a": EXTRAS[name], "net_state_dict": NET, "epoch": 7, "b": {"c": [EXTRAS[name]], "d": 1}}
    torch.save(content, tmp_path / "x.pth", pickle_protocol=protocol)
    content, net = loaded(tmp_path / "x.pth")
    assert content["step"] == content["epoch"] == 7
    assert content["b"]["d"] == 1
    assert all(torch.equal(net[k], v) for k, v in NET.items())


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ({"model": NET, "ema": {k: v + 1 for k, v in NET.items()}}, ["more than once, in model and ema"]),
        ({"student": before("module."), "other": before("x.")} | before("teacher."), []),
        (before("student.") | before("teacher."), ["is missing"]),
        (before("module.") | before("f.", {"conv1.weight": NET["conv1.weight"]}), ["conv1.weight is missing"]),
        ({"net_state_dict": NET | {"conv9.bias": torch.zeros(1)}}, ["unknown: conv9.bias", "another network"]),
        ({"net_state_dict": NET | {"fc.weight": torch.zeros(10, 65)}}, ["fc.weight of the shape (10, 65)"]),
        ({"net_state_dict": NET | {"fc.weight": "x"}}, ["fc.weight as str"]),
        ({"net_state_dict": NET | {"fc.weight": np.zeros((10, 64))}}, ["fc.weight is missing", "torch.save("]),
        ([NET], ["no dictionary"]),
        (FeatureExtractor(), ["models.feature_extractor.FeatureExtractor", "network.state_dict()"]),
    ],
)
def test_what_is_refused_is_refused_with_what_to_do(tmp_path, content, parts):
    torch.save(content, tmp_path / "x.pth")
    if not parts:
        loaded(tmp_path / "x.pth")
        return
    with pytest.raises(UserError) as error:
        loaded(tmp_path / "x.pth")
    line = str(error.value)
    assert all(part in line for part in parts), line
    assert "; " in line
    assert "copy it again" not in line
