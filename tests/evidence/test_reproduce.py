"""The grid at work: several workers, kills, failures, waiting, the plan, and the time left."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import reproduce
from common.errors import UserError
from dataset.released import ReleasedFile, released_name, write_released
from evidence import slurm
from evidence.grid import DIVERGED, Progress, make_grid, time_left
from models.shipped import cell_name
from run.folder import RunFolder
from tests.test_trainer import digits

ROOT = Path(__file__).resolve().parents[2]
COLOR_VAR = 0.1  # no baseline of it is shipped: the grid has to train one first
EPOCHS = 3
METHODS = ("--methods", "baseline", "lntl", "gray")  # of the real runs

# A worker that takes down every epoch that it finishes: name of the run, epoch, its process.
WORKER = """
import os, sys
import reproduce, trainer
end_epoch = trainer.Trainer.end_epoch

def audited(self):
    record = end_epoch(self)
    with open(os.environ["AUDIT"], "a") as file:
        file.write(f"{self.option.exp_name} {record['epoch']} {os.getpid()}\\n")
    return record

trainer.Trainer.end_epoch = audited
reproduce.WAIT = 0.2
sys.exit(reproduce.main())
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a small released file: 640 training and 64 test images."""
    folder = tmp_path_factory.mktemp("data")
    training, test = digits(640, seed=1), digits(64, seed=2)
    write_released(folder / released_name(COLOR_VAR), ReleasedFile(*training, *test, test[0].max(axis=3)))
    return folder


def flags(save_dir, data, *more):
    fixed = f"--color_vars {COLOR_VAR} --epochs {EPOCHS} --threads 1 --device cpu"
    return [*fixed.split(), "--save_dir", str(save_dir), "--data_dir", str(data), *map(str, more)]


def start(save_dir, data, *more):
    """Starts a worker of the grid in `save_dir`."""
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, *flags(save_dir, data, *more)],
        cwd=ROOT,
        env=os.environ | {"AUDIT": str(save_dir / "audit")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def grid(save_dir, data, *more):
    return make_grid(reproduce.parser().parse_args(flags(save_dir, data, *more)))


def audit(save_dir):
    """Every epoch that any worker computed, as (name, epoch)."""
    lines = (save_dir / "audit").read_text().splitlines() if (save_dir / "audit").exists() else []
    return [tuple(line.split()[:2]) for line in lines]


def result(cell):
    """What a cell produced: the tensors of final.pth, the log without the seconds, and the metrics."""
    content = torch.load(cell.path / "final.pth", weights_only=True)
    log = [json.loads(line) for line in (cell.path / "log.jsonl").read_text().splitlines()]
    metrics = json.loads((cell.path / "metrics.json").read_text())
    kept = {k: metrics[k] for k in ("accuracy", "correct", "n", "loss", "confusion")}
    return content["net_state_dict"], [{k: v for k, v in r.items() if k != "seconds"} for r in log], kept


def assert_same_results(cells, expected):
    for cell, other in zip(cells, expected, strict=True):
        (ours, *rest), (theirs, *others) = result(cell), result(other)
        assert rest == others, cell.name
        assert [r["epoch"] for r in rest[0]] == list(range(1, EPOCHS + 1))
        assert all(torch.equal(ours[k], theirs[k]) for k in theirs), cell.name


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """(save_dir, cells) of a grid that two workers ran, and that nobody disturbed."""
    save_dir = tmp_path_factory.mktemp("undisturbed")
    workers = [start(save_dir, data, *METHODS) for _ in range(2)]
    for worker in workers:
        _, error = worker.communicate(timeout=300)
        assert worker.returncode == 0, error
    return save_dir, grid(save_dir, data, *METHODS)


def test_two_workers_compute_every_epoch_once(undisturbed):
    save_dir, cells = undisturbed
    assert [c.option.method for c in cells] == ["baseline", "lntl", "gray"]
    assert sorted(audit(save_dir)) == sorted((c.name, str(e)) for c in cells for e in range(1, EPOCHS + 1))
    assert len({line.split()[2] for line in (save_dir / "audit").read_text().splitlines()}) == 2
    started_from = json.loads((cells[1].path / "options.json").read_text())["checkpoint"]
    assert started_from == str(cells[0].path / "final.pth")


def test_finished_grid_runs_nothing(undisturbed, data, monkeypatch, capsys):
    save_dir, cells = undisturbed
    monkeypatch.setattr(reproduce, "train", lambda option: pytest.fail("trained"))
    assert reproduce.work(cells) == 0
    assert reproduce.main([*flags(save_dir, data, *METHODS), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.count(": finished") == len(cells)
    assert f"{len(cells)} of {len(cells)} cells finished" in out
    assert "00:00" in out


def kill_at_random(save_dir, data, kills, rng):
    """Keeps two workers at the grid; kills one `kills` times, then lets them end. Returns the number of kills."""
    workers, killed = [start(save_dir, data, *METHODS) for _ in range(2)], 0
    deadline = time.monotonic() + 30 * kills + 300
    while any(worker.poll() is None for worker in workers) and time.monotonic() < deadline:
        time.sleep(rng.uniform(0.5, 8) if killed < kills else 0.2)
        index = rng.randrange(2)
        if killed < kills and workers[index].poll() is None:
            workers[index].kill()
            workers[index].communicate()
            killed += 1
            workers[index] = start(save_dir, data, *METHODS)
    for worker in workers:
        _, error = worker.communicate(timeout=300)
        assert worker.returncode == 0, error
    return killed


@pytest.mark.parametrize("kills", [2, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_workers_lose_and_repeat_nothing(tmp_path, data, undisturbed, kills):
    rng, killed, number = random.Random(kills), 0, 0
    while killed < kills:
        number += 1
        save_dir = tmp_path / str(number)
        save_dir.mkdir()
        here = kill_at_random(save_dir, data, kills - killed, rng)
        cells = grid(save_dir, data, *METHODS)
        assert_same_results(cells, undisturbed[1])
        computed = audit(save_dir)
        assert set(computed) == {(c.name, str(e)) for c in cells for e in range(1, EPOCHS + 1)}
        # A kill between an epoch's end and its checkpoint costs that epoch, never more.
        assert len(computed) <= len(cells) * EPOCHS + here
        killed += here


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_signal_stops_the_whole_worker(tmp_path, data, number):
    worker = start(tmp_path, data, "--methods", "gray", "--seeds", 1, 2)
    while worker.poll() is None and not audit(tmp_path):
        time.sleep(0.02)
    worker.send_signal(number)
    out, error = worker.communicate(timeout=30)
    assert worker.returncode == 128 + number, error
    assert "give the same command again" in out
    assert error == ""
    first, second = grid(tmp_path, data, "--methods", "gray", "--seeds", 1, 2)
    assert first.progress().epoch >= 1
    assert second.progress().state == "to do"


def test_signal_while_a_cell_is_evaluated_is_not_lost(tmp_path, data, monkeypatch):
    def finish_and_be_told_to_stop(option):
        signal.signal(signal.SIGTERM, lambda *_: None)  # as train.py does, whose training is over
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    monkeypatch.setattr(reproduce, "train", finish_and_be_told_to_stop)
    before = signal.getsignal(signal.SIGTERM)
    assert reproduce.work(grid(tmp_path, data, "--methods", "gray")) == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


class Trainings:
    """Stands in for train.train: takes down the names, and finishes, fails or does something else on the way."""

    def __init__(self, monkeypatch, **on_the_way):
        """on_the_way: what to call before a run of that method is finished."""
        self.names, self.on_the_way = [], on_the_way
        monkeypatch.setattr(reproduce, "train", self)
        monkeypatch.setattr(reproduce, "WAIT", 0)

    def __call__(self, option):
        self.names.append(option.exp_name)
        folder = Path(option.save_dir, option.exp_name)
        folder.mkdir(exist_ok=True, parents=True)
        self.on_the_way.get(option.method, lambda: None)()
        (folder / "options.json").write_text(json.dumps(vars(option)))
        records = [{"epoch": e + 1, "seconds": 2} for e in range(option.max_step)]
        (folder / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
        (folder / "final.pth").touch()
        (folder / "metrics.json").touch()
        return 0


def diverge():
    raise UserError("training diverged in epoch 1")


def test_a_failed_cell_is_reported_and_the_rest_goes_on(tmp_path, data, monkeypatch, capsys):
    trainings = Trainings(monkeypatch, lntl=diverge)
    cells = grid(tmp_path, data)
    assert reproduce.work(cells) == 1
    assert trainings.names == [c.name for c in cells]
    assert capsys.readouterr().err == f"failed: {cells[1].name}: training diverged in epoch 1\n"


def test_a_fault_of_the_program_costs_one_cell(tmp_path, data, monkeypatch, capsys):
    def fault():
        raise ZeroDivisionError("division by zero")

    trainings = Trainings(monkeypatch, lntl=fault)
    cells = grid(tmp_path, data)
    assert reproduce.work(cells) == 1
    assert trainings.names == [c.name for c in cells]
    errors = capsys.readouterr().err
    assert "Traceback" in errors
    assert errors.endswith(f"failed: {cells[1].name}: ZeroDivisionError: division by zero\n")


def test_what_fails_of_the_machine_ends_the_worker(tmp_path, data, monkeypatch):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    trainings = Trainings(monkeypatch, baseline=full)
    cells = grid(tmp_path, data)
    with pytest.raises(OSError, match="No space left"):
        reproduce.work(cells)
    assert trainings.names == [cells[0].name]


def test_a_diverged_cell_is_not_trained_again(tmp_path, data, monkeypatch, capsys):
    trainings = Trainings(monkeypatch)
    cells = grid(tmp_path, data)
    cells[1].path.mkdir(parents=True)
    (cells[1].path / "diverged.json").write_text('{"epoch": 2}')
    assert reproduce.work(cells) == 1
    assert trainings.names == [c.name for c in cells if c is not cells[1]]
    assert f"to try it again, delete {cells[1].path}" in capsys.readouterr().err


def test_a_failed_baseline_fails_what_needs_it(tmp_path, data, monkeypatch, capsys):
    trainings = Trainings(monkeypatch, baseline=diverge)
    cells = grid(tmp_path, data)
    assert reproduce.work(cells) == 1
    assert trainings.names == [cells[0].name, cells[3].name]  # gray needs none
    assert capsys.readouterr().err.count("its baseline_var0.100_seed1 failed") == 2


def test_busy_cells_are_looked_at_again(tmp_path, data, monkeypatch, capsys):
    held = RunFolder(tmp_path, cell_name("baseline", COLOR_VAR, 1))
    cells = grid(tmp_path, data)
    trainings = Trainings(monkeypatch, gray=held.lock.close)  # the other worker dies meanwhile
    assert cells[0].busy()
    assert reproduce.work(cells) == 0
    baseline, lntl, blindeye, gray = (c.name for c in cells)
    assert trainings.names == [gray, baseline, lntl, blindeye]
    assert "with 2 at work" in capsys.readouterr().out


def test_waits_for_a_baseline_that_another_worker_has(tmp_path, data, monkeypatch, capsys):
    held = RunFolder(tmp_path, cell_name("baseline", COLOR_VAR, 1))
    trainings = Trainings(monkeypatch)
    sleeps = []

    def other_worker_finishes(seconds):
        sleeps.append(seconds)
        if len(sleeps) == 3:
            trainings(grid(tmp_path, data)[0].option)
            trainings.names.clear()
            held.lock.close()

    monkeypatch.setattr(time, "sleep", other_worker_finishes)
    assert reproduce.work(grid(tmp_path, data, "--methods", "lntl")) == 0
    assert trainings.names == ["lntl_var0.100_seed1"]
    assert len(sleeps) == 3
    assert capsys.readouterr().out.count("waiting") == 1


def test_another_schedule_is_not_mixed_in(tmp_path, data, monkeypatch, capsys):
    trainings = Trainings(monkeypatch)
    assert reproduce.work(grid(tmp_path, data, "--methods", "gray")) == 0
    assert reproduce.work(grid(tmp_path, data, "--methods", "gray", "--epochs", EPOCHS + 1)) == 1
    assert len(trainings.names) == 1
    assert "was begun with --lr_decay_period 1, not 2" in capsys.readouterr().err


def test_plan_shows_every_state_and_trains_nothing(tmp_path, data, monkeypatch, capsys):
    cells = grid(tmp_path, data)
    trainings = Trainings(monkeypatch)
    trainings(cells[0].option)
    trainings(cells[1].option)
    log = cells[1].path / "log.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:2]))
    held = RunFolder(tmp_path, cells[2].name)
    assert reproduce.main([*flags(tmp_path, data), "--dry-run"]) == 0
    *lines, total = capsys.readouterr().out.splitlines()
    states = [line.rsplit(": ", 1)[1] for line in lines]
    assert states == ["finished", "begun at epoch 2", "running elsewhere, at epoch 0", "to do"]
    # 1 + 3 + 3 epochs of 2 s each
    assert total == "1 of 4 cells finished; time left with 1 at work: 00:14"
    assert len(trainings.names) == 2
    held.lock.close()
    assert not cells[3].path.exists()


def test_time_left_is_by_method(tmp_path, data):
    cells = grid(tmp_path, data)
    done, todo = Progress("finished", EPOCHS, 10.0), Progress("to do", 0, None)
    progress = {c.name: todo for c in cells}
    assert time_left(cells, progress) is None
    progress[cells[0].name] = done
    progress[cells[1].name] = Progress("begun", 1, 40.0)
    # lntl: 2 epochs of 40 s; gray and blindeye, not measured: 3 epochs of the mean, 25 s
    assert time_left(cells, progress) == 2 * 40 + 6 * 25
    progress[cells[1].name] = Progress(DIVERGED, 1, 40.0)
    assert time_left(cells, progress) == 6 * 25


def test_submitted_workers_run_the_grid(tmp_path, data):
    pytest.importorskip("submitit", reason="submitit is not installed (requirements/slurm.txt)")
    more = ["--methods", "gray", "--slurm", "gpu", "--workers", "2", "--seeds", "1", "2"]
    option = reproduce.parser().parse_args(flags(tmp_path, data, *more))
    jobs = slurm.submit(option, cluster="local")
    assert len(jobs) == 2
    for job in jobs:
        assert "2 of 2 cells finished" in job.result()
    cells = grid(tmp_path, data, *more)
    assert all(cell.finished() for cell in cells)
    shutil.rmtree(tmp_path / "slurm")
