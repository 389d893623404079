"""The grid: several workers, kills, failures, waiting, the plan, and the time left."""

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

import option as options
import records
import reproduce
import slurm
import train
from dataset.released import ReleasedFile, released_name, write_released
from errors import UserError
from run_folder import RunFolder
from tests.test_options import refused
from tests.test_trainer import digits

ROOT = Path(__file__).resolve().parents[1]
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
    return reproduce.make_grid(reproduce.parser().parse_args(flags(save_dir, data, *more)))


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
    monkeypatch.setattr(train, "train", lambda option: pytest.fail("trained"))
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

    monkeypatch.setattr(train, "train", finish_and_be_told_to_stop)
    before = signal.getsignal(signal.SIGTERM)
    assert reproduce.work(grid(tmp_path, data, "--methods", "gray")) == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


class Trainings:
    """Stands in for train.train: takes down the names, and finishes, fails or does something else on the way."""

    def __init__(self, monkeypatch, **on_the_way):
        """on_the_way: what to call before a run of that method is finished."""
        self.names, self.on_the_way = [], on_the_way
        monkeypatch.setattr(train, "train", self)
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


def test_a_failed_baseline_fails_what_needs_it(tmp_path, data, monkeypatch, capsys):
    trainings = Trainings(monkeypatch, baseline=diverge)
    cells = grid(tmp_path, data)
    assert reproduce.work(cells) == 1
    assert trainings.names == [cells[0].name, cells[2].name]
    assert capsys.readouterr().err.count("its baseline_var0.100_seed1 failed") == 2


def test_busy_cells_are_looked_at_again(tmp_path, data, monkeypatch, capsys):
    held = RunFolder(tmp_path, records.cell_name("baseline", COLOR_VAR, 1))
    cells = grid(tmp_path, data)
    trainings = Trainings(monkeypatch, gray=held.lock.close)  # the other worker dies meanwhile
    assert cells[0].busy()
    assert reproduce.work(cells) == 0
    gray, baseline, lntl, blindeye = (cells[i].name for i in (2, 0, 1, 3))
    assert trainings.names == [gray, baseline, lntl, blindeye]
    assert "with 2 at work" in capsys.readouterr().out


def test_waits_for_a_baseline_that_another_worker_has(tmp_path, data, monkeypatch, capsys):
    held = RunFolder(tmp_path, records.cell_name("baseline", COLOR_VAR, 1))
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


def test_every_seed_starts_from_its_own_baseline(tmp_path):
    """Which is trained where it is asked for or not shipped."""

    def starts(*arguments):
        arguments = ["--color_vars", "0.02", "--device", "cpu", "--save_dir", str(tmp_path), *arguments]
        cells = reproduce.make_grid(reproduce.parser().parse_args(arguments))
        return {c.name: (c.start, c.baseline and c.baseline.name) for c in cells}

    first, second, fifth = (f"baseline_var0.020_seed{seed}" for seed in (1, 2, 5))
    assert records.weights_of(first) == ROOT / "checkpoints" / "baseline_var0.020.pth"
    assert records.weights_of(first).exists()
    assert records.weights_of(second).exists()
    assert not records.weights_of(fifth).exists()
    assert starts("--methods", "lntl", "blindeye", "--seeds", "1", "2", "5") == {
        "lntl_var0.020_seed1": (first, None),
        "blindeye_var0.020_seed1": (first, None),
        "lntl_var0.020_seed2": (second, None),
        "blindeye_var0.020_seed2": (second, None),
        fifth: (None, None),
        "lntl_var0.020_seed5": (fifth, fifth),
        "blindeye_var0.020_seed5": (fifth, fifth),
    }
    asked = starts("--methods", "baseline", "lntl", "lntl_plus")
    assert asked["lntl_var0.020_seed1"] == (first, first)
    assert asked["lntl_plus_var0.020_seed1"] == (None, None)
    (tmp_path / first).mkdir()
    (tmp_path / first / "final.pth").touch()
    assert starts("--methods", "lntl")["lntl_var0.020_seed1"] == (first, first)


def test_a_start_is_its_own_weights_else_the_shipped_ones(monkeypatch, tmp_path):
    taken = []
    monkeypatch.setattr(train, "train", lambda option: taken.append(Path(option.checkpoint).resolve()))
    arguments = f"--methods lntl --color_vars 0.02 --seeds 2 5 --device cpu --save_dir {tmp_path}".split()
    second, fifth_start, fifth = reproduce.make_grid(reproduce.parser().parse_args(arguments))
    second.run()
    with pytest.raises(UserError, match=r"baseline_var0\.020_seed5/final\.pth is missing"):
        fifth.run()
    fifth_start.path.mkdir()
    (fifth_start.path / "final.pth").touch()
    fifth.run()
    assert taken == [records.weights_of("baseline_var0.020_seed2"), fifth_start.path / "final.pth"]


def test_the_whole_grid_without_repetition():
    def names(*arguments):
        return [c.name for c in reproduce.make_grid(reproduce.parser().parse_args([*arguments, "--device", "cpu"]))]

    assert len(names()) == len(set(names())) == 28
    assert len(set(names("--seeds", "2", "3"))) == len(names("--seeds", "2", "3")) == 56


def test_schedules(tmp_path):
    def schedule(*arguments):
        cells = reproduce.make_grid(reproduce.parser().parse_args([*arguments, "--color_vars", "0.02"]))
        seeds = {c.option.random_seed for c in cells}
        return {c.option.method: (c.option.max_step, c.option.lr_decay_period, c.option.lr) for c in cells}, seeds

    expected = {"baseline": (100, 40, 0.01), "gray": (40, 16, 0.01), "lntl": (20, 40, 1e-3), "blindeye": (20, 40, 1e-3)}
    assert schedule("--device", "cpu") == (expected, {1})
    official, seeds = schedule("--device", "cuda")
    assert {s[:2] for s in official.values()} == {(100, 40)}
    assert seeds == {1, 2, 3}
    assert {s[:2] for s in schedule("--epochs", "30")[0].values()} == {(30, 12)}


def test_options_equal_those_of_the_train_command(tmp_path, data):
    by_hand = "-e gray_var0.020_seed1 --method gray --color_var 0.02 --random_seed 1 --max_step 40 --lr_decay_period 16"
    by_hand = options.resolve_training(options.train_parser().parse_args(by_hand.split()))
    flags = ["--device", "cpu", "--methods", "gray", "--color_vars", "0.02"]
    (cell,) = reproduce.make_grid(reproduce.parser().parse_args(flags))
    differ = {k for k, v in vars(by_hand).items() if getattr(cell.option, k) != v}
    assert differ == {"resume", "device"}


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
    done, todo = reproduce.Progress("finished", EPOCHS, 10.0), reproduce.Progress("to do", 0, None)
    progress = {c.name: todo for c in cells}
    assert reproduce.time_left(cells, progress) is None
    progress[cells[0].name] = done
    progress[cells[1].name] = reproduce.Progress("begun", 1, 40.0)
    # lntl: 2 epochs of 40 s; gray and blindeye, not measured: 3 epochs of the mean, 25 s
    assert reproduce.time_left(cells, progress) == 2 * 40 + 6 * 25


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--methods", "lnl"], "--methods"),
        (["--color_vars", "0.021"], "0.021"),
        (["--color_vars", "red"], "--color_vars"),
        (["--seeds", "-1"], "--seeds"),
        (["--epochs", "0"], "--epochs"),
        (["--data_dir", "nowhere"], "nowhere"),
        (["--workers", "2"], "--slurm"),
        (["--slurm", "gpu"], "no SLURM here"),
    ],
)
def test_wrong_flags_are_one_line(capsys, tmp_path, monkeypatch, arguments, what):
    if "--slurm" in arguments:
        pytest.importorskip("submitit", reason="submitit is not installed (requirements-slurm.txt)")
        monkeypatch.setenv("PATH", "")
    assert what in refused(capsys, reproduce, "--save_dir", tmp_path, *arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_one_line(capsys, tmp_path):
    assert "no GPU" in refused(capsys, reproduce, "--save_dir", tmp_path, "--device", "cuda")


def test_slurm_without_submitit_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert "requirements-slurm.txt" in refused(capsys, reproduce, "--save_dir", tmp_path, "--slurm", "gpu")


def test_submitted_workers_run_the_grid(tmp_path, data):
    pytest.importorskip("submitit", reason="submitit is not installed (requirements-slurm.txt)")
    more = ["--methods", "gray", "--slurm", "gpu", "--workers", "2", "--seeds", "1", "2"]
    option = reproduce.parser().parse_args(flags(tmp_path, data, *more))
    jobs = slurm.submit(option, cluster="local")
    assert len(jobs) == 2
    for job in jobs:
        assert "2 of 2 cells finished" in job.result()
    cells = grid(tmp_path, data, *more)
    assert all(cell.finished() for cell in cells)
    shutil.rmtree(tmp_path / "slurm")
