"""The grid at work, with functions in place of the training: two workers, failures, waiting, the plan, SLURM."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

import reproduce
from common.errors import UserError
from report import grid
from run.folder import RunFolder
from tests.processes import refused

FLAGS = "--color_vars 0.1 --schedule cpu --threads 1 --device cpu --save_dir"  # no baseline of 0.1 is shipped


def make(save_dir, *more):
    return grid.make_grid(reproduce.parser().parse_args([*FLAGS.split(), str(save_dir), *map(str, more)]))


class Trainings:
    """Stands in for train.train: takes down the names, and finishes, fails or does something else on the way."""

    def __init__(self, monkeypatch, **on_the_way):
        """on_the_way: what to call before a run of that method is finished."""
        self.names, self.on_the_way = [], on_the_way
        monkeypatch.setattr(grid, "WAIT", 0.01)

    def __call__(self, option):
        with RunFolder(option.save_dir, option.exp_name) as folder:
            self.names.append(option.exp_name)
            self.on_the_way.get(option.method, lambda: None)()
            folder.write_options(option.record())
            for epoch in range(option.max_step):
                folder.record({"epoch": epoch + 1, "seconds": 2})
            (folder / "final.pth").touch()
            (folder / "metrics.json").touch()
        return 0


def diverge():
    raise UserError("training diverged in epoch 1")


def test_two_workers_run_every_cell_once(tmp_path, monkeypatch):
    trainings = Trainings(monkeypatch, lntl=lambda: time.sleep(0.1), gray=lambda: time.sleep(0.1))
    cells, status = make(tmp_path), []
    workers = [threading.Thread(target=lambda: status.append(grid.work(cells, trainings))) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert status == [0, 0]
    assert sorted(trainings.names) == sorted(cell.name for cell in cells)
    assert trainings.names.index("baseline_var0.100_seed1") < trainings.names.index("lntl_var0.100_seed1")
    begun = json.loads((tmp_path / "lntl_var0.100_seed1/options.json").read_text())["checkpoint"]
    assert Path(begun).resolve() == tmp_path / "baseline_var0.100_seed1/final.pth"
    assert grid.work(cells, lambda option: pytest.fail("trained twice")) == 0


def test_a_signal_stops_the_whole_worker(tmp_path):
    assert grid.work(make(tmp_path), lambda option: 143) == 143


def test_a_failed_baseline_fails_what_needs_it_and_the_rest_goes_on(tmp_path, monkeypatch, capsys):
    trainings = Trainings(monkeypatch, baseline=diverge)
    assert grid.work(make(tmp_path), trainings) == 1
    assert trainings.names == ["baseline_var0.100_seed1", "gray_var0.100_seed1"]
    error = capsys.readouterr().err
    assert "failed: baseline_var0.100_seed1: training diverged in epoch 1\n" in error
    assert error.count("baseline_var0.100_seed1/final.pth is missing") == 2


def test_a_diverged_cell_is_not_trained_again(tmp_path, capsys):
    (cell,) = make(tmp_path, "--methods", "gray")
    cell.path.mkdir()
    (cell.path / "diverged.json").write_text('{"epoch": 2}')
    assert grid.work([cell], lambda option: pytest.fail("trained")) == 1
    assert f"{cell.path} diverged; choose another --save_dir, or delete it" in capsys.readouterr().err


def test_waits_for_a_baseline_that_another_worker_has(tmp_path, monkeypatch, capsys):
    trainings, held = Trainings(monkeypatch), RunFolder(tmp_path, "baseline_var0.100_seed1")
    monkeypatch.setattr(time, "sleep", lambda seconds: held.lock.close())
    assert grid.work(make(tmp_path, "--methods", "lntl"), trainings) == 0
    assert trainings.names == ["baseline_var0.100_seed1", "lntl_var0.100_seed1"]
    assert "waiting" in capsys.readouterr().out


def test_the_plan_shows_every_state_and_trains_nothing(tmp_path, monkeypatch, capsys):
    cells, trainings = make(tmp_path), Trainings(monkeypatch)
    by_method = {cell.option.method: cell for cell in cells}
    for method in ("baseline", "lntl"):
        trainings(by_method[method].option)
    log = by_method["lntl"].path / "log.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:2]))
    with RunFolder(tmp_path, by_method["gray"].name):
        assert reproduce.main([*FLAGS.split(), str(tmp_path), "--dry-run"]) == 0
    *lines, total = capsys.readouterr().out.splitlines()
    states = {line.partition("_")[0]: line.rpartition(": ")[2] for line in lines}
    assert states == {"baseline": "finished", "lntl": "begun", "gray": "to do, at work", "blindeye": "to do"}
    assert total == "1 of 4 cells finished; time left for one worker: 02:36"  # 18 + 40 + 20 epochs of 2 s
    assert not by_method["blindeye"].path.exists()


def test_submitted_workers_run_the_grid(tmp_path, monkeypatch, capsys):
    """By an sbatch that runs the job at once, and here finds the grid finished."""
    sbatch = tmp_path / "bin/sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text('#!/bin/sh\necho 7\nfor word; do line=$word; done\nsh -c "${line#--wrap=}" >"$0.log" 2>&1\n')
    sbatch.chmod(0o755)
    flags = [*FLAGS.split(), str(tmp_path / "it's here"), *["--methods", "gray"]]
    assert grid.work(grid.make_grid(reproduce.parser().parse_args(flags)), Trainings(monkeypatch)) == 0
    monkeypatch.setenv("PATH", f"{sbatch.parent}:{os.environ['PATH']}")
    assert reproduce.main([*flags, "--slurm", "gpu"]) == 0
    assert "submitted: job 7;" in capsys.readouterr().out
    assert "1 of 1 cells finished" in sbatch.with_name("sbatch.log").read_text()
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: no partition gpu' >&2\nexit 1\n")
    assert "no job (sbatch: error: no partition gpu); it" in refused(capsys, reproduce, *flags, "--slurm", "gpu")
