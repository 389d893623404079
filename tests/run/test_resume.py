"""Real processes, really killed: a run that was interrupted ends in the same weights, bit for bit."""

import shutil
import signal

import pytest
import torch

import train
import trainer as trainers
from run.signals import endings
from tests.processes import assert_same, flags, image_flags, read, refused, run, start, wait_for
from trainer import Trainer


def test_killed_and_resumed(tmp_path, small_data, whole, capsys):
    """Meanwhile a second process is refused."""
    process = start(*flags(tmp_path, small_data))
    wait_for(process, tmp_path / "run/log.txt", "epoch 1/")
    assert "another process works on" in refused(capsys, train, *flags(tmp_path, small_data, "--resume"))
    process.kill()
    process.communicate()
    assert train.main(flags(tmp_path, small_data, "--resume")) == 0
    assert_same(tmp_path / "run", whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_saves_and_leaves(tmp_path, small_data, whole, number):
    process = start(*flags(tmp_path, small_data))
    wait_for(process, tmp_path / "run/log.txt", "epoch 1/")
    process.send_signal(number)
    out, error = process.communicate(timeout=300)
    assert (process.returncode, error) == (128 + number, "")
    assert out.endswith(f"train.py -e run --save_dir {tmp_path} --resume\n")
    assert (tmp_path / "run/last.pt").exists()
    if number == signal.SIGTERM:
        assert train.main(["-e", "run", "--save_dir", str(tmp_path), "--resume"]) == 0  # no flag has to be given again
        assert_same(tmp_path / "run", whole)


def test_nohup_goes_on_being_heard():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in endings()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1} <= set(endings())


@pytest.mark.parametrize("place", ["after an epoch", "at the end"])
def test_a_signal_ends_an_evaluation_at_once(tmp_path, small_images, capsys, monkeypatch, place):
    calls, line = [], image_flags(tmp_path, small_images, "--method", "lntl_plus", epochs=2)
    module = trainers if place == "after an epoch" else train
    evaluate = module.evaluate

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            signal.raise_signal(signal.SIGTERM)
            raise AssertionError("the evaluation went on")
        return evaluate(*arguments)

    monkeypatch.setattr(module, "evaluate", interrupted)
    assert train.main(line) == 128 + signal.SIGTERM
    assert "stopped in the evaluation after epoch" in capsys.readouterr().out
    monkeypatch.undo()
    assert train.main([*line, "--resume"]) == 0
    assert train.main([*image_flags(tmp_path / "whole", small_images, "--method", "lntl_plus", epochs=2)]) == 0
    assert_same(tmp_path / "run", tmp_path / "whole/run")


def test_a_signal_while_the_report_is_written_is_not_forgotten(tmp_path, small_images, capsys, monkeypatch):
    line, report = image_flags(tmp_path, small_images, "--method", "lntl_plus"), train.report

    def interrupted(*arguments, **how):
        signal.raise_signal(signal.SIGTERM)
        report(*arguments, **how)

    monkeypatch.setattr(train, "report", interrupted)
    assert train.main(line) == 128 + signal.SIGTERM
    assert (tmp_path / "run/metrics.json").exists()
    assert train.main([*line, "--resume"]) == 0
    assert "is finished" in capsys.readouterr().out


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
WRITES = [("last.pt", "half"), ("last.pt", "whole"), ("metrics.json", "half")]


def test_killed_inside_a_write(tmp_path, small_data, whole):
    for name, moment in WRITES:  # one after the other, each going on from what the one before left
        killed = run(name, moment, *flags(tmp_path, small_data, "--continue"), program=("-c", SUICIDE))
        assert killed.returncode == -signal.SIGKILL, (name, moment, killed.stdout, killed.stderr)
    assert train.main(flags(tmp_path, small_data, "--resume")) == 0
    assert_same(tmp_path / "run", whole)
    assert not list((tmp_path / "run").glob(".*.tmp"))  # leftovers of the killed ones


DAMAGED = [("options.json", b"{"), ("options.json", None), ("log.jsonl", b"?\n"), ("log.jsonl", b"")]


@pytest.mark.parametrize(
    ("file", "content"), [*DAMAGED, ("last.pt", b"PK"), ("last.pt", [1]), ("last.pt", {"epoch": 3})]
)
def test_a_damaged_run_folder_is_one_line(capsys, tmp_path, small_data, whole, file, content):
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run/metrics.json").unlink()
    if content is None:
        (tmp_path / "run" / file).unlink()
    elif isinstance(content, bytes):
        (tmp_path / "run" / file).write_bytes(content)
    else:
        torch.save(content, tmp_path / "run" / file)
    assert file in refused(capsys, train, *flags(tmp_path, small_data, "--resume"))


@pytest.mark.parametrize("gone", [["last.pt"], ["*.pt", "*.json*"]])
def test_what_lies_in_a_folder_is_not_trained_over(capsys, tmp_path, small_data, whole, gone):
    shutil.copytree(whole, tmp_path / "run")
    for path in [path for name in gone for path in (tmp_path / "run").glob(name)]:
        path.unlink()
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    for more in ([], ["--continue"]):
        assert "no last.pt to go on from" in refused(capsys, train, *flags(tmp_path, small_data, *more))
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


# ------------------------------------------------------------------------------------------ --pretrain


def pretrained(folder, data, *more):
    line = flags(folder, data, "--pretrain", "2", *more, epochs=1)
    line.remove("--from_scratch")
    place = line.index("--random_seed")
    return line[:place] + line[place + 2 :]


def test_a_pretraining_that_was_stopped_goes_on(tmp_path, small_data, monkeypatch, capsys):
    """In its baseline by --resume, in the run itself by --continue; the seed that was drawn is the one of both."""
    iterate, calls = Trainer.iterate, []

    def interrupted(self, handle):
        calls.append(handle)
        if len(calls) in (20, 36):  # of 2 x 16 + 16
            signal.raise_signal(signal.SIGTERM)
        return iterate(self, handle)

    monkeypatch.setattr(Trainer, "iterate", interrupted)
    first = pretrained(tmp_path, small_data)
    assert train.main(first) == 128 + signal.SIGTERM
    assert f"train.py -e run --save_dir {tmp_path} --resume" in capsys.readouterr().out
    assert train.main(["-e", "run", "--save_dir", str(tmp_path), "--resume"]) == 128 + signal.SIGTERM
    assert read(tmp_path / "run_baseline/metrics.json")["option"]["method"] == "baseline"
    assert train.main([*first, "--continue"]) == 0
    option = read(tmp_path / "run/options.json")
    assert option["checkpoint"] == str(tmp_path / "run_baseline/final.pth")
    assert option["random_seed"] == read(tmp_path / "run_baseline/options.json")["random_seed"]

    monkeypatch.undo()
    whole = tmp_path / "whole"
    assert train.main(pretrained(whole, small_data, "--random_seed", option["random_seed"])) == 0
    assert_same(tmp_path / "run_baseline", whole / "run_baseline")
    assert_same(tmp_path / "run", whole / "run")


def test_a_pretraining_on_images_that_was_stopped_goes_on(tmp_path, small_images, monkeypatch):
    """By --resume, or the same command: the baseline's record has the columns that were found, the flags have none."""
    iterate, calls = Trainer.iterate, []

    def interrupted(self, handle):
        calls.append(handle)
        if len(calls) in (3, 8):
            signal.raise_signal(signal.SIGTERM)
        return iterate(self, handle)

    monkeypatch.setattr(Trainer, "iterate", interrupted)
    line = image_flags(tmp_path, small_images, "--method", "dfr", "--pretrain", 2, epochs=1)
    assert train.main(line) == 128 + signal.SIGTERM
    assert train.main(["-e", "run", "--save_dir", str(tmp_path), "--resume"]) == 128 + signal.SIGTERM
    assert train.main(line) == 0
    monkeypatch.undo()
    assert train.main(image_flags(tmp_path / "whole", small_images, *line[-4:], epochs=1)) == 0
    assert_same(tmp_path / "run_baseline", tmp_path / "whole/run_baseline")
    assert len(read(tmp_path / "run_baseline/log.jsonl")) == 2
    assert read(tmp_path / "run/metrics.json")["option"]["method"] == "dfr"


def test_a_baseline_of_another_run_is_not_taken_over(tmp_path, small_images, capsys):
    """Its columns were given there and are not here, so that it learned something else."""
    flags = image_flags(tmp_path, small_images, "--method", "baseline", "--target", "place", "--bias", "y", epochs=1)
    flags[flags.index("run")] = "run_baseline"
    assert train.main(flags) == 0
    line = image_flags(tmp_path, small_images, "--method", "dfr", "--pretrain", 1, epochs=1)
    for more in ((), ("--continue",)):  # the second goes on with what the first has left
        assert "was begun with --target place, not y" in refused(capsys, train, *line, *more)
