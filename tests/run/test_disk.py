"""Full disks and read-only folders, real ones: small file systems that are mounted for the test."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import train
from common.errors import exits
from dataset import colored_mnist
from tests.processes import assert_same, flags, run
from tests.test_options import refused

PAGE = 4096  # what a file takes of a tmpfs at least


@pytest.fixture
def mount(tmp_path):
    """A function of the arguments of `mount`, at the end of which the mount point comes: the mounted folder.

    It is mounted in a name space of its own, so root or not, nobody else sees it, and it goes with the test.
    """
    holders = []

    def mounted(*arguments):
        folder = tmp_path / f"mounted{len(holders)}"
        folder.mkdir()
        script = 'for how in "$@"; do mount $how || exit; done; echo mounted; read _'
        line = ["unshare", "-rm", "sh", "-c", script, "sh", *(f"{a} {folder}" for a in arguments)]
        try:
            holder = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        except FileNotFoundError:
            pytest.skip("unshare is not installed")
        holders.append(holder)
        if holder.stdout.readline() != b"mounted\n":
            pytest.skip("this system lets nobody mount a file system of his own")
        return Path(f"/proc/{holder.pid}/root{folder}")

    yield mounted
    for holder in holders:
        holder.communicate(b"\n")


def fill(folder, pages):
    """Writes a file that leaves `pages` pages free in the file system of `folder`."""
    status = os.statvfs(folder)
    (folder / "ballast").write_bytes(bytes(max(0, status.f_bavail - pages) * status.f_frsize))


def assert_full(capsys, main, *arguments):
    assert "No space left on device" in refused(capsys, main, *arguments)


@pytest.mark.parametrize(
    ("pages", "there"),
    [
        (0, {"ballast"}),  # not even the options
        (5, {"options.json", "environment.json", "log.txt", "log.jsonl"}),  # no room for the first checkpoint
    ],
)
def test_disk_full_at_the_first_writes(mount, small_data, whole, capsys, pages, there):
    disk = mount("-t tmpfs -o size=16m none")
    fill(disk, pages)
    given = flags(disk, small_data, "--continue")
    assert_full(capsys, train, *given)
    left = {p.name for p in (disk / "run").glob("*")} | {"ballast"}
    assert there <= left
    assert not left & {"last.pt", "previous.pt", "final.pth"}
    if pages:
        (disk / "ballast").unlink()
        assert train.main(given) == 0
        assert_same(disk / "run", whole(1))


def test_disk_full_at_the_evaluation(mount, small_data, whole, capsys, monkeypatch):
    disk = mount("-t tmpfs -o size=16m none")
    report = train.report

    def full(*arguments, **how):
        fill(disk, 0)
        report(*arguments, **how)

    monkeypatch.setattr(train, "report", full)
    assert_full(capsys, train, *flags(disk, small_data))
    monkeypatch.undo()
    left = {p.name for p in (disk / "run").glob("*")}
    assert "final.pth" in left
    assert not left & {"metrics.json", "confusion_matrix.png"}
    (disk / "ballast").unlink()
    assert train.main(flags(disk, small_data, "--continue")) == 0
    assert_same(disk / "run", whole(1))


@pytest.mark.slow
def test_disk_full_at_any_write(mount, small_data, whole, capsys):
    """Every twentieth of the room that a run takes: it stops in one line, and goes on once there is room."""
    used = sum(PAGE + p.stat().st_size for p in whole(1).iterdir())
    stopped = 0
    for part in range(20):
        disk = mount("-t tmpfs -o size=16m none")
        fill(disk, part * used // 20 // PAGE)
        given = flags(disk, small_data, "--continue")
        first = run(*given)
        if first.returncode != 0:
            stopped += 1
            assert (first.returncode, first.stderr.count("\n")) == (2, 1)
            assert "No space left on device" in first.stderr
            (disk / "ballast").unlink()
            second = run(*given)
            assert second.returncode == 0, second.stderr
        assert_same(disk / "run", whole(1))
    with capsys.disabled():
        print(f"\ndisk full at {stopped} of 20 places")
    assert stopped >= 15


def test_disk_full_while_data_is_written(mount, capsys):
    disk = mount("-t tmpfs -o size=8m none")
    with pytest.raises(SystemExit) as stop:
        exits(colored_mnist.main)(["--color_var", "0.02", "--out", str(disk / "data")])
    error = capsys.readouterr().err
    assert (stop.value.code, error.count("\n")) == (2, 1)
    assert "No space left on device" in error
    assert list((disk / "data").iterdir()) == []


@pytest.mark.parametrize("begun", [True, False])
def test_read_only_folder(mount, tmp_path, small_data, whole, capsys, begun):
    (tmp_path / "source").mkdir()
    if begun:
        shutil.copytree(whole(1), tmp_path / "source" / "run")
    disk = mount(f"--bind {tmp_path / 'source'}", "-o remount,bind,ro")
    line = refused(capsys, train, *flags(disk, small_data, "--continue"))
    assert "Read-only file system" in line
    assert "--save_dir" in line
