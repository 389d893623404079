"""Files are whole or not there: full disks, crashes between two writes, odd names in messages."""

import errno
import os
import threading

import pytest
import torch

from common import files
from common.errors import Busy, UserError, exits, one_line
from models.checkpoint import save_torch_file
from run.folder import RunFolder


def test_to_look_whether_a_run_is_busy_takes_nothing_and_removes_nothing(tmp_path):
    assert not RunFolder.is_busy(tmp_path, "run")
    assert not (tmp_path / "run").exists()
    with RunFolder(tmp_path, "run"):
        (tmp_path / "run" / ".last.pt.1.tmp").write_text("being written")
        assert RunFolder.is_busy(tmp_path, "run")
    assert not RunFolder.is_busy(tmp_path, "run")
    assert (tmp_path / "run" / ".last.pt.1.tmp").exists()


def test_a_run_waits_for_one_that_only_looks(tmp_path):
    fcntl = pytest.importorskip("fcntl", reason="there are no locks here")
    RunFolder(tmp_path, "run").lock.close()
    looking = open(tmp_path / "run" / ".lock")  # noqa: SIM115 (the timer closes it)
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.15, looking.close).start()
    with RunFolder(tmp_path, "run"):
        assert looking.closed


def test_a_run_that_is_worked_on_is_refused(tmp_path):
    with RunFolder(tmp_path, "run"), pytest.raises(Busy, match="another process works on"):
        RunFolder(tmp_path, "run")


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, {"a": float("nan")})
    assert path.read_text() == '{\n "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_full_disk_keeps_the_checkpoint(tmp_path, monkeypatch, capsys):
    run = RunFolder(tmp_path, "run")
    run.save({"epoch": 1})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(SystemExit) as stop:
        exits(lambda: run.save({"epoch": 2}))()
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: No space left on device; ")
    assert error.count("\n") == 1
    monkeypatch.undo()
    assert run.load() == {"epoch": 1}
    assert not list(run.path.glob("*.tmp"))


@pytest.mark.parametrize("share", [i / 20 for i in range(20)])
def test_truncated_checkpoint_is_seen(tmp_path, share):
    run = RunFolder(tmp_path, "run")
    for epoch in (1, 2):
        run.save({"epoch": epoch, "w": torch.zeros(500)})
    whole = (run / "last.pt").read_bytes()
    (run / "last.pt").write_bytes(whole[: int(share * len(whole))])
    assert run.load()["epoch"] == 1
    (run / "previous.pt").unlink()
    assert run.load()["epoch"] == 1  # the good one took the place of the damaged one
    (run / "last.pt").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError):
        run.load()


def test_flipped_bits_are_seen(tmp_path):
    path = tmp_path / "x.pt"
    save_torch_file(path, {"w": torch.arange(500.0)})
    whole = path.read_bytes()
    from models.checkpoint import read_torch_file

    seen = 0
    for i in range(0, len(whole), 37):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 16]) + whole[i + 1 :])
        try:
            assert torch.equal(read_torch_file(path)["w"], torch.arange(500.0))
        except UserError:
            seen += 1
    assert seen > 50


def test_trimmed_log_has_no_gaps_or_doubles(tmp_path):
    run = RunFolder(tmp_path, "run")
    for epoch in (1, 2, 3):
        run.record({"epoch": epoch})
    with open(run / "log.jsonl", "a") as file:
        file.write('{"epoch": 4, "cut o')
    run.trim_log(2)
    assert [r["epoch"] for r in files.read_json_lines(run / "log.jsonl")] == [1, 2]


def test_output_that_nobody_reads_any_more_ends_no_run(tmp_path, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    monkeypatch.setattr("sys.stdout", open(write, "w"))  # noqa: SIM115
    run = RunFolder(tmp_path, "run")
    run.say("a line")
    assert (run / "log.txt").read_text().endswith("  a line\n")


def test_messages_stay_on_one_line():
    assert "\n" not in one_line("a\nb\x1b[31m ü")
    assert "ü" in one_line("ü")


def test_other_errors_are_not_hidden():
    def broken():
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        exits(broken)()


def test_what_is_synced_was_opened_for_writing(tmp_path, monkeypatch):
    """Windows refuses to sync a file that was opened for reading."""
    fcntl = pytest.importorskip("fcntl")
    sync = os.fsync
    modes = []

    def watched(fd):
        modes.append(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE)
        sync(fd)

    monkeypatch.setattr(files.os, "fsync", watched)
    files.write_json(tmp_path / "x.json", {"a": 1})
    assert modes
    assert os.O_RDONLY not in modes
