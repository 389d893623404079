"""The paper's networks and their fast first layer."""

import copy

import pytest
import torch

from dataset.batches import FactoredData, ImageData, factorise
from models import BiasPredictor, FeatureExtractor, LabelClassifier
from models.checkpoint import join_net
from tests.dataset.sets import on_device
from tests.test_trainer import digits


def test_shapes_and_sizes():
    f, g, h = FeatureExtractor(), LabelClassifier(), BiasPredictor()
    features = f(torch.randn(2, 3, 28, 28))
    assert features.shape == (2, 32, 14, 14)
    assert g(features).shape == (2, 10)
    assert h(features).shape == (2, 3, 8, 14, 14)

    def count(*networks):
        return sum(p.numel() for n in networks for p in n.parameters())

    assert count(f, g) == 6 + (75 * 32 + 32) + (288 * 32 + 32) + (288 * 64 + 64) + (576 * 64 + 64) + 650
    assert count(h) == 3 * (32 * 32 * 9 + 32 + 64 + 32 * 8 * 9 + 8)


@pytest.mark.parametrize(("dtype", "autocast"), [(torch.float32, True), (torch.float32, False), (torch.float64, False)])
def test_the_losses_are_never_computed_in_bfloat16(dtype, autocast):
    features = torch.randn(2, 32, 14, 14, dtype=dtype)
    for network in (LabelClassifier(), BiasPredictor()):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            assert network.to(dtype)(features).dtype == dtype


def test_initialisation_follows_the_official_one():
    torch.manual_seed(0)
    f, g = FeatureExtractor(), LabelClassifier()
    for conv in (f.conv1, f.conv2, g.conv3, g.conv4):
        size = conv.kernel_size[0] ** 2 * conv.out_channels
        assert conv.weight.std().item() == pytest.approx((2 / size) ** 0.5, rel=0.05)
    assert torch.equal(f.bn0.weight, torch.ones(3))


def test_masks_in_bfloat16_change_nothing():
    torch.manual_seed(1)
    (images, labels), f = digits(6), FeatureExtractor()
    parts = factorise(images)
    features = []
    for mask_dtype in (None, torch.bfloat16):
        x, _, _ = FactoredData(*parts, labels, mask_dtype=mask_dtype).subset(torch.arange(5)).batch(torch.arange(4))
        assert x.patches.dtype == (mask_dtype or torch.float32)
        for training in (True, False):  # as in training, and as in an evaluation
            with torch.autocast("cpu", torch.bfloat16, enabled=training):
                features.append(copy.deepcopy(f).train(training)(x))
    assert torch.equal(features[0], features[2])
    assert torch.equal(features[1], features[3])


@pytest.mark.parametrize("training", [True, False])
def test_masks_and_images_give_the_same_features_gradients_and_buffers(training):
    torch.manual_seed(1)
    images, labels = digits(9)
    images[0] = 0  # no foreground at all
    images[1, ..., 1] = 0  # a channel that is 0 in the foreground too
    masks = on_device(images, labels, dtype=torch.float64)
    assert type(masks).__name__ == "FactoredData"
    plain = ImageData(images, labels, dtype=torch.float64)
    index = torch.tensor([3, 0, 1, 8, 5])
    (x, y, b), (x_plain, y_plain, b_plain) = masks.batch(index), plain.batch(index)
    assert torch.equal(y, y_plain)
    assert torch.equal(b, b_plain)

    f = FeatureExtractor().double().train(training)
    torch.nn.init.normal_(f.bn0.weight)
    torch.nn.init.normal_(f.bn0.bias)
    f.bn0.running_mean.normal_()
    other = copy.deepcopy(f)
    features, expected = f(x), other(x_plain)
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-11)
    weight = torch.randn_like(features)
    (features * weight).sum().backward(), (expected * weight).sum().backward()
    for (name, p), q in zip(f.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-8, atol=1e-9, msg=name)
    for (name, p), q in zip(f.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-12, msg=name)


def test_one_fused_predictor_equals_three():
    h = BiasPredictor().double().train()
    features = torch.randn(4, 32, 14, 14, dtype=torch.float64)
    logits = h(features)
    for c, state in enumerate(h.split_state_dict().values()):
        one = torch.nn.Sequential(
            torch.nn.Conv2d(32, 32, 3, padding=1), torch.nn.BatchNorm2d(32), torch.nn.ReLU(),
            torch.nn.Conv2d(32, 8, 3, padding=1),
        ).double()  # fmt: skip
        keys = {"pred_conv1": "0", "pred_bn1": "1", "pred_conv2": "3"}
        fresh = {f"{keys[k.split('.')[0]]}.{k.split('.')[1]}": v for k, v in state.items()}
        one.load_state_dict(fresh | {"1.num_batches_tracked": torch.tensor(0)})
        torch.testing.assert_close(logits[:, c], one(features))
    other = BiasPredictor().double()
    other.load_split_state_dict(h.split_state_dict())
    assert all(torch.equal(a, b) for a, b in zip(h.state_dict().values(), other.state_dict().values(), strict=True))


def weights_file(path, **changes):
    """A weights file of random networks, with top-level entries replaced."""
    content = {"step": 3, "net_state_dict": join_net(FeatureExtractor(), LabelClassifier())} | changes
    torch.save(content, path)
    return path
