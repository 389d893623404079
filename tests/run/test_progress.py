"""The bar on a real terminal that is narrowed while it runs, and the line of an epoch."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios

import pytest
import torch

from methods import METHODS
from run.progress import SHORT, Progress, in_words
from tests.processes import ROOT
from tests.test_trainer import Run, options

RUN = """
import time, torch
from types import SimpleNamespace
from run import progress
progress.OFTEN = 0.02
option = SimpleNamespace(max_step=100, log_step=50)
with progress.Progress(option, None, 469, 4000) as bar:
    for i in range(150):
        measured = [torch.tensor(x) for x in (2 / (i + 1), i / 150, -1.5, 1.9, 0.12 + i / 1000)]
        bar.iteration(57, i + 1, ("cls_loss", "accuracy", "neg_entropy", "bias_loss", "bias_accuracy"), measured)
        time.sleep(0.01)
"""


def resize(terminal, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def test_everything_is_to_be_seen_at_80_columns_and_less_gets_no_new_lines():
    terminal, inside = os.openpty()
    resize(terminal, 80)
    process = subprocess.Popen([sys.executable, "-c", RUN], cwd=ROOT, stdout=inside, stderr=inside)
    os.close(inside)
    text = b""
    try:
        while part := os.read(terminal, 4096):
            text += part
            if text.count(b"\r") > 30:
                resize(terminal, 60)
    except OSError:
        pass  # the other end is closed
    process.wait()
    os.close(terminal)
    text = text.decode()
    lines = [line for line in re.split(r"[\r\n]+", text) if line.startswith("epoch")]
    assert text.count("\n") == 1, text  # when it is closed
    pattern = r"epoch 58/100 \|(.+)\| ?loss \d\.\d{3} label \d\.\d{3} h \d\.\d{3} +[\d.]+(it/s|s/it) [\d:?]+ left"
    wide = [line for line in lines[3:20] if len(line) == 79]
    assert len(wide) >= 10
    assert all(len(re.fullmatch(pattern, line)[1]) >= 8 for line in wide)
    assert len(text.strip().split("\r")[-1]) <= 60


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda m: m.name)
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
