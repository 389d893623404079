"""The grid at work: several workers, kills, failures, waiting, the plan, the time left, and jobs on SLURM."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import reproduce
from common.errors import UserError
from models.shipped import cell_name
from report import grid, records
from run.folder import RunFolder
from tests.processes import write_small

COLOR_VAR = 0.1  # no baseline of it is shipped: the grid has to train one first
EPOCHS = 3
METHODS = ("--methods", "baseline", "lntl", "gray")  # of the real runs

# A worker that takes down every epoch that it finishes: name of the run, epoch, its process.
WORKER = """
import os, sys
import reproduce, trainer
from report import grid
end_epoch = trainer.Trainer.end_epoch

def audited(self):
    record = end_epoch(self)
    with open(os.environ["AUDIT"], "a") as file:
        file.write(f"{self.option.exp_name} {record['epoch']} {os.getpid()}\\n")
    return record

trainer.Trainer.end_epoch = audited
grid.WAIT = 0.2
sys.exit(reproduce.main())
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("data"), COLOR_VAR, train=256)


def flags(save_dir, data, *more):
    fixed = f"--color_vars {COLOR_VAR} --epochs {EPOCHS} --threads 1 --device cpu"
    return [*fixed.split(), "--save_dir", str(save_dir), "--data_dir", str(data), *map(str, more)]


def start(save_dir, data, *more):
    """Starts a worker of the grid in `save_dir`."""
    line, environment = (
        [sys.executable, "-c", WORKER, *flags(save_dir, data, *more)],
        {"AUDIT": str(save_dir / "audit")},
    )
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(line, cwd=records.ROOT, env=os.environ | environment, **how)


def make(save_dir, data, *more):
    return grid.make_grid(reproduce.parser().parse_args(flags(save_dir, data, *more)))


def audit(save_dir):
    """Every epoch that any worker computed, as (name, epoch, process)."""
    path = save_dir / "audit"
    return [tuple(line.split()) for line in path.read_text().splitlines()] if path.exists() else []


def result(cell):
    """What a cell produced: the tensors of final.pth, the log without the seconds, and figures."""
    content = torch.load(cell.path / "final.pth", weights_only=True)
    log = [json.loads(line) for line in (cell.path / "log.jsonl").read_text().splitlines()]
    metrics = json.loads((cell.path / "metrics.json").read_text())
    return content["net_state_dict"], [r | {"seconds": 0} for r in log], [metrics[k] for k in ("loss", "confusion")]


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """(save_dir, cells) of a grid that two workers ran, and that nobody disturbed."""
    save_dir = tmp_path_factory.mktemp("undisturbed")
    workers = [start(save_dir, data, *METHODS) for _ in range(2)]
    for worker in workers:
        _, error = worker.communicate(timeout=300)
        assert worker.returncode == 0, error
    return save_dir, make(save_dir, data, *METHODS)


def test_two_workers_compute_every_epoch_once(undisturbed):
    save_dir, cells = undisturbed
    assert [c.option.method for c in cells] == ["baseline", "lntl", "gray"]
    assert sorted(a[:2] for a in audit(save_dir)) == sorted((c.name, str(e + 1)) for c in cells for e in range(EPOCHS))
    assert len({process for *_, process in audit(save_dir)}) == 2
    begun = json.loads((cells[1].path / "options.json").read_text())["checkpoint"]
    assert Path(begun).resolve() == cells[0].path / "final.pth"


def test_a_finished_grid_runs_nothing(undisturbed, data, monkeypatch, capsys):
    save_dir, cells = undisturbed
    assert grid.work(cells, lambda option: pytest.fail("trained")) == 0
    assert reproduce.main([*flags(save_dir, data, *METHODS), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.count(": finished") == len(cells)
    assert f"{len(cells)} of {len(cells)} cells finished" in out


def test_a_killed_worker_loses_and_repeats_nothing(tmp_path, data, undisturbed):
    rng, killed = random.Random(2), 0
    workers = [start(tmp_path, data, *METHODS) for _ in range(2)]
    while any(worker.poll() is None for worker in workers):
        time.sleep(rng.uniform(3, 8) if killed < 1 else 0.2)
        if killed < 1 and workers[0].poll() is None:
            workers[0].kill()
            workers[0].communicate()
            killed += 1
            workers = [workers[1], start(tmp_path, data, *METHODS)]
    for worker in workers:
        _, error = worker.communicate(timeout=300)
        assert worker.returncode == 0, error
    cells = make(tmp_path, data, *METHODS)
    for cell, other in zip(cells, undisturbed[1], strict=True):
        (ours, *rest), (theirs, *others) = result(cell), result(other)
        assert rest == others, cell.name
        assert all(torch.equal(ours[k], theirs[k]) for k in theirs), cell.name
    # A kill between an epoch's end and its checkpoint costs that epoch, never more.
    assert len(audit(tmp_path)) <= len(cells) * EPOCHS + killed


def test_a_signal_stops_the_whole_worker(tmp_path, data):
    worker = start(tmp_path, data, "--methods", "gray", "--seeds", 1, 2)
    while worker.poll() is None and not audit(tmp_path):
        time.sleep(0.02)
    worker.send_signal(signal.SIGTERM)
    out, error = worker.communicate(timeout=60)
    assert worker.returncode == 128 + signal.SIGTERM, error
    assert "give the same command again" in out
    first, second = make(tmp_path, data, "--methods", "gray", "--seeds", 1, 2)
    assert first.progress().epoch >= 1
    assert second.progress().state == "to do"


class Trainings:
    """Stands in for train.train: takes down the names, and finishes, fails or does something else on the way."""

    def __init__(self, monkeypatch, **on_the_way):
        """on_the_way: what to call before a run of that method is finished."""
        self.names, self.on_the_way = [], on_the_way
        monkeypatch.setattr(grid, "WAIT", 0)

    def __call__(self, option):
        self.names.append(option.exp_name)
        folder = Path(option.save_dir, option.exp_name)
        folder.mkdir(exist_ok=True, parents=True)
        self.on_the_way.get(option.method, lambda: None)()
        (folder / "options.json").write_text(json.dumps(vars(option)))
        log = [{"epoch": e + 1, "seconds": 2} for e in range(option.max_step)]
        (folder / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in log))
        (folder / "final.pth").touch()
        (folder / "metrics.json").touch()
        return 0


def diverge():
    raise UserError("training diverged in epoch 1")


def test_a_failed_cell_is_reported_and_the_rest_goes_on(tmp_path, data, monkeypatch, capsys):
    trainings, cells = Trainings(monkeypatch, lntl=diverge), make(tmp_path, data)
    assert grid.work(cells, trainings) == 1
    assert trainings.names == [c.name for c in cells]
    assert capsys.readouterr().err == f"failed: {cells[1].name}: training diverged in epoch 1\n"


def test_a_diverged_cell_is_not_trained_again(tmp_path, data, monkeypatch, capsys):
    trainings, cells = Trainings(monkeypatch), make(tmp_path, data)
    cells[1].path.mkdir(parents=True)
    (cells[1].path / "diverged.json").write_text('{"epoch": 2}')
    assert grid.work(cells, trainings) == 1
    assert trainings.names == [c.name for c in cells if c is not cells[1]]
    assert f"to try it again, delete {cells[1].path}" in capsys.readouterr().err


def test_a_failed_baseline_fails_what_needs_it(tmp_path, data, monkeypatch, capsys):
    trainings, cells = Trainings(monkeypatch, baseline=diverge), make(tmp_path, data)
    assert grid.work(cells, trainings) == 1
    assert trainings.names == [cells[0].name, cells[3].name]  # gray needs none
    assert capsys.readouterr().err.count("its baseline_var0.100_seed1 failed") == 2


def test_busy_cells_are_looked_at_again(tmp_path, data, monkeypatch, capsys):
    held, cells = RunFolder(tmp_path, cell_name("baseline", COLOR_VAR, 1)), make(tmp_path, data)
    trainings = Trainings(monkeypatch, gray=held.lock.close)  # the other worker dies meanwhile
    assert cells[0].busy()
    assert grid.work(cells, trainings) == 0
    baseline, lntl, blindeye, gray = (c.name for c in cells)
    assert trainings.names == [gray, baseline, lntl, blindeye]
    assert "with 2 at work" in capsys.readouterr().out


def test_waits_for_a_baseline_that_another_worker_has(tmp_path, data, monkeypatch, capsys):
    held, trainings = RunFolder(tmp_path, cell_name("baseline", COLOR_VAR, 1)), Trainings(monkeypatch)
    sleeps = []

    def other_worker_finishes(seconds):
        sleeps.append(seconds)
        if len(sleeps) == 3:
            trainings(make(tmp_path, data)[0].option)
            trainings.names.clear()
            held.lock.close()

    monkeypatch.setattr(time, "sleep", other_worker_finishes)
    assert grid.work(make(tmp_path, data, "--methods", "lntl"), trainings) == 0
    assert trainings.names == ["lntl_var0.100_seed1"]
    assert capsys.readouterr().out.count("waiting") == 1


def test_another_schedule_is_not_mixed_in(tmp_path, data, monkeypatch, capsys):
    trainings = Trainings(monkeypatch)
    assert grid.work(make(tmp_path, data, "--methods", "gray"), trainings) == 0
    assert grid.work(make(tmp_path, data, "--methods", "gray", "--epochs", EPOCHS + 1), trainings) == 1
    assert len(trainings.names) == 1
    assert "was begun with --lr_decay_period 1, not 2" in capsys.readouterr().err


def test_the_plan_shows_every_state_and_trains_nothing(tmp_path, data, monkeypatch, capsys):
    cells, trainings = make(tmp_path, data), Trainings(monkeypatch)
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
    held.lock.close()
    assert not cells[3].path.exists()


def test_time_left_is_by_method(tmp_path, data):
    cells = make(tmp_path, data)
    progress = {c.name: grid.Progress("to do", 0, None) for c in cells}
    assert grid.time_left(cells, progress) is None
    progress[cells[0].name] = grid.Progress("finished", EPOCHS, 10.0)
    progress[cells[1].name] = grid.Progress("begun", 1, 40.0)
    # lntl: 2 epochs of 40 s; gray and blindeye, not measured: 3 epochs of the mean, 25 s
    assert grid.time_left(cells, progress) == 2 * 40 + 6 * 25
    progress[cells[1].name] = grid.Progress(grid.DIVERGED, 1, 40.0)
    assert grid.time_left(cells, progress) == 6 * 25


def test_submitted_workers_run_the_grid(tmp_path, data):
    pytest.importorskip("submitit", reason="submitit is not installed (requirements/slurm.txt)")
    more = ["--methods", "gray", "--slurm", "gpu", "--workers", "2", "--seeds", "1", "2"]
    option = reproduce.parser().parse_args(flags(tmp_path, data, *more))
    jobs = grid.submit(option, reproduce.HERE, cluster="local")
    assert len(jobs) == 2
    for job in jobs:
        assert "2 of 2 cells finished" in job.result()
    assert all(cell.finished() for cell in make(tmp_path, data, *more))
