"""The demonstration on cut-outs: its runs, its tables from records, and the page that is committed."""

import argparse
import json
from pathlib import Path

import pytest
from matplotlib import rc_context
from PIL import Image

import option as options
from common.errors import UserError
from evidence import demonstration, report
from evidence.figures import draw_demonstration
from evidence.records import RECORDS, ROOT
from tests.dataset.sets import birds
from tests.dataset.test_converters import refused

SCORES = {"baseline": (0.55, 0.65), demonstration.CHOSEN["lntl"]: (0.7, 0.9)}  # of two seeds


def write_run(folder, name, accuracy, epochs=2):
    """Writes the records of a finished run that end with a mean over groups of `accuracy`."""
    path = folder / name
    path.mkdir(parents=True)
    method = name.split("_")[0]
    option = {"method": method, "max_step": epochs, "split_at": "layer2", "lambda_": 0.01, "mu": 0.1, "lr": 0.001}
    groups = [{"y": "bird", "b": b, "n": 10, "accuracy": accuracy + d} for b, d in (("land", 0.1), ("sea", -0.1))]
    metrics = {"accuracy": accuracy, "groups": groups, "mean_group_accuracy": accuracy}
    metrics |= {"worst_group_accuracy": accuracy - 0.1, "aligned_accuracy": 1.0, "conflicting_accuracy": None}
    record = {"seconds": 60.0, "holdout_accuracy": accuracy}
    record |= {"holdout_bias_accuracy": 0.8, "bias_loss": 0.5} if method != "baseline" else {}
    for file, value in (("options", option), ("metrics", metrics), ("environment", {})):
        (path / f"{file}.json").write_text(json.dumps(value))
    (path / "log.jsonl").write_text("".join(json.dumps(record | {"epoch": i + 1}) + "\n" for i in range(epochs)))


@pytest.fixture
def recorded(tmp_path):
    """A folder with the records of two seeds of two methods."""
    for name, scores in SCORES.items():
        for seed, score in enumerate(scores, 1):
            write_run(tmp_path / "runs", f"{name}_seed{seed}", score)
    return tmp_path / "runs"


def names_of(method):
    """The rows that are trained for a method: with those of the baseline, from which LNTL starts."""
    return [row.name for row in demonstration.ROWS if row.method in ("baseline", method)]


def asked(tmp_path, **changes):
    """What the command line would ask for."""
    given = {"data_dir": tmp_path, "save_dir": tmp_path / "runs", "methods": demonstration.METHODS, "select": True}
    return argparse.Namespace(**given | {"seeds": demonstration.SEEDS, "threads": 1, "device": "cpu"} | changes)


def test_runs_are_commands_of_train(tmp_path):
    birds(tmp_path)
    found = [
        options.resolve_training(options.train_parser().parse_args(f)) for f in demonstration.runs(asked(tmp_path))
    ]
    assert len({o.exp_name for o in found}) == len(found)
    assert len(found) == 3 * len(demonstration.ROWS) + len(demonstration.tried())
    settings = {o.exp_name for o in found if o.method != "baseline" and o.random_seed == 1}
    assert settings == {f"{setting}_seed1" for setting in demonstration.SETTINGS}
    for o in found:
        assert (o.dataset, o.network, o.image_size, o.init, o.threads) == ("images", "resnet18", 64, "random", 1)
        seen = o.max_step + (demonstration.START if o.method == "lntl" else 0)
        assert seen == demonstration.EPOCHS  # every method has seen the training images equally often
        if o.method == "lntl":
            start = Path(o.checkpoint)
            assert start.name == f"checkpoint_step_{demonstration.START:04d}.pth"
            assert start.parent.name == f"baseline_seed{o.random_seed}"
    assert [o.method for o in found[:3]] == ["baseline"] * 3  # in the order of need
    few = demonstration.runs(asked(tmp_path, methods=["lntl"], seeds=[2], select=False, threads=None, device=None))
    assert [flags[1] for flags in few] == [f"{name}_seed2" for name in names_of("lntl")]
    fair = few[1]
    assert fair[1] == "fair_seed2"
    assert f"--data_dir={tmp_path}_fair" in fair
    few = demonstration.runs(asked(tmp_path, methods=["lntl_plus"], seeds=[2], select=False))
    assert few[0][1] == "lntl_plus_seed2"


def test_main_trains_what_is_not_finished(tmp_path, monkeypatch, capsys, recorded):
    birds(tmp_path)
    begun = []

    def run(command, check):
        begun.append(command)
        return argparse.Namespace(returncode=len(begun) // 2)

    monkeypatch.setattr(demonstration.subprocess, "run", run)
    Path(f"{tmp_path}_fair").mkdir()
    flags = ["--data_dir", tmp_path, "--save_dir", recorded]
    with pytest.raises(SystemExit) as error:
        demonstration.main([str(flag) for flag in flags])
    assert error.value.code == 1  # that of the second run, after which nothing is begun
    assert [Path(command[1]).name for command in begun] == ["train.py", "train.py"]
    assert all("--continue" in command for command in begun)  # what is begun goes on, what is finished stays
    assert "python -m dataset.cutouts --out" in refused(capsys, demonstration.main, ["--data_dir", tmp_path / "x"])
    Path(f"{tmp_path}_fair").rmdir()
    assert "_fair --share 0.5" in refused(capsys, demonstration.main, ["--data_dir", tmp_path])
    demonstration.main(["--plan", "--seeds", "1", "--methods", "lntl"])
    assert capsys.readouterr().out.count("python train.py -e") == len(names_of("lntl"))


def test_table(recorded):
    lines = demonstration.table(recorded).splitlines()
    assert len(lines) == 2 + len(demonstration.ROWS)
    assert lines[2] == "| Baseline | 0.600 ± 0.071 | 0.500 ± 0.071 | - | 1.000 ± 0.000 | 0.600 ± 0.071 | - | 2 |"
    assert lines[3].startswith("| Baseline, trained without the bias | not yet run |")
    (row,) = (line for line in lines if "| 0.800 ± 0.141 | 0.700 ± 0.141 |" in line)
    assert row.startswith("| LNTL")
    assert "| 0.800 ± 0.000 | 2 |" in row
    assert {line.count("|") for line in lines} == {len(demonstration.COLUMNS) + 3}
    groups = demonstration.groups_table(recorded).splitlines()
    assert groups[2:] == [
        "| bird / land | 10 | 0.700 ± 0.071 | 0.900 ± 0.141 |",
        "| bird / sea | 10 | 0.500 ± 0.071 | 0.700 ± 0.141 |",
    ]
    selection = demonstration.selection_table(recorded)
    assert "| layer2 | linear | 0.01 | 0.1 | 0.001 | 0.700 | 0.800 | 0.50 |" in selection
    assert {line.count("|") for line in selection.splitlines()} == {10}
    assert selection.count("not yet run") == len(demonstration.SETTINGS) - 1


def test_the_highest_validation_accuracy_is_chosen(tmp_path):
    names = [name for name, (method, _) in demonstration.SETTINGS.items() if method == "lntl"]
    for i, name in enumerate(names):
        assert demonstration.pick(demonstration.read_runs(tmp_path / "runs"), "lntl") is None
        write_run(tmp_path / "runs", f"{name}_seed1", 0.9 if i in (2, 4) else 0.5)
    assert demonstration.pick(demonstration.read_runs(tmp_path / "runs"), "lntl") == names[2]


@pytest.mark.parametrize("method", demonstration.CHOSEN)
def test_the_rule_has_chosen(method):
    found = demonstration.read_runs(ROOT / demonstration.RESULTS)
    assert demonstration.pick(found, method) == demonstration.CHOSEN[method]


def test_unfinished_runs_are_left_out_and_damaged_ones_named(recorded):
    (recorded / f"{demonstration.CHOSEN['lntl']}_seed1/metrics.json").unlink()
    assert f"{demonstration.CHOSEN['lntl']}_seed1" not in demonstration.read_runs(recorded)
    log = recorded / "baseline_seed1/log.jsonl"
    log.write_text(log.read_text().splitlines(keepends=True)[0])
    with pytest.raises(UserError, match=r"baseline_seed1/log.jsonl does not hold each of the 2 epochs once"):
        demonstration.read_runs(recorded)
    (recorded / "baseline_seed1/metrics.json").write_text("{")
    with pytest.raises(UserError, match=r"the records in .*baseline_seed1 are damaged"):
        demonstration.table(recorded)


def test_finished_records_are_added(tmp_path, recorded):
    (recorded / f"{demonstration.CHOSEN['lntl']}_seed2/metrics.json").unlink()
    assert len(demonstration.add(recorded, tmp_path)) == 3
    assert demonstration.add(recorded, tmp_path) == []
    kept = tmp_path / demonstration.RESULTS
    assert demonstration.tables(kept) == demonstration.tables(recorded)
    assert {p.name for p in (kept / "baseline_seed1").iterdir()} == set(RECORDS)


def test_the_figure_is_the_same_byte_for_byte(tmp_path, recorded):
    for name in "ab":
        with rc_context({"axes.facecolor": "yellow", "font.size": 20} if name == "b" else {}):
            draw_demonstration(tmp_path / f"{name}.png", demonstration.bars(recorded))
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (900, 510)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    draw_demonstration(tmp_path / "empty.png", demonstration.bars(tmp_path / "nothing"))  # no run yet
    assert demonstration.groups_table(tmp_path / "nothing").endswith("not yet run.")


def test_the_page_says_what_the_records_say():
    page = ROOT / "docs/IMAGES.md"
    text = report.fill(page, demonstration.tables(ROOT / demonstration.RESULTS))
    assert page.read_text("utf-8") == text, "run python reproduce.py --report"
    assert (ROOT / demonstration.RESULTS / "samples.png").stat().st_size < 300_000
