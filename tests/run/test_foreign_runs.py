"""Runs that were copied, thinned out or edited, and weights of other programs: nothing is lost, nothing is mistaken."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch

import option as options
import test as evaluation
import train
from evidence import records
from evidence.grid import differing
from models import checkpoint
from models.checkpoint import read_torch_file
from option import train_parser
from run import recorded
from run.folder import same_columns
from run.start import remarks
from tests.processes import ROOT, flags
from tests.run.test_recorded import finished
from tests.test_options import refused


def test_results_without_a_checkpoint_are_not_trained_over(tmp_path, small_data, capsys):
    run = finished(tmp_path, small_data)
    (tmp_path / "run/last.pt").unlink()
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir() if p.is_file()}
    for line in ([*run, "--resume"], [*run, "--continue"], flags(tmp_path, small_data)):
        assert "holds the results of a run" in refused(capsys, train, *line)
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir() if p.is_file()} == before


def test_a_record_that_was_edited_is_noticed(tmp_path, small_data, capsys):
    run = finished(tmp_path, small_data)
    path = tmp_path / "run/options.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mu": 5.0}))
    said = refused(capsys, train, *run, "--resume", "--max_step", "2")
    assert "has --mu 5.0, and the run was trained with 0.1" in said


def test_a_run_that_goes_on_is_not_evaluated_by_its_old_weights(tmp_path, small_data, capsys):
    run = finished(tmp_path, small_data)
    path = tmp_path / "run/options.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_step": 3}))  # as --resume --max_step 3 has it
    (tmp_path / "run/metrics.json").unlink()
    assert "is of epoch 1, and the run goes on to 3" in refused(capsys, evaluation, *run)
    assert evaluation.main([str(tmp_path / "run/final.pth")]) == 0  # on purpose, under a name of its own
    assert not (tmp_path / "run/metrics.json").exists()


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ({"method": "theirs", "color_var": 0.02}, "is of --method theirs, which is not here"),
        ({"method": ["a"], "color_var": 0.02}, "is damaged, or of another version: method"),
        ({"dataset": "mnist"}, "is damaged, or of another version"),
        ({"method": "lntl", "color_var": 0.02, "data_seed": "x"}, "is damaged, or of another version"),
    ],
)
def test_options_in_weights_are_checked(tmp_path, capsys, option, why):
    content = read_torch_file(ROOT / "checkpoints/lntl_var0.020.pth")
    torch.save(content | {"option": option}, tmp_path / "w.pth")
    assert why in refused(capsys, evaluation, tmp_path / "w.pth", "--save_dir", tmp_path)


def test_options_of_another_program_do_not_hide_the_name(tmp_path, capsys):
    content = read_torch_file(ROOT / "checkpoints/lntl_var0.020.pth")
    torch.save(content | {"option": {"lr": 0.1, "amp": True}}, tmp_path / "lntl_var0.020.pth")
    assert evaluation.main([str(tmp_path / "lntl_var0.020.pth"), "--save_dir", str(tmp_path)]) == 0
    assert "ACCURACY : 0.7620" in capsys.readouterr().out


def test_weights_of_a_gpu_in_tf32_are_evaluated_anywhere(tmp_path, capsys):
    content = read_torch_file(ROOT / "checkpoints/lntl_var0.020.pth")
    there = content["option"] | {"precision": "tf32", "device": "cuda", "cuda": True}
    torch.save(content | {"option": there}, tmp_path / "w.pth")
    assert evaluation.main([str(tmp_path / "w.pth"), "--save_dir", str(tmp_path)]) == 0
    assert "ACCURACY : 0.7620" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------- --from


def test_another_variance_has_another_start():
    record = str(ROOT / "results/runs/lntl_var0.020_lambda0.001_mu0.01_seed1")
    for line, start in (
        (["--color_var", "0.05"], None),
        (["--color_var", "0.02"], "checkpoints/baseline_var0.020.pth"),
    ):
        assert recorded.parse(train_parser, ["--from", record, *line]).checkpoint == start


def test_another_method_has_its_own_learning_rate():
    record = str(ROOT / "results/runs/lntl_var0.020_seed1")
    assert recorded.parse(train_parser, ["--from", record]).lr == 0.001
    assert recorded.parse(train_parser, ["--from", record, "--method", "lntl_plus"]).lr is None


def test_a_record_of_somebody_else_trains_here(tmp_path):
    path = tmp_path / "options.json"
    record = json.loads((ROOT / "results/runs/lntl_var0.020_seed1/options.json").read_text())
    path.write_text(json.dumps(record | {"save_dir": "/home/somebody/else"}))
    assert recorded.parse(train_parser, ["--from", str(path)]).save_dir == "./checkpoint/"


# -------------------------------------------------------------------------------------- the table's cells


def edited(tmp_path, name, **changes):
    """A copy of a recorded run with other options, in tmp_path/checkpoint."""
    folder = tmp_path / "checkpoint" / name
    shutil.copytree(ROOT / "results/runs" / name, folder)
    path = folder / "options.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.mark.parametrize(("flag", "value"), [("mu", 7.0), ("batch_size", 64), ("holdout", 5000), ("lr", 0.1)])
def test_a_run_with_other_flags_is_no_cell(tmp_path, flag, value):
    edited(tmp_path, "lntl_var0.045_seed1", **{flag: value})
    with pytest.raises(records.UserError, match=f"was trained with --{flag} {value}; move it"):
        records.add(tmp_path / "checkpoint", tmp_path)
    assert not (tmp_path / "results").exists()


def test_a_shorter_run_replaces_no_longer_one(tmp_path):
    folder = edited(tmp_path, "lntl_var0.045_seed1")
    target = tmp_path / "results/runs/lntl_var0.045_seed1"
    assert records.copy_records(folder, target)
    lines = (folder / "log.jsonl").read_text().splitlines(keepends=True)
    (folder / "log.jsonl").write_text(lines[0])
    with pytest.raises(records.UserError, match=r"has 1 epoch, and the records in .* have 20"):
        records.copy_records(folder, target)


def test_what_a_result_does_not_depend_on_may_differ():
    one = {"mu": 0.1, "threads": 1, "data_dir": "a/", "checkpoint": "x", "average": 5}
    assert differing(one, one | {"threads": 2, "data_dir": "./a", "checkpoint": "y", "average": 0, "new": 1}) is None
    assert differing(one, one | {"mu": 0.2}) == "mu"


def test_a_start_that_has_seen_the_held_out_images_is_told(tmp_path, capsys):
    line = [
        "-e",
        "x",
        "--color_var",
        "0.02",
        "--max_step",
        "1",
        "--holdout",
        "59000",
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    assert train.main([*line, "--save_dir", str(tmp_path)]) == 0
    assert "were trained on held-out images too, so these tell nothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        ({"data_dir": None, "data_seed": 0}, {"data_dir": None, "data_seed": 0}, ""),
        ({"data_dir": None, "data_seed": 1}, {"data_dir": None, "data_seed": 0}, "saw the colours of --data_seed 0"),
        (
            {"data_dir": "files", "data_seed": 0},
            {"data_dir": None, "data_seed": 0},
            "drawn here, not those of --data_dir",
        ),
        ({"data_dir": "files", "data_seed": 0}, {"data_dir": "moved", "data_seed": 0}, ""),
        (
            {"data_dir": None, "data_seed": 0},
            {"data_dir": "files", "data_seed": 0},
            "saw the colours of the files in files",
        ),
        ({"data_dir": "files", "data_seed": 0}, None, ""),  # the authors' own checkpoint
    ],
)
def test_a_start_that_saw_other_colours_is_told(mine, theirs, said):
    option = SimpleNamespace(dataset="colored_mnist", holdout=0, **mine)
    lines = [*remarks(option, theirs and {"dataset": "colored_mnist", "holdout": 0} | theirs)]
    assert len(lines) == bool(said)
    assert said in "".join(lines)


@pytest.mark.parametrize("kind", ["a run whose checkpoints are gone", "weights of somebody", "another program's log"])
def test_what_lies_in_a_folder_is_not_trained_over(tmp_path, small_data, capsys, kind):
    run = tmp_path / "run"
    if kind == "a run whose checkpoints are gone":
        assert train.main(flags(tmp_path, small_data, "--max_step", "2")) == 0
        for name in ("last.pt", "previous.pt", "metrics.json"):
            (run / name).unlink()
    else:
        run.mkdir()
        (run / ("final.pth" if "weights" in kind else "log.jsonl")).write_text("mine\n")
        (run / ".notes.tmp").write_text("mine")
    before = {p.name: p.read_bytes() for p in run.iterdir() if p.name not in (".lock", "log.txt")}
    for more in ([], ["--continue"]):
        assert "no last.pt to go on from" in refused(capsys, train, *flags(tmp_path, small_data, *more))
    assert {p.name: p.read_bytes() for p in run.iterdir() if p.name not in (".lock", "log.txt")} == before


def test_a_run_in_its_baseline_is_not_begun_as_another(tmp_path, capsys):
    (tmp_path / "p_baseline").mkdir()
    for flag in ("--resume", "--continue"):
        said = refused(capsys, train, "-e", "p", "--save_dir", tmp_path, flag)
        assert "was stopped in its baseline; give its whole command again" in said


def test_resume_beside_from_needs_the_run(tmp_path, capsys):
    record = ROOT / "results" / "runs" / "lntl_var0.020_seed1"
    line = ["-e", "typo", "--save_dir", tmp_path, "--from", record, "--resume"]
    assert "there is no run" in refused(capsys, train, *line)


def test_another_method_has_another_start():
    record = str(ROOT / "results" / "runs" / "lntl_var0.020_seed1")
    for more in (["--method", "baseline"], ["--train_baseline"], ["--method", "lntl_plus"]):
        option = options.resolve_training(recorded.parse(options.train_parser, ["-e", "x", "--from", record, *more]))
        assert (option.checkpoint, option.checkpoint_sha256) == (None, None)


def test_a_column_may_be_spelt_otherwise():
    assert same_columns("Place", "place")
    assert same_columns(["Blond Hair"], ["blond_hair"])
    assert not same_columns(["place"], ["place", "sex"])
    assert not same_columns("y", None)


def test_weights_that_say_nothing_may_have_seen_the_held_out_images():
    option = SimpleNamespace(dataset="colored_mnist", holdout=100, data_dir=None, data_seed=0)
    (line,) = remarks(option, None)
    assert "nothing tells which images" in line


def test_a_file_that_is_there_is_not_written_over(tmp_path, capsys):
    mine = tmp_path / "mine.pth"
    mine.write_text("mine")
    for what in ("--ship", "--export"):
        for target, why in ((mine, "is there already"), ("", "it is empty")):
            said = refused(capsys, checkpoint, what, ROOT / "checkpoints/lntl_var0.020.pth", target)
            assert why in said
    assert mine.read_text() == "mine"
