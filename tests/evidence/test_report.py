"""What is committed in results/ and in the Markdown files is what the committed records say."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import reproduce
import test as evaluation
from common.errors import UserError
from dataset.colored_mnist import COLOR_VARS
from evidence import records, report
from run.compare import PUBLISHED
from tests.evidence.edited import SOME, another_seed, change, made_of


def test_committed_texts_equal_the_records():
    for path, text in report.texts().items():
        assert path.read_text("utf-8") == text, f"{path.name} is out of date: python reproduce.py --report"


def test_committed_figures_equal_the_records(tmp_path):
    report.draw(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in (records.ROOT / "results").glob("*.png"))
    for name in names:  # pixels, as another processor or build of zlib gives slightly other bytes
        drawn, kept = (np.asarray(Image.open(f / name)).astype(int) for f in (tmp_path, records.ROOT / "results"))
        message = f"{name} is out of date: python reproduce.py --report"
        assert drawn.shape == kept.shape, message
        assert np.abs(drawn - kept).max() <= 2, message


def test_report_twice_is_the_same_byte_for_byte(tree):
    def everything():
        return {p: p.read_bytes() for p in tree.rglob("*") if p.is_file()}

    report.rebuild(tree)
    first = everything()
    report.rebuild(tree)
    assert everything() == first
    assert {p.name for p in (tree / "results").glob("[!bnS]*.*")} == {
        "results.json", "table.md", "glance.png", "accuracy.png", "confusion.png", "curves.png",
        "curves_variances.png", "curves_starts.png", "demonstration.png", "selection.png", "sensitivity.png",
    }  # fmt: skip


def test_a_falsified_record_changes_the_texts(tree):
    before = made_of(tree)
    run = another_seed(tree, 2, 9000)
    shutil.rmtree(tree / "results/runs" / SOME)
    (tree / "results/runs" / run).rename(tree / "results/runs" / SOME)
    change(tree, SOME, "options.json", lambda o: o.update(random_seed=1, data_seed=0, checkpoint=None))
    after = made_of(tree)
    for name in ("results/results.json", "results/table.md", "README.md", "docs/REPRODUCTION.md"):
        assert before[name] != after[name], name


def test_a_falsified_health_record_changes_its_table(tree):
    before = made_of(tree)["docs/RELIABILITY.md"]
    log = next((tree / "results/health").glob("*/log.jsonl"))
    log.write_text(log.read_text().replace('"accuracy": 0.', '"accuracy": 0.0', 1))
    assert made_of(tree)["docs/RELIABILITY.md"] != before


def test_cells_that_were_not_run_are_named_as_such(tree):
    runs = records.load_runs(tree)
    done = {(r["method"], r["options"]["color_var"]) for r in runs.values()}
    rows = [line.split("|") for line in made_of(tree)["results/table.md"].splitlines() if line.startswith("|")][2:]
    shown = {(r[1].strip(), r[2].strip()): r for r in rows}
    assert len(shown) == len(rows) >= 28
    for method in PUBLISHED:
        for color_var in COLOR_VARS:
            row = shown[records.title(method), str(color_var)]
            assert ("not yet run" in row[4]) == ((method, color_var) not in done)
            assert f"{PUBLISHED[method][color_var]:.4f}" in row[3]


def test_summary_counts():
    def summary(**differences):
        cells = [
            {"method": m, "color_var": v, "mean": PUBLISHED[m][v] + d}
            for m, row in differences.items()
            for v, d in zip(COLOR_VARS, row, strict=False)
        ]
        return report.summary(cells)

    text = summary(lntl=(0.0, 0.01, -0.001), gray=(0.019, -0.019, 0.021), baseline=(-0.03,))
    assert text.startswith("7 of the 28 cells")
    assert "in 2 of 3;" in text
    assert "in 2 of 4. " in text
    assert text.endswith("LNTL is above Baseline in 1 (published 1), Gray in 1 (published 2).")


def test_a_lost_marker_is_one_line(tree):
    path = tree / "README.md"
    path.write_text(path.read_text().replace("<!-- end of speed -->", ""))
    with pytest.raises(UserError, match=r"README\.md has lost its marker"):
        report.texts(tree)


def test_weights_without_records_are_refused(tree):
    shutil.copy(tree / "checkpoints/baseline_var0.020.pth", tree / "checkpoints/baseline_var0.045.pth")
    shutil.rmtree(tree / "results/runs/baseline_var0.045_seed1", ignore_errors=True)
    with pytest.raises(UserError, match=r"baseline_var0\.045"):
        report.texts(tree)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(Path(records.ROOT, "checkpoints").glob("*.pth")), ids=lambda p: p.stem)
def test_shipped_weights_have_the_recorded_accuracy(path, tmp_path):
    recorded = records.load_runs()[records.run_of(path)]
    flags = ["-e", "x", "--save_dir", str(tmp_path), "--checkpoint", str(path)]
    flags += ["--method", recorded["options"]["method"], "--color_var", str(recorded["options"]["color_var"])]
    assert evaluation.main(flags) == 0
    measured = json.loads((tmp_path / "x" / "metrics.json").read_text())["accuracy"]
    assert measured == pytest.approx(recorded["metrics"]["accuracy"], abs=0.0005)  # another machine rounds otherwise


def test_the_command_rebuilds_and_leaves_the_committed_texts(capsys, monkeypatch, tree):
    for folder in ("results/runs", "results/demonstration"):
        shutil.copytree(records.ROOT / folder, tree / folder, dirs_exist_ok=True)
    before = {path: path.read_bytes() for path in tree.glob("*.md")}
    monkeypatch.setattr(report.rebuild, "__defaults__", (tree,))
    assert reproduce.main(["--report"]) == 0
    assert {path: path.read_bytes() for path in tree.glob("*.md")} == before
