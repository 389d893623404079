"""f, g and h by name: shapes, sizes, and the random weights of the paper's networks."""

import pytest
import torch

from common.errors import UserError
from models import BiasPredictor, FeatureExtractor, LabelClassifier
from models.networks import NETWORKS, make_networks
from models.simple_conv import SimpleConvClassifier, SimpleConvFeatures


def count(*networks):
    return sum(p.numel() for n in networks for p in n.parameters())


def test_the_papers_networks_draw_the_same_random_weights():
    torch.manual_seed(7)
    expected = FeatureExtractor(), LabelClassifier(), BiasPredictor()
    after = torch.rand(1)
    torch.manual_seed(7)
    made = make_networks("paper")
    assert torch.equal(torch.rand(1), after)
    for network, other in zip(made, expected, strict=True):
        assert type(network) is type(other)
        state = other.state_dict()
        assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())


@pytest.mark.parametrize("map_bias", [True, False])
@pytest.mark.parametrize(
    ("network", "size", "positions"), [("paper", 28, 14), ("simple_conv", 9, 9), ("resnet18", 33, 5)]
)
def test_shapes(network, size, positions, map_bias):
    heads = (8, 8, 8) if map_bias else (4, 2)
    f, g, h = make_networks(network, 3, heads, map_bias, split_at="layer2")
    features = f(torch.randn(2, 3, size, size))
    assert features.shape[2:] == (positions, positions)
    assert (features >= 0).all()
    assert g(features).shape == (2, 3)
    assert h(features).shape == ((2, 3, 8, positions, positions) if map_bias else (2, 2, 4, 1, 1))
    names = [set(n.state_dict()) for n in (f, g)]
    assert not names[0] & names[1]  # f and g are kept in one dict


@pytest.mark.parametrize("network", ["paper", "simple_conv", "resnet18"])
def test_the_losses_are_never_computed_in_bfloat16(network):
    f, g, h = make_networks(network, 2, (2,), map_bias=False)
    for dtype in (torch.float32, torch.float64):
        for n in (f, g, h):
            n.to(dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.float32):
            features = f(torch.randn(2, 3, 28, 28, dtype=dtype))
            assert g(features).dtype == h(features).dtype == dtype


@pytest.mark.parametrize("map_bias", [True, False])
def test_h_with_a_hidden_layer_sees_no_scale(map_bias):
    torch.manual_seed(0)
    f, _, h = make_networks("resnet18", 2, (4, 2), map_bias, bias_predictor="conv")
    features = f(torch.randn(8, 3, 32, 32)).detach()
    logits = h(features)
    assert logits.shape == ((8, 2, 4, 4, 4) if map_bias else (8, 2, 4, 1, 1))
    torch.testing.assert_close(h(1000 * features)[:, :, :2], logits[:, :, :2], rtol=1e-3, atol=1e-3)
    linear = make_networks("resnet18", 2, (4, 2), map_bias).h
    assert not torch.allclose(linear(1000 * features)[:, :, :2], linear(features)[:, :, :2], rtol=1)
    parts = h.split_state_dict()
    assert {"body.0.weight", "body.1.running_mean", "out.weight"} < set(parts["h"])


def test_simple_conv_is_the_published_network():
    torch.manual_seed(0)
    f, g, h = make_networks("simple_conv", 10, (10,), map_bias=False)
    assert (type(f), type(g)) == (SimpleConvFeatures, SimpleConvClassifier)
    assert count(f, g) == 531_210
    assert count(h) == (49 * 32 * 64 + 64) + (49 * 64 * 128 + 128) + 2 * (64 + 128) + 128 * 10 + 10
    for net, channels in ((f, (3, 16, 32)), (g, (32, 64, 128)), (h, (32, 64, 128))):
        convs = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (7, 7)]
        assert tuple(c.in_channels for c in convs) == channels[:2]
        for conv in convs:
            assert (conv.stride, conv.padding, conv.out_channels) == ((1, 1), (3, 3), channels[convs.index(conv) + 1])
            assert conv.weight.std().item() == pytest.approx((2 / (49 * conv.out_channels)) ** 0.5, rel=0.05)
    assert f(torch.randn(2, 3, 28, 28)).shape == (2, 32, 28, 28)


def test_what_cannot_be_is_said():
    assert {"paper", "simple_conv", "resnet18", "resnet34", "resnet50"} <= set(NETWORKS)
    with pytest.raises(UserError, match="there is no network vgg"):
        make_networks("vgg")
    with pytest.raises(UserError, match="for ResNets"):
        make_networks("paper", init="imagenet")
    with pytest.raises(UserError, match="other biases"):
        make_networks("paper", heads=(2,), map_bias=True)
