"""h for labels of images: its form, heads of several sizes, and the losses on its logits."""

import pytest
import torch

from models.pooled_predictor import PooledPredictor


def features(size=5, channels=32, positions=14):
    return torch.randn(size, channels, positions, positions, dtype=torch.float64)


def test_batchnorm_and_a_linear_layer_on_the_average():
    h, z = PooledPredictor(6, (4,)).double(), features(channels=6)
    mean = z.mean(dim=(2, 3))
    expected = (mean - mean.mean(0)) / (mean.var(0, unbiased=False) + 1e-5).sqrt()
    expected = expected @ h.out.weight[:, :, 0, 0].T + h.out.bias
    torch.testing.assert_close(h(z), expected[:, None, :, None, None])
    torch.testing.assert_close(h(1000 * z), h(100 * z), rtol=1e-3, atol=1e-3)  # f cannot hide behind the scale


@pytest.mark.parametrize("pooled", [True, False])
def test_heads_with_fewer_values(pooled):
    h = PooledPredictor(32, (2, 5, 3), pooled=pooled)
    assert h.num_values == (2, 5, 3)
    assert h.valid.tolist() == [[True] * n + [False] * (5 - n) for n in (2, 5, 3)]
    assert "valid" not in h.state_dict()
    with torch.autocast("cpu", torch.bfloat16):
        logits = h(features().float())
    assert logits.shape[:3] == (5, 3, 5)
    assert logits.dtype == torch.float32
    p = logits.softmax(2)
    for head, n in enumerate((2, 5, 3)):
        assert (p[:, head, n:] == 0).all()
        torch.testing.assert_close(p[:, head, :n], logits[:, head, :n].softmax(1))


def test_the_losses_with_heads_of_several_sizes_are_those_of_the_heads_alone():
    from methods.lntl import bias_cross_entropy, negative_entropy

    torch.manual_seed(0)
    h = PooledPredictor(32, (2, 5, 3)).double()
    z = features()
    b = torch.tensor([[0, 4, 2], [1, 0, 0], [1, 1, 255], [0, 2, 1], [1, 3, 2]])
    logits = h(z)
    loss, entropy = bias_cross_entropy(logits, b[..., None, None])[0], negative_entropy(logits)
    grads = torch.autograd.grad(loss + entropy, h.out.weight, retain_graph=True)[0]
    alone = [logits[:, i : i + 1, :n] for i, n in enumerate((2, 5, 3))]
    expected = sum(bias_cross_entropy(v, b[:, i : i + 1, None, None])[0] for i, v in enumerate(alone))
    expected_entropy = sum(negative_entropy(v) for v in alone) / 3
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(entropy, expected_entropy)
    torch.testing.assert_close(grads, torch.autograd.grad(expected + expected_entropy, h.out.weight)[0])
    assert grads.isfinite().all()
