"""A small training that takes seconds, run as a real process: what it needs, and what it leaves."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset.released import SHAPES, released_name
from tests.test_trainer import digits

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 3
PATIENT = os.environ | {"OMP_WAIT_POLICY": "passive"}  # or two threads on a busy machine spend minutes in waiting
WATCHED = """
import sys, train
report = train.report

def watched(*arguments, **how):
    print("loaded before the report:", *sys.modules)
    return report(*arguments, **how)

train.report = watched
sys.exit(train.main())
"""


def write_small(folder, color_var=0.02, train=256, test=64):
    """Writes a released file of random digits into `folder`; returns the folder."""
    train, test = digits(train, seed=1), digits(test, seed=2)
    arrays = (*train, *test, test[0].max(axis=3))
    np.save(folder / released_name(color_var), dict(zip(SHAPES, arrays, strict=True)))
    return folder


def flags(folder, data, *more, epochs=EPOCHS):
    """The flags of a small LNTL run in `folder`/run: 3 epochs of 16 iterations."""
    fixed = "-e run --color_var 0.02 --from_scratch --random_seed 5 --batch_size 16 --lr 0.01 --threads 1 --device cpu"
    fixed += f" --max_step {epochs} --save_step 2"
    return [*fixed.split(), "--save_dir", str(folder), "--data_dir", str(data), *map(str, more)]


def image_flags(folder, data, *more, epochs=3):
    """The flags of a small run on images in `folder`/run."""
    fixed = "-e run --dataset images --network paper --image_size 28 --batch_size 128 --random_seed 1 --threads 1"
    fixed += f" --device cpu --max_step {epochs}"
    return [*fixed.split(), "--save_dir", str(folder), "--data_dir", str(data), *map(str, more)]


def start(*arguments, program=("train.py",)):
    """Starts train.py, or another program."""
    line = [sys.executable, *program, *map(str, arguments)]
    return subprocess.Popen(line, cwd=ROOT, env=PATIENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments, program=("train.py",), cwd=ROOT, **environment):
    """Runs train.py, or another program, to its end; returns the finished process."""
    line = [sys.executable, *program, *map(str, arguments)]
    own = PATIENT | environment
    return subprocess.run(line, cwd=cwd, env=own, capture_output=True, encoding="utf-8", timeout=600)


def refused(capsys, program, *arguments):
    """Runs a program in this process that must refuse its arguments; returns the one line that it prints."""
    with pytest.raises(SystemExit) as stop:
        program.main([*map(str, arguments)])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("error: "), error
    assert error.count("\n") == 1, error
    return error


def wait_for(process, path, text):
    """Waits until `text` stands in the file `path`, or the process has ended."""
    while process.poll() is None and not (path.exists() and text in path.read_text("utf-8")):
        time.sleep(0.02)


def read(path):
    """The content of a JSON file, or the records of a .jsonl file."""
    text = Path(path).read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()] if Path(path).suffix == ".jsonl" else json.loads(text)


def result(folder):
    """Everything that training produced: all tensors of final.pth, and the log without the seconds."""
    content = torch.load(folder / "final.pth", weights_only=True)
    tensors = [*content["net_state_dict"].values()]
    states = content["pred_state_dict"].values()
    tensors += [v for state in states for v in (state.values() if isinstance(state, dict) else [state])]
    tensors += [value for s in content["optim_state_dict"]["state"].values() for value in s.values()]
    return tensors, [{k: v for k, v in record.items() if k != "seconds"} for record in read(folder / "log.jsonl")]


def assert_same(folder, expected):
    """The run in `folder` ended as the one in `expected` did, bit for bit, its log without gaps or doubles."""
    (tensors, log), (expected_tensors, expected_log) = result(folder), result(expected)
    assert [r["epoch"] for r in log] == list(range(1, len(expected_log) + 1))
    assert log == expected_log
    assert all(torch.equal(a, b) for a, b in zip(tensors, expected_tensors, strict=True))
