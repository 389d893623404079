"""Weights files: those that load, those that are refused without running anything, and what is written."""

import argparse
import builtins
import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from common.errors import UserError
from models import BiasPredictor, FeatureExtractor, LabelClassifier
from models.checkpoint import check_names, join_net, load_weights, read_torch_file, save_weights
from models.shipped import FOLDER
from tests.conftest import shared
from tests.models.test_models import weights_file

F, G = FeatureExtractor(), LabelClassifier()
NET = join_net(F, G)


def before(prefix, net=NET):
    return {prefix + k: v for k, v in net.items()}


def loaded(path):
    f, g = FeatureExtractor(), LabelClassifier()
    content = load_weights(path, f, g)
    return content, join_net(f, g)


@pytest.mark.parametrize(
    "content",
    [
        {"net_state_dict": NET, "step": 3, "option": {"lr": 0.1, "bias": ["a"], "seed": None}},
        {"net_state_dict": before("module.")},
        {"state_dict": before("_orig_mod.module.")},
        NET,
        {k: v for k, v in NET.items() if "num_batches" not in k} | {"epoch": 3},
        {"f": F.state_dict(), "g": G.state_dict(), "h": {"x": torch.zeros(1)}},
        {"f": before("module.", F.state_dict()), "g": before("module.", G.state_dict())},
    ],
)
@pytest.mark.parametrize("is_zip", [True, False])
def test_every_layout_loads(tmp_path, content, is_zip):
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=is_zip)
    content, net = loaded(tmp_path / "x.pth")
    assert all(torch.equal(net[k], v) for k, v in NET.items())
    assert content["net_state_dict"].keys() == NET.keys()


def test_official_checkpoint_loads():
    content, net = loaded(shared("official", "pretrained_var0.020.pth"))
    assert content["step"] == 100
    assert torch.equal(net["conv1.weight"], content["net_state_dict"]["conv1.weight"])


def test_every_shipped_file_loads():
    files = sorted(FOLDER.glob("*.pth"))
    assert len(files) > 30
    for path in files:
        assert isinstance(loaded(path)[0]["step"], int)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"step": 1}, "bn0.weight is missing there and (3,) in the network"),
        ([NET], "is missing"),
        ({"net_state_dict": {k: v for k, v in NET.items() if k != "conv3.bias"}}, "conv3.bias is missing"),
        (
            {"net_state_dict": NET | {"conv9.bias": torch.zeros(1)}},
            "conv9.bias is (1,) there and missing in the network",
        ),
        ({"net_state_dict": NET | {"fc.weight": torch.zeros(10, 65)}}, "fc.weight is (10, 65) there and (10, 64) in"),
        (FeatureExtractor(), "models.feature_extractor.FeatureExtractor, which is no tensor"),
        (NET | {"lr": argparse.Namespace(lr=0.1)}, "argparse.Namespace"),
        (NET | {"loss": np.float64(0.5)}, "numpy"),
    ],
)
def test_unfit_weights_are_refused_with_what_to_do(tmp_path, content, part):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(UserError) as error:
        loaded(tmp_path / "x.pth")
    assert part in str(error.value)
    assert "; " in str(error.value)
    assert "\n" not in str(error.value)


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("function", [os.system, builtins.eval, pickle.loads])
def test_hostile_files_run_nothing(tmp_path, function, is_zip):
    canary = tmp_path / "canary"
    argument = {
        os.system: f"touch {canary}",
        pickle.loads: pickle.dumps(Call(os.mkdir, str(canary))),
    }.get(function, f"open({str(canary)!r}, 'w').close()")
    for content in (Call(function, argument), NET | {"x": [Call(function, argument)]}):
        torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=is_zip)
        with pytest.raises(UserError, match=r"x.pth holds \S+, which is no tensor") as error:
            read_torch_file(tmp_path / "x.pth")
        assert "\n" not in str(error.value)
        assert not canary.exists()
    torch.load(tmp_path / "x.pth", weights_only=False)
    assert canary.exists()  # the file is hostile indeed


def test_what_is_no_weights_file_ends_in_one_line(tmp_path):
    whole = weights_file(tmp_path / "whole.pth").read_bytes()
    legacy = shared("official", "pretrained_var0.020.pth").read_bytes()
    files = {"half": whole[: len(whole) // 2], "half_old": legacy[: len(legacy) // 2], "text": b"hello", "empty": b""}
    files |= {"zip": b"PK\x03\x04" + bytes(100), "pickle": pickle.dumps({"a": 1}, 2)[:-3], "cut": legacy[:-3]}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=r"is no file of torch.save, or damaged; ") as error:
            read_torch_file(tmp_path / name)
        assert "\n" not in str(error.value)
    for name, part in (("none.pth", "No such file"), ("", "Is a directory"), ("text/x", "Not a directory")):
        with pytest.raises(UserError, match=part):
            read_torch_file(tmp_path / name)


def test_a_run_writes_what_it_reads(tmp_path):
    method = SimpleNamespace(f=F, g=G, h=BiasPredictor(), optim_fg=torch.optim.SGD(F.parameters(), 0.1))
    names = {"classes": ["a", "b"], "biases": {"place": ["in", "out"]}}
    inputs = {"size": 32, "mean": [0.5] * 3, "std": [0.25] * 3}
    save_weights(tmp_path / "x.pth", method, 7, {"lr": 0.1, "bias": ["place"]}, names, inputs)
    content, net = loaded(tmp_path / "x.pth")
    assert all(torch.equal(net[k], v) for k, v in NET.items())
    assert (content["step"], content["names"], content["inputs"]) == (7, names, inputs)
    assert content["option"] == {"lr": 0.1, "bias": ["place"]}
    other = BiasPredictor()
    other.load_split_state_dict(content["pred_state_dict"])
    assert torch.equal(other.conv2.weight, method.h.conv2.weight)
    check_names("x.pth", content, SimpleNamespace(classes=("a", "b")))
    check_names("x.pth", {}, SimpleNamespace(classes=("a", "b")))
    with pytest.raises(UserError, match="tells a, b apart, and the data has b, a; "):
        check_names("x.pth", content, SimpleNamespace(classes=("b", "a")))
