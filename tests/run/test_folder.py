"""The folder of a run: files are whole or not there, a lock keeps others out, and what a finished run has said."""

import errno
import math
import re

import pytest
import torch

from common import files
from common.errors import Busy, UserError, exits
from models.checkpoint import read_torch_file
from run.folder import RunFolder, without_nan
from tests.processes import EPOCHS, read


def test_what_a_run_leaves(whole):
    names = {path.name for path in whole.iterdir()}
    assert names == {
        ".lock", "options.json", "environment.json", "log.jsonl", "log.txt", "last.pt", "final.pth",
        "checkpoint_step_0002.pth", "metrics.json", "confusion_matrix.png",
    }  # fmt: skip
    option, metrics = read(whole / "options.json"), read(whole / "metrics.json")
    assert metrics["option"] == option
    assert metrics["data_sha256"] == option["data_sha256"] is not None
    assert metrics["accuracy"] == read(whole / "log.jsonl")[-1]["test_accuracy"]
    confusion = torch.tensor(metrics["confusion"])
    assert (
        (int(confusion.sum()), int(confusion.trace())) == (metrics["n"], metrics["correct"]) == (64, metrics["correct"])
    )
    weights = read_torch_file(whole / "final.pth")
    assert (weights["step"], weights["inputs"]["size"]) == (EPOCHS, 28)
    assert (whole / "confusion_matrix.png").read_bytes().startswith(b"\x89PNG")


def test_what_a_run_says(whole):
    """At most 80 columns an epoch, and the commands that come next; log.txt has it too."""
    out = (whole.parent / "output").read_text("utf-8")
    epochs = re.findall(r"^epoch \d/3 .*$", out, re.MULTILINE)
    assert len(epochs) == EPOCHS
    assert all(len(line) <= 80 and re.search(r"loss \S+ label \S+ h \S+ test \S+ \d+ s left", line) for line in epochs)
    assert re.search(rf"^next: \S+ test\.py -e run --save_dir {re.escape(str(whole.parent))} ", out, re.MULTILINE)
    log = (whole / "log.txt").read_text("utf-8")
    assert all(line in log for line in epochs)


def test_a_run_that_is_worked_on_is_refused(tmp_path):
    assert not RunFolder.is_busy(tmp_path, "run")
    with RunFolder(tmp_path, "run"):
        (tmp_path / "run/.last.pt.1.tmp").write_text("being written")
        assert RunFolder.is_busy(tmp_path, "run")
        with pytest.raises(Busy, match="another process works on"):
            RunFolder(tmp_path, "run")
        assert (tmp_path / "run/.last.pt.1.tmp").exists()  # who only looks removes nothing
    assert not RunFolder.is_busy(tmp_path, "run")


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch, capsys):
    run = RunFolder(tmp_path, "run")
    run.save({"epoch": 1})
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(run / "last.pt", {"a": math.nan})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(SystemExit):
        exits(lambda: run.save({"epoch": 2}))()
    error = capsys.readouterr().err
    assert (error.count("\n"), error.startswith("error: No space left on device; ")) == (1, True)
    assert read_torch_file(run / "last.pt") == {"epoch": 1}
    assert not list(run.path.glob("*.tmp"))


def test_the_log_has_no_gaps_doubles_or_nan(tmp_path):
    run = RunFolder(tmp_path, "run")
    for epoch in (1, 2, 3):
        run.record({"epoch": epoch, "loss": math.nan})
    with open(run / "log.jsonl", "a") as file:
        file.write('{"epoch": 4, "cut o')
    run.trim_log(2)
    assert run.log() == [{"epoch": 1, "loss": None}, {"epoch": 2, "loss": None}]
    with pytest.raises(UserError, match="does not hold the 3 epochs"):
        run.trim_log(3)
    assert without_nan({"a": [1.5, (math.inf, "x")]}) == {"a": [1.5, [None, "x"]]}
