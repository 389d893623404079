"""A small training that takes seconds, run as a real process: what it needs, and what it leaves."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from dataset.released import ReleasedFile, released_name, write_released
from tests.test_trainer import digits

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 4
PATIENT = os.environ | {"OMP_WAIT_POLICY": "passive"}  # or two threads on a busy machine spend minutes in waiting


def write_small(folder, color_var=0.02, train=512, test=64):
    """Writes a released file of random digits into `folder`; returns the folder."""
    train, test = digits(train, seed=1), digits(test, seed=2)
    write_released(folder / released_name(color_var), ReleasedFile(*train, *test, test[0].max(axis=3)))
    return folder


def flags(folder, data, *more, threads=1):
    """The flags of a small LNTL run in `folder`/run: 4 epochs of 32 iterations."""
    fixed = f"-e run --color_var 0.02 --from_scratch --random_seed 5 --batch_size 16 --lr 0.01 --max_step {EPOCHS}"
    fixed += f" --threads {threads} --save_step 2 --device cpu"
    return [*fixed.split(), "--save_dir", str(folder), "--data_dir", str(data), *more]


def start(*arguments, program=("train.py",)):
    """Starts train.py, or another program."""
    line = [sys.executable, *program, *map(str, arguments)]
    return subprocess.Popen(line, cwd=ROOT, env=PATIENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments, program=("train.py",), encoding="utf-8", **environment):
    """Runs train.py, or another program, to its end; returns the finished process."""
    line = [sys.executable, *program, *map(str, arguments)]
    own = PATIENT | environment
    return subprocess.run(line, cwd=ROOT, env=own, capture_output=True, encoding=encoding, timeout=600)


def wait_for(process, path, text):
    """Waits until `text` stands in the file `path`, or the process has ended."""
    while process.poll() is None and not (path.exists() and text in path.read_text()):
        time.sleep(0.02)


def result(folder):
    """Everything that training produced: all tensors of final.pth, and the log without the seconds."""
    content = torch.load(folder / "final.pth", weights_only=True)
    tensors = [*content["net_state_dict"].values()]
    tensors += [v for state in content["pred_state_dict"].values() for v in state.values()]
    tensors += [value for s in content["optim_state_dict"]["state"].values() for value in s.values()]
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return tensors, [{k: v for k, v in record.items() if k != "seconds"} for record in log]


def assert_same(folder, expected):
    """The run in `folder` ended as the one in `expected` did, bit for bit, its log without gaps or doubles."""
    (tensors, log), (expected_tensors, expected_log) = result(folder), result(expected)
    assert [r["epoch"] for r in log] == list(range(1, len(expected_log) + 1))
    assert log == expected_log
    assert all(torch.equal(a, b) for a, b in zip(tensors, expected_tensors, strict=True))
