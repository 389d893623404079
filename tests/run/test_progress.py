"""The bar on a real terminal of several widths, narrowed while it runs."""

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
from run.progress import figures
from tests.processes import ROOT

RUN = """
import time, torch
from types import SimpleNamespace
from run import progress
progress.OFTEN = 0.02
option = SimpleNamespace(max_step=100, log_step=50)
with progress.Progress(option, None, 469, 4000) as bar:
    for i in range(100):
        measured = [torch.tensor(x) for x in (2 / (i + 1), i / 100, -1.5, 1.9, 0.12 + i / 1000)]
        bar.iteration(57, i + 1, ("cls_loss", "accuracy", "neg_entropy", "bias_loss", "bias_accuracy"), measured)
        time.sleep(0.01)
"""


def resize(terminal, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def shown(columns, narrowed=None):
    """What a run shows on a terminal of so many columns; later it has `narrowed` ones."""
    terminal, inside = os.openpty()
    resize(terminal, columns)
    process = subprocess.Popen([sys.executable, "-c", RUN], cwd=ROOT, stdout=inside, stderr=inside)
    os.close(inside)
    text = b""
    try:
        while part := os.read(terminal, 4096):
            text += part
            if narrowed and text.count(b"\r") > 10:
                resize(terminal, narrowed)
    except OSError:
        pass  # the other end is closed
    process.wait()
    os.close(terminal)
    return text.decode()


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_everything_is_to_be_seen(columns):
    text = shown(columns)
    lines = [line for line in re.split(r"[\r\n]+", text) if line.startswith("epoch")]
    assert text.count("\n") == 1, text  # when it is closed
    assert {len(line) for line in lines} == {columns - 1}
    pattern = r"epoch 58/100 \|(.+)\| ?loss \d\.\d{3} label \d\.\d{3} h \d\.\d{3} +[\d.]+(it/s|s/it) [\d:?]+ left"
    found = [re.fullmatch(pattern, line) for line in lines]
    assert all(found[3:]), lines[3:5]
    assert all(len(m[1]) >= 8 for m in found[3:])
    assert len({line.partition("loss")[2][:24] for line in lines}) >= 5  # they move


def test_a_window_that_is_narrowed_gets_no_new_lines():
    text = shown(120, narrowed=60)
    assert text.count("\n") == 1
    assert len(text.strip().split("\r")[-1]) <= 60


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda m: m.name)
def test_figures_of_every_method(method):
    text = figures(method.metrics, [torch.tensor(0.5)] * len(method.metrics))
    assert text == "loss 0.500 label 0.500" + (" h 0.500" if method.trains_h else "")


def test_figures_of_a_method_to_come():
    assert figures(("energy", "depth"), [torch.tensor(3.0), torch.tensor(1.0)]) == "loss 3.000"
