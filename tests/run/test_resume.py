"""Real processes, really killed: a run that was interrupted ends in the same weights, bit for bit."""

import os
import random
import resource
import shutil
import signal
import subprocess
import time
import zipfile
from collections import Counter

import pytest
import torch

import option as options
import test as evaluation
import train
import trainer as trainers
from dataset.colored_set import ColoredSet
from models.checkpoint import read_torch_file
from run import evaluate as evaluation_module
from run.folder import RunFolder
from tests.processes import EPOCHS, assert_same, flags, run, start, wait_for
from tests.test_options import refused
from trainer import Trainer

SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]


def start_and_wait_for(text, folder, data, *more, **how):
    """Starts a run and returns it once `text` stands in its log."""
    process = start(*flags(folder, data, *more, **how))
    wait_for(process, folder / "run" / "log.txt", text)
    return process


def finish(folder, data, expected, **how):
    finished = run(*flags(folder, data, "--resume", **how))
    assert finished.returncode == 0, finished.stderr
    assert_same(folder / "run", expected)


def test_killed_and_resumed(tmp_path, small_data, whole):
    process = start_and_wait_for("epoch 1/", tmp_path, small_data)
    time.sleep(0.1)
    process.kill()
    process.wait()
    finish(tmp_path, small_data, whole(1))


def test_adam_goes_on_where_it_was(tmp_path, small_data):
    """Its moments and its count of steps are part of a checkpoint, of which the last one is from inside an epoch."""
    more = ["--optimizer", "adam", "--lr", "0.001"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(*flags(whole, small_data, *more)).returncode == 0
    process = start_and_wait_for("epoch 2/", cut, small_data, *more)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    resumed = run("-e", "run", "--save_dir", cut, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert_same(cut / "run", whole / "run")


@pytest.mark.parametrize(("number", "threads"), [(signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_signal_saves_and_leaves(tmp_path, small_data, whole, number, threads):
    process = start_and_wait_for("epoch 2/", tmp_path, small_data, threads=threads)
    process.send_signal(number)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number, error
    assert f"train.py -e run --save_dir {tmp_path} --resume" in out
    assert error == ""
    resumed = run("-e", "run", "--save_dir", tmp_path, "--resume")  # no flag has to be given again
    assert resumed.returncode == 0, resumed.stderr
    assert_same(tmp_path / "run", whole(threads))


@pytest.mark.parametrize("place", ["after an epoch", "at the end"])
def test_signal_ends_an_evaluation_at_once(tmp_path, small_data, whole, capsys, monkeypatch, place):
    calls = []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == (2 if place == "after an epoch" else 1):
            signal.raise_signal(signal.SIGTERM)
            raise AssertionError("the evaluation went on")
        return evaluate(*arguments)

    module = trainers if place == "after an epoch" else evaluation_module
    evaluate = module.evaluate
    monkeypatch.setattr(module, "evaluate", interrupted)
    assert train.main(flags(tmp_path, small_data)) == 128 + signal.SIGTERM
    assert "to go on: " in capsys.readouterr().out
    monkeypatch.undo()
    assert train.main(flags(tmp_path, small_data, "--resume")) == 0
    assert_same(tmp_path / "run", whole(1))


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
WRITTEN += ["checkpoint_step_0004.pth", "final.pth", "metrics.json"]  # each is still to come
ALL_WRITES = [(name, moment) for name in WRITTEN for moment in ("half", "whole")]


@pytest.mark.parametrize("writes", [SOME_WRITES, pytest.param(ALL_WRITES, marks=pytest.mark.slow)])
def test_killed_inside_a_write(tmp_path, small_data, whole, writes):
    for name, moment in writes:  # one after the other, each going on from what the one before left
        killed = run(name, moment, *flags(tmp_path, small_data, "--continue"), program=("-c", SUICIDE))
        assert killed.returncode == -signal.SIGKILL, (name, moment, killed.stdout, killed.stderr)
    finish(tmp_path, small_data, whole(1))
    assert not list((tmp_path / "run").glob(".*.tmp"))  # leftovers of the killed ones


def test_second_process_is_refused(tmp_path, small_data):
    process = start_and_wait_for("everything lies in", tmp_path, small_data)
    second = run(*flags(tmp_path, small_data, "--resume"))
    process.kill()
    process.wait()
    assert second.returncode == 2
    assert "another process" in second.stderr
    assert second.stderr.count("\n") == 1


def test_damaged_checkpoint_gives_way_to_the_previous_one(tmp_path, small_data, whole):
    process = start_and_wait_for("epoch 3/", tmp_path, small_data)
    process.kill()
    process.wait()
    last = tmp_path / "run" / "last.pt"
    content = bytearray(last.read_bytes())
    with zipfile.ZipFile(last) as archive:  # what lies between its parts, nobody reads
        largest = max(archive.infolist(), key=lambda part: part.file_size)
    content[largest.header_offset + largest.file_size // 2] ^= 1
    last.write_bytes(content)
    finished = run(*flags(tmp_path, small_data, "--resume"))
    assert "going on from previous.pt" in finished.stdout
    assert_same(tmp_path / "run", whole(1))


@pytest.mark.parametrize(
    ("more", "what"),
    [([], "--resume"), (["--resume", "--mu", "0.2"], "--mu"), (["--resume", "--random_seed", "6"], "--random_seed")],
)
def test_what_resume_refuses(capsys, tmp_path, small_data, whole, more, what):
    shutil.copytree(whole(1), tmp_path / "run")
    assert what in refused(capsys, train, *flags(tmp_path, small_data, *more))


def test_finished_run(capsys, tmp_path, small_data, whole):
    shutil.copytree(whole(1), tmp_path / "run")
    assert train.main(flags(tmp_path, small_data, "--resume")) == 0
    assert "is finished" in capsys.readouterr().out
    assert evaluation.main(["-e", "run", "--save_dir", str(tmp_path)]) == 0
    assert "/64)" in capsys.readouterr().out  # of the data that the run was trained on


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("options.json", b"{"),
        ("options.json", b"[]"),
        ("options.json", b"[" * 100_000),
        ("options.json", None),
        ("log.jsonl", b"?\n"),
        ("last.pt", [1]),
        ("last.pt", {"epoch": 0}),
    ],
)
def test_damaged_run_folder_is_one_line(capsys, tmp_path, small_data, file, content):
    given = flags(tmp_path, small_data)
    option = options.resolve_training(options.train_parser().parse_args(given))
    folder = RunFolder(tmp_path, "run")
    folder.write_options(option)
    trainer = Trainer(option, ColoredSet(option, "cpu"), folder, torch.device("cpu"))
    trainer.save()
    folder.lock.close()
    if content is None:
        (folder / file).unlink()
    elif isinstance(content, bytes):
        (folder / file).write_bytes(content)
    else:
        torch.save(content, folder / file)
    line = refused(capsys, train, *given, "--resume")
    assert file in line
    assert ("is missing" in line) == (content is None)


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS[1:])
@pytest.mark.parametrize(("holdout", "wait"), [(0, 4), (59000, 20)])  # in an iteration; in an evaluation
def test_how_long_leaving_takes(tmp_path, capsys, number, holdout, wait):
    """On the whole of the data, with the paper's settings. On an idle machine its own time is all that passes."""
    fixed = f"-e run --color_var 0.02 --threads 1 --device cpu --holdout {holdout} --save_dir {tmp_path}"
    before = processor_seconds(resource.getrusage(resource.RUSAGE_CHILDREN))
    process = start(*fixed.split())
    wait_for(process, tmp_path / "run" / "log.txt", "everything lies in")
    time.sleep(wait)
    process.send_signal(number)
    sent, used = time.monotonic(), process_seconds(process.pid)
    out, error = process.communicate()
    passed = time.monotonic() - sent
    seconds = processor_seconds(resource.getrusage(resource.RUSAGE_CHILDREN)) - before - used
    assert process.returncode == 128 + number, error
    assert f"--save_dir {tmp_path} --resume" in out
    with capsys.disabled():
        place = out.splitlines()[-1].split(", and")[0]
        print(f"\n{number.name}: {seconds:.1f} s of its own, {passed:.1f} s by the clock; {place}")


def processor_seconds(usage):
    return usage.ru_utime + usage.ru_stime


def process_seconds(pid):
    """Processor time of a running process, in seconds."""
    with open(f"/proc/{pid}/stat") as file:
        ticks = file.read().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_fifty_kills_at_random_moments(tmp_path, small_data, whole, capsys, threads):
    """Ten of them while it starts, forty while it trains; every checkpoint in between can be read."""
    rng = random.Random(threads)
    expected, kills = whole(threads), Counter()
    runs, writes, longest, began = 0, 0, 0.0, time.monotonic()
    while kills.total() < 50:
        folder, runs = tmp_path / str(runs), runs + 1
        log, process, finished = folder / "run" / "log.txt", None, False
        while not finished and kills.total() < 50:
            before = log.stat().st_size if log.exists() else 0
            process = start(*flags(folder, small_data, "--continue", threads=threads))
            training = kills.total() % 5 > 0
            while training and process.poll() is None and (log.stat().st_size if log.exists() else 0) <= before:
                time.sleep(0.01)
            try:
                _, error = process.communicate(timeout=rng.uniform(0, 3))
                finished = process.returncode == 0
                assert finished, error
            except subprocess.TimeoutExpired:
                number = rng.choice(SIGNALS)
                process.send_signal(number)
                sent = time.monotonic()
                process.communicate()
                longest = max(longest, time.monotonic() - sent)
                kills[number.name] += 1
                writes += any((folder / "run").glob(".*.tmp"))
                if (folder / "run" / "last.pt").exists():
                    assert read_torch_file(folder / "run" / "last.pt")["epoch"] <= EPOCHS
        finish(folder, small_data, expected, threads=threads)
    with capsys.disabled():
        minutes = (time.monotonic() - began) / 60
        print(f"\n{threads} thread(s): {dict(kills)}, {writes} inside a write, in {runs} runs and {minutes:.1f} min")
        print(f"the slowest left after {longest:.1f} s")
