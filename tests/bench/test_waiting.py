"""The benchmark of waiting for images: what it measures, and its record."""

import json

import pytest

from bench import tables, waiting
from evidence.records import ROOT
from tests.test_options import refused

RECORDS = sorted((ROOT / "results").glob("waiting_*.json"))


def test_both_ways_of_reading_are_measured(tmp_path, capsys):
    path = tmp_path / "w.json"
    assert waiting.main(["--images", "64", "--device", "cpu", "--threads", "1", "--json", str(path)]) == 0
    figures = json.loads(path.read_text("utf-8"))
    assert capsys.readouterr().out.strip().endswith(tables.waiting(figures))
    for name in "in memory", "read ahead":
        before, seconds, waited = figures[name]
        assert before > 0
        assert 0 <= waited < seconds
    assert figures["in memory"][2] == 0 < figures["read ahead"][2]


def test_a_folder_that_is_not_there_is_refused_before_any_measurement(capsys, tmp_path):
    assert "in a folder that exists" in refused(capsys, waiting, "--json", str(tmp_path / "x" / "w.json"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name)
def test_records_are_of_the_default_size(path):
    figures = json.loads(path.read_text("utf-8"))
    assert (figures["images"], figures["size"]) == (1280, waiting.SIZE)
