"""The losses of h where an image has one label of a bias. The updates around them are tested in test_trainer.py."""

import pytest
import torch
from torch.nn import functional as F

from methods.blindeye import confusion_loss
from methods.lntl import bias_cross_entropy, negative_entropy
from models.networks import make_networks


def test_logits_of_one_label_need_no_more_dimensions():
    torch.manual_seed(1)
    logits, b = torch.randn(7, 4), torch.randint(4, (7,))
    full = logits[:, None, :, None, None]
    assert torch.equal(negative_entropy(logits), negative_entropy(full))
    for a, c in zip(bias_cross_entropy(logits, b), bias_cross_entropy(full, b[:, None, None, None]), strict=True):
        assert torch.equal(a, c)
    assert bias_cross_entropy(logits, b)[0].item() == pytest.approx(F.cross_entropy(logits, b).item(), rel=1e-6)


def test_confusion_of_heads_with_different_numbers_of_values():
    torch.manual_seed(2)
    h = make_networks("paper", heads=(2, 5), map_bias=False, split_at="conv2").h
    logits = h(torch.randn(3, 32, 14, 14).relu())
    one, two = logits[:, 0, :2, 0, 0].log_softmax(1), logits[:, 1, :, 0, 0].log_softmax(1)
    expected = -(one.mean() + two.mean()) / 2
    assert confusion_loss(logits, h.valid).item() == pytest.approx(expected.item(), rel=1e-5)
    even = torch.randn(3, 2, 5, 1, 1)
    assert confusion_loss(even, torch.ones(2, 5, dtype=torch.bool)).item() == pytest.approx(confusion_loss(even).item())
