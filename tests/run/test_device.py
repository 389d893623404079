"""GPUs that cannot be used, processors without bfloat16, and the number of threads."""

import pytest
import torch

from common.errors import UserError
from run import device
from tests.test_trainer import options


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
        device.choose_device(options())
    assert "more lines" not in str(error.value)
    assert device.choose_device(options(device="cpu")).type == "cpu"


@pytest.mark.parametrize("there", [True, False])
def test_bfloat16_without_hardware_for_it_is_reported(monkeypatch, capsys, there):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: there)
    device.choose_device(options(device="cpu", precision="bfloat16"))
    assert ("no hardware for bfloat16" in capsys.readouterr().out) != there
    device.choose_device(options(device="cpu"))
    assert capsys.readouterr().out == ""


def test_threads_are_as_given_and_else_left_alone():
    before = torch.get_num_threads()
    device.choose_device(options(device="cpu"))
    assert torch.get_num_threads() == before
    device.choose_device(options(device="cpu", threads=3))
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)
