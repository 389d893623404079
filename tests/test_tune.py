"""tune.py: what it draws, that it goes on where it was stopped, its table, and that its last command runs."""

import re
import shlex

import pytest

import train
import tune
from common.errors import Busy
from methods import METHODS
from tests.processes import image_flags, read, refused


@pytest.fixture
def flags(tmp_path, small_images):
    return image_flags(tmp_path, small_images, "--method", "lntl_plus", "--trials", "2", epochs=1)


def test_settings_lie_in_their_range_and_the_first_are_the_defaults():
    ranges = METHODS["lntl_plus"].ranges
    assert tune.draw(ranges, 0) == {}
    drawn = [tune.draw(ranges, trial) for trial in range(1, 200)]
    for flag, (low, high) in ranges.items():
        values = sorted(settings[flag] for settings in drawn)
        assert 0.99 * low <= values[0] < 2 * low
        assert high / 2 < values[-1] <= 1.01 * high


def test_it_goes_on_and_its_last_command_runs(tmp_path, flags, capsys, monkeypatch):
    begun, run = [], tune.train

    def stopped(option):
        begun.append(option.exp_name)
        return 143 if len(begun) == 2 else run(option)

    monkeypatch.setattr(tune, "train", stopped)
    assert tune.main(flags) == 143
    assert "give the same command again" in capsys.readouterr().out
    assert tune.main(flags) == 0
    assert begun == ["run_trial0", "run_trial1", "run_trial1"]
    out = capsys.readouterr().out
    lines = (tmp_path / "run_tuned.md").read_text("utf-8").splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {row[0] for row in rows} == {"run_trial0", "run_trial1"}
    last = {name: read(tmp_path / name / "log.jsonl")[-1] for name in ("run_trial0", "run_trial1")}
    for row in rows:
        assert row[-2:] == [f"{last[row[0]][key]:.4f}" for key in tune.JUDGED_BY]
    assert float(rows[0][-2]) >= float(rows[1][-2])
    line = re.search(r"to train with the best: .*train\.py (.*)", out)[1]
    assert "--trials" not in line
    assert train.main(shlex.split(line)) == 0
    picked = read(tmp_path / "run/options.json")
    best = read(tmp_path / rows[0][0] / "options.json")
    assert {k for k in best if picked[k] != best[k]} <= {"exp_name", "random_seed"}


def test_what_is_given_is_not_drawn_and_trials_of_other_processes_are_left(flags, tmp_path, monkeypatch, capsys):
    seen = []

    def busy(option):
        seen.append(option)
        raise Busy("another process works on it")

    monkeypatch.setattr(tune, "train", busy)
    assert "no trial has a result" in refused(capsys, tune, *flags, "--mu", "0.5")
    assert [(option.exp_name, option.mu) for option in seen] == [("run_trial0", 0.5), ("run_trial1", 0.5)]


def test_without_validation_images_it_says_what_to_do(tmp_path, small_data, capsys):
    line = ["-e", "x", "--method", "baseline", "--from_scratch", "--color_var", "0.02", "--data_dir", small_data]
    line += ["--max_step", "1", "--trials", "1", "--save_dir", tmp_path, "--device", "cpu", "--batch_size", "64"]
    assert "add a split val, or give --holdout N" in refused(capsys, tune, *line)
    assert "argument --trials" in refused(capsys, tune, *line, "--trials", "0")
