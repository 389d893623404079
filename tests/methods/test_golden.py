"""Recorded iterations of the authors' code, replayed (tests/check_golden.py)."""

import pytest
import torch

from dataset.batches import ImageData
from models.checkpoint import read_torch_file
from tests import check_golden
from tests.conftest import shared
from tests.dataset.sets import on_device

FILES = ["fresh", "pretrained", "strong_float64"]


@pytest.mark.parametrize("name", FILES)
def test_recording_agrees(name):
    assert check_golden.main([str(shared("golden", f"official_steps_{name}.pt"))]) == 0


@pytest.mark.parametrize("name", FILES)
def test_bias_labels_and_inputs_are_the_recorded_ones(name):
    recording = read_torch_file(shared("golden", f"official_steps_{name}.pt"))
    images, labels = recording["images_uint8_nhwc"].numpy(), recording["labels"].numpy()
    size = recording["batch_size"]
    assert type(on_device(images, labels)).__name__ == "FactoredData"
    _, _, b = on_device(images, labels).batch(torch.arange(len(labels)))
    assert torch.equal(b, recording["official_bias_labels"].long())
    x, _, _ = ImageData(images, labels).batch(torch.arange(size))
    torch.testing.assert_close(x, recording["official_inputs_first_batch"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("change", ["lr", "losses"])
def test_altered_recording_fails(tmp_path, change):
    recording = read_torch_file(shared("golden", "official_steps_strong_float64.pt"))
    if change == "losses":
        recording["baseline"]["losses_cls_rgb_mi"][3][0] += 1e-5
    else:
        recording["unlearn"]["lr"] *= 1.01
    torch.save(recording, tmp_path / "altered.pt")
    assert check_golden.main([str(tmp_path / "altered.pt")]) == 1
