"""README.md and the committed records say the same."""

import json
from pathlib import Path

import report


def test_readme_equals_the_records():
    text = Path(report.ROOT, "README.md").read_text("utf-8")
    assert report.readme(text, report.load_runs()) == text


def test_records_are_whole():
    runs = report.load_runs()
    assert runs
    for name, run in runs.items():
        assert [r["epoch"] for r in run["log"]] == list(range(1, run["options"]["max_step"] + 1)), name
        confusion = run["metrics"]["confusion"]
        assert sum(map(sum, confusion)) == run["metrics"]["n"] == 10_000
        assert sum(confusion[i][i] for i in range(10)) / 10_000 == run["metrics"]["accuracy"]
        assert run["log"][-1]["test_accuracy"] == run["metrics"]["accuracy"], name


def test_every_shipped_file_is_in_the_table():
    names = {p.stem for p in Path(report.ROOT, "checkpoints").glob("*.pth")}
    assert names <= set(report.load_runs())
    json.dumps(sorted(names))
