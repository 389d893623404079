"""Real processes, really killed: a run that was interrupted ends in the same weights, bit for bit."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import option as options
import test as evaluation
import train
from dataset.load import load_data
from dataset.released import ReleasedFile, released_name, write_released
from run_folder import RunFolder
from tests.test_options import refused
from tests.test_trainer import digits
from trainer import Trainer

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 4


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a small released file: 512 training and 64 test images."""
    folder = tmp_path_factory.mktemp("data")
    train, test = digits(512, seed=1), digits(64, seed=2)
    gray = test[0].max(axis=3)
    write_released(folder / released_name(0.02), ReleasedFile(*train, *test, gray))
    return folder


def command(folder, data, *flags):
    """The command line of a small LNTL run in `folder`."""
    fixed = f"-e run --color_var 0.02 --from_scratch --random_seed 5 --batch_size 16 --lr 0.01 --max_step {EPOCHS}"
    paths = ["--save_dir", str(folder), "--data_dir", str(data)]
    return [sys.executable, "train.py", *fixed.split(), "--threads", "1", "--save_step", "2", *paths, *flags]


def run(folder, data, *flags):
    """Runs it to its end; returns the finished process."""
    return subprocess.run(command(folder, data, *flags), cwd=ROOT, capture_output=True, text=True, timeout=300)


def start_and_wait_for(folder, data, text, *flags):
    """Starts a run and returns it once `text` stands in its log."""
    process = subprocess.Popen(
        command(folder, data, *flags), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    log = folder / "run" / "log.txt"
    while process.poll() is None and not (log.exists() and text in log.read_text()):
        time.sleep(0.02)
    return process


def result(folder):
    """Everything that training produced: all tensors of final.pth, and the log without the seconds."""
    content = torch.load(folder / "run" / "final.pth", weights_only=True)
    tensors = [*content["net_state_dict"].values()]
    tensors += [v for state in content["pred_state_dict"].values() for v in state.values()]
    tensors += [s["momentum_buffer"] for s in content["optim_state_dict"]["state"].values()]
    log = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    return tensors, [{k: v for k, v in record.items() if k != "seconds"} for record in log]


def assert_same(folder, expected):
    tensors, log = result(folder)
    assert [r["epoch"] for r in log] == list(range(1, EPOCHS + 1))
    assert log == expected[1]
    assert all(torch.equal(a, b) for a, b in zip(tensors, expected[0], strict=True))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The folder of the uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    finished = run(folder, data, "--resume")  # nothing there yet: it starts
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.fixture(scope="module")
def uninterrupted(whole):
    return result(whole)


def finish(folder, data, expected):
    finished = run(folder, data, "--resume")
    assert finished.returncode == 0, finished.stderr
    assert_same(folder, expected)


def test_killed_and_resumed(tmp_path, data, uninterrupted):
    process = start_and_wait_for(tmp_path, data, "epoch 1/")
    time.sleep(0.1)
    process.kill()
    process.wait()
    finish(tmp_path, data, uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_saves_and_leaves(tmp_path, data, uninterrupted, number):
    process = start_and_wait_for(tmp_path, data, "epoch 2/")
    process.send_signal(number)
    start = time.monotonic()
    out, error = process.communicate(timeout=30)
    assert time.monotonic() - start < 5
    assert process.returncode == 128 + number, error
    assert "--resume" in out
    assert error == ""
    finish(tmp_path, data, uninterrupted)


# A program that kills itself when a file NAME is half-written, or when it has just been put in place.
SUICIDE = """
import os, signal, sys
name, moment = sys.argv.pop(1), sys.argv.pop(1)
replace = os.replace

def killing(source, target):
    if os.path.basename(target) != name:
        return replace(source, target)
    if moment == "half":
        os.truncate(source, os.path.getsize(source) // 2)
    else:
        replace(source, target)
    os.kill(os.getpid(), signal.SIGKILL)

os.replace = killing
import train
sys.exit(train.main())
"""
SOME_WRITES = [("last.pt", "half"), ("previous.pt", "whole"), ("final.pth", "half"), ("metrics.json", "half")]
WRITTEN = ["options.json", "environment.json", "last.pt", "log.jsonl", "checkpoint_step_0002.pth", "previous.pt"]
WRITTEN += ["checkpoint_step_0004.pth", "final.pth", "metrics.json"]  # in an order in which each is still to come
ALL_WRITES = [(name, moment) for name in WRITTEN for moment in ("half", "whole")]


@pytest.mark.parametrize("writes", [SOME_WRITES, pytest.param(ALL_WRITES, marks=pytest.mark.slow)])
def test_killed_inside_a_write(tmp_path, data, uninterrupted, writes):
    for name, moment in writes:  # one after the other, each going on from what the one before left
        line = [sys.executable, "-c", SUICIDE, name, moment, *command(tmp_path, data, "--resume")[2:]]
        killed = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert killed.returncode == -signal.SIGKILL, (name, moment, killed.stdout, killed.stderr)
    finish(tmp_path, data, uninterrupted)
    assert not list((tmp_path / "run").glob(".*.pt*.tmp"))  # leftovers of the killed ones


def test_second_process_is_refused(tmp_path, data):
    process = start_and_wait_for(tmp_path, data, "everything lies in")
    second = run(tmp_path, data, "--resume")
    process.kill()
    process.wait()
    assert second.returncode == 2
    assert "another process" in second.stderr
    assert second.stderr.count("\n") == 1


def test_damaged_checkpoint_gives_way_to_the_previous_one(tmp_path, data, uninterrupted):
    process = start_and_wait_for(tmp_path, data, "epoch 3/")
    process.kill()
    process.wait()
    last = tmp_path / "run" / "last.pt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1  # in the middle of some tensor
    last.write_bytes(content)
    finished = run(tmp_path, data, "--resume")
    assert "going on from previous.pt" in finished.stdout
    assert_same(tmp_path, uninterrupted)


@pytest.mark.parametrize(
    ("flags", "what"),
    [([], "--resume"), (["--resume", "--mu", "0.2"], "--mu"), (["--resume", "--random_seed", "6"], "--random_seed")],
)
def test_what_resume_refuses(capsys, tmp_path, data, whole, flags, what):
    shutil.copytree(whole / "run", tmp_path / "run")
    assert what in refused(capsys, train, *command(tmp_path, data)[2:], *flags)


def test_finished_run(capsys, tmp_path, data, whole):
    shutil.copytree(whole / "run", tmp_path / "run")
    assert train.main([*command(tmp_path, data)[2:], "--resume"]) == 0
    assert "is finished" in capsys.readouterr().out
    assert evaluation.main(["-e", "run", "--save_dir", str(tmp_path)]) == 0
    assert "/64)" in capsys.readouterr().out  # of the data that the run was trained on


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("options.json", b"{"),
        ("options.json", b"[]"),
        ("log.jsonl", b"?\n"),
        ("last.pt", [1]),
        ("last.pt", {"epoch": 0}),
    ],
)
def test_damaged_run_folder_is_one_line(capsys, tmp_path, data, file, content):
    flags = command(tmp_path, data)[2:]
    option = options.resolve_training(options.train_parser().parse_args(flags))
    folder = RunFolder(tmp_path, "run")
    folder.write_options(option)
    trainer = Trainer(option, load_data(option, "cpu").train, folder, torch.device("cpu"), {})
    trainer.save()
    folder.lock.close()
    if isinstance(content, bytes):
        (folder / file).write_bytes(content)
    else:
        torch.save(content, folder / file)
    assert file in refused(capsys, train, *flags, "--resume")


@pytest.mark.slow
def test_fifty_kills_at_random_moments(tmp_path, data, uninterrupted):
    rng = random.Random(0)
    kills = 0
    while kills < 50:
        folder = tmp_path / str(kills)
        finished = False
        while not finished and kills < 50:
            process = subprocess.Popen(
                command(folder, data, "--resume"),
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            try:
                _, error = process.communicate(timeout=rng.uniform(2, 8))
                finished = process.returncode == 0
                assert finished, error
            except subprocess.TimeoutExpired:
                process.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
                process.communicate()
                kills += 1
        finish(folder, data, uninterrupted)
