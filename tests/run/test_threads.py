"""The number of threads that a new run takes, by what else is going on."""

import json
from types import SimpleNamespace

import pytest
import torch

import train
from run import device
from tests.processes import flags

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr(device, "USUAL_THREADS", 2)
    yield
    torch.set_num_threads(usual)


@pytest.mark.parametrize(
    ("idle", "expected", "is_said"),
    [(2.0, 2, False), (1.9, 2, False), (1.1, 1, True), (0.2, 1, True), (30.0, 2, False), (None, None, False)],
)
def test_busy_processors_are_left_to_others(monkeypatch, capsys, idle, expected, is_said):
    monkeypatch.setattr(device, "idle_processors", lambda: idle)
    option = SimpleNamespace(threads=None)
    device.settle_threads(option, CPU)
    assert option.threads == expected
    assert torch.get_num_threads() == (expected or 2)
    assert ("other work is going on" in capsys.readouterr().out) == is_said


def test_one_busy_moment_does_not_slow_the_runs_that_follow(monkeypatch):
    for idle, expected in ((1.0, 1), (2.0, 2)):  # two runs of one process, as of reproduce.py
        monkeypatch.setattr(device, "idle_processors", lambda idle=idle: idle)
        option = SimpleNamespace(threads=None)
        device.settle_threads(option, CPU)
        assert option.threads == torch.get_num_threads() == expected


def test_what_is_given_stays(monkeypatch):
    monkeypatch.setattr(device, "idle_processors", lambda: 0.0)
    for option, place in ((SimpleNamespace(threads=2), "cpu"), (SimpleNamespace(threads=None), "cuda")):
        before = option.threads
        device.settle_threads(option, torch.device(place))
        assert option.threads == before


def test_idle_time_is_counted_by_processor(monkeypatch):
    times = iter([{"cpu0": (100, 1000), "cpu1": (500, 1000)}, {"cpu0": (140, 1040), "cpu1": (510, 1040)}])
    monkeypatch.setattr(device, "processor_times", lambda: next(times))
    assert device.idle_processors(0) == pytest.approx(1 + 0.25)


def test_the_number_is_recorded_and_kept(monkeypatch, tmp_path, small_data):
    monkeypatch.setattr(device, "idle_processors", lambda: 1.0)
    line = flags(tmp_path, small_data, "--max_step", "1")
    place = line.index("--threads")
    del line[place : place + 2]
    assert train.main(line) == 0
    assert json.loads((tmp_path / "run" / "options.json").read_text("utf-8"))["threads"] == 1
    monkeypatch.setattr(device, "idle_processors", lambda: pytest.fail("measured again"))
    assert train.main(["-e", "run", "--save_dir", str(tmp_path), "--resume", "--max_step", "2"]) == 0
