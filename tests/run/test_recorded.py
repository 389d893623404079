"""A run repeated from its record, `--resume` without flags, and the same weights bit for bit from the same seed."""

import json
import shutil

import pytest

import option as options
import train
from methods import METHODS
from models.checkpoint import read_torch_file
from models.shipped import sha256_of
from option import train_parser
from run import recorded
from run.start import pin_start
from tests.models.test_models import weights_file
from tests.processes import EPOCHS, ROOT, assert_same, flags, run, write_small
from tests.test_options import refused


@pytest.mark.parametrize("threads", [1, 2])
def test_from_repeats_a_run_bit_for_bit(tmp_path, whole, threads):
    record = whole(threads) / "options.json"
    again = run("--from", record, "-e", "again", "--save_dir", tmp_path)
    assert again.returncode == 0, again.stderr
    assert_same(tmp_path / "again", whole(threads))
    ours, theirs = (json.loads((f / "options.json").read_text()) for f in (tmp_path / "again", whole(threads)))
    free = {"exp_name", "save_dir", "resume"}
    assert {k: v for k, v in ours.items() if k not in free} == {k: v for k, v in theirs.items() if k not in free}


def recorded_option(tmp_path, *more, **changes):
    """The options that `--from` makes of a record with `changes`, and the notes that it prints."""
    option = vars(options.train_parser().parse_args(["-e", "x", "--random_seed", "3"])) | {"method": "lntl"} | changes
    (tmp_path / "options.json").write_text(json.dumps(option))
    return recorded.parse(train_parser, ["--from", str(tmp_path / "options.json"), *more])


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([], (1, 1)),
        (["--method", "lntl_plus"], (0.01, 0.01)),
        (["--bias", "colour"], (0.01, 0.1)),
        (["--method", "baseline"], (0.01, 0.1)),  # which has neither: what is recorded then
        (["--method", "lntl_plus", "--mu", "0.5"], (0.01, 0.5)),
    ],
)
def test_other_methods_and_data_have_their_own_lambda_and_mu(tmp_path, more, expected):
    data = {"dataset": "images", "data_dir": str(tmp_path), "network": "resnet18", "lambda_": 1.0, "mu": 1.0}
    option = options.resolve_training(recorded_option(tmp_path, *more, **data))
    assert (option.lambda_, option.mu) == expected


@pytest.mark.parametrize(
    ("more", "changes", "expected"),
    [
        ([], {"method": "lntl_plus", "prior": "colour"}, "colour"),
        ([], {"method": "lntl_plus", "prior": "bins"}, "bins"),
        (["--method", "lntl_plus"], {"prior": "bins"}, "colour"),  # which LNTL had, and did not use
        (["--method", "lntl"], {"method": "lntl_plus", "prior": "colour"}, "bins"),
        (["--dataset", "biased_mnist"], {"method": "lntl_plus", "prior": "colour"}, "bins"),
    ],
)
def test_what_tells_of_the_bias_is_that_of_method_and_data(tmp_path, more, changes, expected):
    assert options.resolve_training(recorded_option(tmp_path, *more, **changes)).prior == expected


def test_another_prior_has_a_width_of_its_own(tmp_path):
    wide = {"method": "lntl_plus", "prior": "colour", "prior_width": 3.0}
    assert options.resolve_training(recorded_option(tmp_path, **wide)).prior_width == 3
    assert options.resolve_training(recorded_option(tmp_path, "--prior", "bins", **wide)).prior == "bins"


@pytest.mark.parametrize("more", [[], ["--dataset", "colored_mnist"], ["--method", "lntl_plus"]])
def test_an_older_record_means_the_bins(tmp_path, more):
    record = ROOT / "results" / "runs" / "lntl_plus_var0.020_bins_seed1"
    assert "prior" not in json.loads((record / "options.json").read_text("utf-8"))
    (tmp_path / record.name).mkdir()
    shutil.copy(record / "options.json", tmp_path / record.name)
    for source in (["--from", str(record)], ["-e", record.name, "--resume"]):
        option = recorded.parse(train_parser, [*source, "--save_dir", str(tmp_path), *more])
        assert (options.resolve_training(option).prior, option.exp_name) == ("bins", record.name)


@pytest.mark.parametrize("flag", ["--bias_predictor", "--split_at", "--init"])
def test_another_network_sees_the_same_data(tmp_path, flag):
    data = {"dataset": "images", "data_dir": str(tmp_path), "network": "resnet18", "data_sha256": "0" * 64}
    value = {"--bias_predictor": "conv", "--split_at": "layer3", "--init": "imagenet"}[flag]
    assert recorded_option(tmp_path, flag, value, **data).data_sha256 == "0" * 64


@pytest.mark.parametrize(
    ("there", "threads", "device"),
    [
        ({"threads": 7, "gpu": None}, 7, "cpu"),
        ({"threads": 7, "gpu": "H100"}, 7, "cuda"),
    ],
)
def test_from_takes_what_was_chosen_there(tmp_path, capsys, there, threads, device):
    (tmp_path / "environment.json").write_text(json.dumps(there | {"torch": "1.0"}))
    option = recorded_option(tmp_path, device="auto")
    assert (option.threads, option.device) == (threads, device)
    assert "note: torch was 1.0, here it is 2" in capsys.readouterr().out
    option = recorded_option(tmp_path, "--threads", "1", "--device", "cpu", device="auto")
    assert (option.threads, option.device) == (1, "cpu")


@pytest.mark.parametrize(
    ("more", "changes", "expected"),
    [
        ([], {"lr": 0.1 + 0.2, "cudnn_benchmark": False}, {"lr": 0.1 + 0.2, "cudnn_benchmark": False}),
        ([], {"from_scratch": True, "resume": True, "dry_run": True}, {"from_scratch": True, "resume": False}),
        (["--checkpoint", "w.pth"], {"from_scratch": True}, {"from_scratch": False, "checkpoint": "w.pth"}),
        (["--from_scratch"], {"checkpoint": "w.pth"}, {"from_scratch": True, "checkpoint": None}),
        (["--cuda"], {"device": "cpu"}, {"device": None, "cuda": True}),
        ([], {"dataset": "images", "bias": ["place", "sex"]}, {"dataset": "images", "bias": ["place", "sex"]}),
        (["--train_baseline"], {}, {"method": None, "train_baseline": True}),
        (["--color_var", "0.03"], {"checkpoint_sha256": "0" * 64}, {"checkpoint_sha256": None}),
        (["-e", "y", "--save_dir", "d"], {}, {"exp_name": "y", "save_dir": "d", "random_seed": 3}),
    ],
)
def test_given_flags_override_the_record(tmp_path, more, changes, expected):
    option = vars(recorded_option(tmp_path, *more, **changes))
    assert {k: option[k] for k in expected} == expected


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"lr": "fast"}, "--lr"),
        ({"lr": float("nan")}, "--lr"),
        ({"lr": [0.1]}, "lr = [0.1]"),
        ({"lr": True}, "--lr"),
        ({"from_scratch": 1}, "from_scratch = 1"),
        ({"exp_name": "../x"}, "--exp_name"),
        ({"batch_size": 1e3}, "--batch_size"),
        ({"unknown": 1}, "unknown = 1"),
        ({"data_dir": "no/such/folder"}, "--data_dir"),
        ({"data_sha256": "x"}, "--data_sha256"),
    ],
)
def test_damaged_record_is_one_line(tmp_path, capsys, change, what):
    with pytest.raises(SystemExit) as stop:
        train.exits(lambda: options.resolve_training(recorded_option(tmp_path, **change)))()
    captured = capsys.readouterr()
    assert (stop.value.code, captured.err.count("\n")) == (2, 1)
    assert what in captured.err


@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff", b"[" * 100_000, "folder"])
def test_record_that_is_none_is_one_line(tmp_path, capsys, content):
    path = tmp_path / "options.json"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    assert "options.json" in refused(capsys, train, "--from", path)
    if content is not None:
        path.rename(tmp_path / "environment.json")
        path.write_text("{}")
        assert "environment.json" in refused(capsys, train, "--from", path)


def test_own_baseline_need_not_be_named_again(tmp_path, small_data, capsys, monkeypatch):
    """Relative paths too; another file in the place of the weights is refused when the run is repeated."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small_data, "data")
    weights_file(tmp_path / "start.pth")
    given = [f for f in flags("runs", "data", "--checkpoint", "start.pth") if f != "--from_scratch"]
    given[given.index("--max_step") + 1] = "1"
    assert train.main(given) == 0
    assert train.main(["-e", "run", "--save_dir", "runs", "--resume", "--max_step", "2"]) == 0
    assert read_torch_file("runs/run/final.pth")["step"] == 2
    record = json.loads((tmp_path / "runs/run/options.json").read_text())
    assert (record["data_dir"], record["checkpoint"], record["max_step"]) == ("data", "start.pth", 2)
    assert train.main(["-e", "run", "--save_dir", "runs", "--resume", "--data_dir", str(tmp_path / "data")]) == 0
    assert "--max_step 1" in refused(capsys, train, *begun_epoch_2(tmp_path), "--max_step", "1")

    weights_file(tmp_path / "start.pth")
    assert "start.pth" in refused(capsys, train, "--from", "runs/run/options.json", "-e", "again")
    shutil.move("data", "moved")
    assert "--data_dir data" in refused(capsys, train, "-e", "run", "--save_dir", "runs", "--resume")


def begun_epoch_2(folder):
    """Removes the end of the run, so that there is something to go on with; returns the flags that do."""
    (folder / "runs/run/metrics.json").unlink()
    return ["-e", "run", "--save_dir", "runs", "--resume"]


def test_more_epochs_than_planned(tmp_path, small_data, whole):
    given = flags(tmp_path, small_data)
    given[given.index("--max_step") + 1] = "2"
    assert train.main(given) == 0
    assert train.main([*given, "--resume", "--max_step", str(EPOCHS)]) == 0
    assert_same(tmp_path / "run", whole(1))
    assert json.loads((tmp_path / "run/options.json").read_text())["max_step"] == EPOCHS


def test_a_run_that_is_older_than_a_flag(tmp_path, small_data, whole, capsys):
    given = flags(tmp_path, small_data)
    given[given.index("--max_step") + 1] = "2"
    assert train.main(given) == 0
    path = tmp_path / "run/options.json"
    record = json.loads(path.read_text())
    del record["average"], record["deviation"]
    path.write_text(json.dumps(record))
    given[given.index("--max_step") + 1] = str(EPOCHS)
    assert "begun with --average 0, not 1" in refused(capsys, train, *given, "--resume", "--average", "1")
    assert train.main([*given, "--resume"]) == 0
    assert_same(tmp_path / "run", whole(1))


def test_a_start_that_is_nowhere_is_named(capsys, tmp_path):
    """The record of a run that began with the weights of another run, whose own record is gone."""
    record = str(ROOT / "results/runs/lntl_var0.035_seed1")
    start = tmp_path / "baseline_var0.035_seed1" / "final.pth"
    given = ["--from", record, "-e", "again", "--save_dir", str(tmp_path), "--device", "cpu"]
    error = refused(capsys, train, *given, "--checkpoint", str(start))
    assert f"{start} is not a file" in error
    assert error.strip().endswith("baseline_var0.035.pth has those of baseline_var0.035_seed1")
    error = refused(capsys, train, *given, "--checkpoint", str(tmp_path / "mine" / "final.pth"))
    assert error.strip().endswith("--checkpoint")


# ---- the data and the weights of a record, known by their SHA-256


def finished(folder, data, *more):
    """A run of one epoch; returns the flags that name it."""
    given = flags(folder, data, *more)
    given[given.index("--max_step") + 1] = "1"
    assert train.main(given) == 0
    return ["-e", "run", "--save_dir", str(folder)]


def test_other_data_is_refused(tmp_path, small_data, capsys):
    """Also by a finished run, which has nothing left to train; the old data, elsewhere, is taken."""
    shutil.copytree(small_data, tmp_path / "data")
    run = finished(tmp_path, tmp_path / "data")
    record = json.loads((tmp_path / "run/options.json").read_text())
    assert json.loads((tmp_path / "run/metrics.json").read_text())["data_sha256"] == record["data_sha256"]
    assert read_torch_file(tmp_path / "run/final.pth")["option"]["data_sha256"] == record["data_sha256"]

    shutil.move(tmp_path / "data", tmp_path / "moved")
    assert "not here" in refused(capsys, train, *run, "--resume")
    assert train.main([*run, "--resume", "--data_dir", f"{tmp_path}/moved/"]) == 0
    assert train.main([*run, "--resume", "--data_dir", str(tmp_path / "moved"), "--max_step", "2"]) == 0
    assert train.main([*run, "--resume"]) == 0  # the new place is recorded

    write_small(tmp_path / "moved", train=500)
    before = (tmp_path / "run/metrics.json").read_bytes()
    for more in ([], ["--max_step", "3"]):
        for flag in ("--resume", "--continue"):
            assert "other data" in refused(capsys, train, *run, flag, *more)
    assert (tmp_path / "run/metrics.json").read_bytes() == before
    assert "other data" in refused(capsys, train, "--from", tmp_path / "run", "-e", "again", "--save_dir", tmp_path)


def test_a_run_that_is_older_than_many_flags_goes_on(tmp_path, small_data):
    """Of the first records: every flag that came later has its default."""
    run = finished(tmp_path, small_data)
    path = tmp_path / "run/options.json"
    first = json.loads((ROOT / "results/runs/lntl_var0.020_seed1/options.json").read_text("utf-8"))
    record = {k: v for k, v in json.loads(path.read_text("utf-8")).items() if k in first}
    assert "network" not in record
    path.write_text(json.dumps(record))
    assert train.main([*run, "--resume", "--max_step", "2"]) == 0
    assert len((tmp_path / "run/log.jsonl").read_text().splitlines()) == 2


def test_a_run_without_a_hash_of_its_data_goes_on(tmp_path, small_data, capsys):
    """One of before there was one."""
    shutil.copytree(small_data, tmp_path / "data")
    run = finished(tmp_path, tmp_path / "data")
    path = tmp_path / "run/options.json"
    record = json.loads(path.read_text())
    found = record.pop("data_sha256")
    path.write_text(json.dumps(record))
    shutil.copytree(tmp_path / "data", tmp_path / "other")
    assert "--data_dir" in refused(capsys, train, *run, "--resume", "--data_dir", tmp_path / "other")
    shutil.rmtree(tmp_path / "data")
    assert train.main([*run, "--resume", "--data_dir", str(tmp_path / "other"), "--max_step", "2"]) == 0
    assert "cannot be compared" in capsys.readouterr().out
    assert json.loads(path.read_text())["data_sha256"] == found


@pytest.mark.parametrize(
    "record", ["lntl_var0.020_draw0_seed2", "lntl_var0.035_seed1", "lntl_var0.020_lambda0_mu0_seed1"]
)
def test_a_shipped_record_finds_its_start(tmp_path, record):
    option = recorded.parse(train_parser, ["--from", str(ROOT / "results/runs" / record), "--save_dir", str(tmp_path)])
    start = option.checkpoint
    if start.startswith("checkpoints"):
        option.checkpoint = "elsewhere.pth"
    pin_start(options.resolve_training(option), METHODS["lntl"])
    assert option.checkpoint.startswith("checkpoints/baseline_var" + record[8:13])
    assert option.checkpoint_sha256 == sha256_of(option.checkpoint)


def test_resume_needs_a_run(tmp_path, small_data, capsys):
    run = finished(tmp_path, small_data)
    error = refused(capsys, train, "-e", "rum", *run[2:], "--resume")
    assert "there is no run" in error
    assert "did you mean -e run?" in error
    assert "--continue" in error
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_reliability_says_how_many():
    tests = (test_damaged_record_is_one_line, test_record_that_is_none_is_one_line)
    number = sum(len(test.pytestmark[0].args[1]) for test in tests)
    assert f"| {number} damaged records |" in (ROOT / "docs/RELIABILITY.md").read_text("utf-8")
