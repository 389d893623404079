"""Terminals and readers that go away, streams that cannot show a letter, and the signals that ask to save and leave."""

import io
import os
import pty
import signal
import subprocess
import sys

import pytest

from common.errors import Shown
from run.signals import endings
from tests.processes import PATIENT, ROOT, assert_same, flags, run, start, wait_for

SAVING = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU]


def on_a_terminal(*arguments, ignored=()):
    """Starts train.py on a terminal of its own; returns (process id, the terminal)."""
    pid, terminal = pty.fork()
    if pid == 0:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, "train.py", *map(str, arguments)], PATIENT)
    return pid, terminal


def read_until(terminal, text):
    """Reads the terminal until `text` has come."""
    seen = b""
    while text not in seen:
        seen += os.read(terminal, 4096)


def status_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_terminal_that_goes_away_ends_no_run(tmp_path, small_data, whole):
    pid, terminal = on_a_terminal(*flags(tmp_path, small_data), ignored=[signal.SIGHUP])
    read_until(terminal, b"epoch 1/")
    os.close(terminal)
    assert status_of(pid) == 0
    assert_same(tmp_path / "run", whole(1))
    assert "EVALUATION LOSS" in (tmp_path / "run/log.txt").read_text()


def test_a_window_that_is_closed_saves(tmp_path, small_data, whole):
    pid, terminal = on_a_terminal(*flags(tmp_path, small_data))
    read_until(terminal, b"epoch 1/")
    os.close(terminal)
    assert status_of(pid) == 128 + signal.SIGHUP
    assert ", and saved; to go on: " in (tmp_path / "run/log.txt").read_text()
    assert run(*flags(tmp_path, small_data, "--resume")).returncode == 0
    assert_same(tmp_path / "run", whole(1))


@pytest.mark.parametrize("number", SAVING)
def test_signals_that_ask_to_leave_save(tmp_path, small_data, number):
    process = start(*flags(tmp_path, small_data))
    wait_for(process, tmp_path / "run/log.txt", "epoch 1/")
    process.send_signal(number)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (128 + number, "")
    assert f"-e run --save_dir {tmp_path} --resume" in out
    assert (tmp_path / "run/last.pt").exists()


def test_nohup_goes_on_being_heard():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in endings()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert {signal.SIGINT, signal.SIGTERM, *SAVING} <= set(endings())


@pytest.mark.parametrize(
    "line",
    [
        ["train.py", "-e", "x", "--dry-run", "--color_var", "0.02"],
        ["reproduce.py", "--dry-run"],
        ["train.py", "--help"],
    ],
    ids=" ".join,
)
def test_a_reader_that_leaves_is_no_error(line, tmp_path):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, *line], cwd=ROOT, env=PATIENT, stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("encoding", "sigma"), [("ascii", "sigma^2"), ("cp1252", "sigma²"), ("utf-8", "σ²")])
def test_what_cannot_be_shown_is_spelt_out(tmp_path, small_data, encoding, sigma):
    given = flags(tmp_path, small_data, "--max_step", 1)
    process = run(*given, encoding=encoding, PYTHONIOENCODING=encoding)
    assert process.returncode == 0, process.stderr
    assert f"{sigma} = 0.02" in process.stdout
    assert "σ² = 0.02" in (tmp_path / "run/log.txt").read_text("utf-8")


def test_a_stream_that_is_not_there_or_closed():
    for stream in (Shown(None), Shown(io.StringIO())):
        stream.write("before")
        stream.stream.close()
        assert stream.write("after") == 5
        stream.flush()
        assert not stream.isatty()
