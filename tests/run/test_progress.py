"""The figures of a bar, and the line of an epoch."""

import pytest
import torch

from methods import METHODS
from run.progress import SHORT, Progress, in_words
from tests.test_trainer import Run, options


@pytest.mark.parametrize("method", [m for m in METHODS.values() if m.updates], ids=lambda m: m.name)
def test_figures_of_every_method(method):
    words = in_words(dict.fromkeys(method.metrics, torch.tensor(0.5)))
    assert words == ["loss 0.500", "label 0.500", "h 0.500"][: 2 + method.trains_h]
    assert in_words({"energy": 3.0, "cls_loss": None}) == []


@pytest.mark.parametrize(("epochs", "seconds"), [(20, 12.3), (1000, 12345)])
def test_the_line_of_an_epoch_has_80_columns_at_most(epochs, seconds):
    run = Run()
    record = dict.fromkeys(SHORT, 0.123456) | {"epoch": epochs, "seconds": seconds}
    with Progress(options(max_step=epochs), run, 10, 0) as progress:
        progress.epoch(record)
    (line,) = run.lines
    assert len(line) <= 80
    assert line.startswith(f"epoch {epochs}/{epochs} loss 0.123 ")
    assert f"worst 0.123 test 0.123 {seconds:.0f} s left 00:00" in line
