"""GPUs that cannot be used, and processors without bfloat16."""

from types import SimpleNamespace

import pytest
import torch

from common.errors import UserError
from run import device


def flags(**changes):
    given = {"threads": None, "device": "auto", "cuda": False, "cudnn_benchmark": True, "precision": "float32"}
    return SimpleNamespace(**given | changes)


@pytest.fixture
def old_card(monkeypatch):
    """PyTorch lists a GPU, and every use of it fails."""
    to = torch.Tensor.to

    def broken(self, *arguments, **how):
        if any("cuda" in str(a) for a in (*arguments, *how.values())):
            raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore lines")
        return to(self, *arguments, **how)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.Tensor, "to", broken)


def test_a_gpu_that_cannot_be_used_is_one_line_that_says_what_to_do(old_card):
    with pytest.raises(UserError, match=r"no kernel image is available.*; --device cpu") as error:
        device.choose_device(flags())
    assert "more lines" not in str(error.value)
    assert device.choose_device(flags(device="cpu")).type == "cpu"


@pytest.mark.parametrize("emulated", [True, False])
def test_bfloat16_without_hardware_for_it_is_said(monkeypatch, capsys, emulated):
    monkeypatch.setattr(device, "matrix_rate", lambda dtype, *_: 1 if emulated and dtype is torch.bfloat16 else 100)
    device.choose_device(flags(device="cpu", precision="bfloat16"))
    assert ("no hardware for bfloat16" in capsys.readouterr().out) == emulated
    device.choose_device(flags(device="cpu"))
    assert capsys.readouterr().out == ""
