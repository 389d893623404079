"""The benchmark of a busy neighbour: its turns, its table and its record."""

import json
import sys
from pathlib import Path

import pytest

from bench import neighbour, speed, tables
from common.before_torch import SPIN
from common.errors import UserError

RECORDS = sorted((Path(neighbour.__file__).parents[1] / "results").glob("neighbour_*.json"))
QUICK = "import sys\nfor line in sys.stdin: print(0.002 * int(line), flush=True)"


def test_every_setting_is_measured_alone_and_beside(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(neighbour, "WORKER", (sys.executable, "-c", QUICK))
    assert speed.main(["--neighbour", "--quick", "--json", str(tmp_path / "x.json")]) == 0
    figures = json.loads((tmp_path / "x.json").read_text())
    assert list(figures["settings"]) == list(neighbour.SETTINGS)
    assert all(len(own["rounds"]["beside"]) == 3 for own in figures["settings"].values())
    assert figures["settings"]["passive"]["alone_ms"] == pytest.approx(10)
    assert "| this project's | 10 | 10 | 1.00 | 1.00 |" in capsys.readouterr().out


def test_a_worker_that_fails_is_one_line(monkeypatch):
    monkeypatch.setattr(neighbour, "WORKER", (sys.executable, "-c", "raise ValueError('no data')"))
    with pytest.raises(UserError, match="ValueError: no data"):
        neighbour.measure(1, 1)


def test_the_worker_says_seconds_for_each_number_of_iterations():
    worker = neighbour.Worker({"OMP_NUM_THREADS": "1"})
    try:
        assert 0 < worker.seconds(1) < 60
    finally:
        worker.process.kill()
        worker.process.communicate()


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name)
def test_records_are_of_the_settings_as_they_are(path):
    figures = json.loads(path.read_text())
    assert neighbour.SETTINGS["this project's"] == {"GOMP_SPINCOUNT": SPIN}
    assert list(figures["settings"]) == list(neighbour.SETTINGS)
    assert tables.beside(figures).count("\n") == 3 + len(neighbour.SETTINGS)
