"""Flags: wrong values are one line, every layer of defaults holds, records are gone on with."""

import json
import shutil

import pytest
import torch

import option as options
import train
from common.errors import UserError
from models.checkpoint import read_torch_file
from models.shipped import sha256_of
from tests.models.test_models import weights_file
from tests.processes import assert_same, flags, read, refused, write_small

PARSER = options.train_parser()
IMAGES = ["--dataset", "images", "--data_dir", "."]
BIASED = ["--dataset", "biased_mnist"]


WRONG = [
    "--lr=0", "--lr=nan", "--lr=x", "--lr=101", "--max_step=0", "--max_step=1.5", "--momentum=1", "--random_seed=-1",
    "--method=LNTL", "--cudnn_benchmark=yes", "--checkpoint=", "--batch_size=0", "--save_dir=~no.one/x",
    *(f"--exp_name={name}" for name in ("", "../x", "a b", "a\nb", "ü", "x" * 101, ".hidden", "-")),
]  # fmt: skip


@pytest.mark.parametrize("word", WRONG)
def test_a_value_out_of_bounds_is_refused(word):
    with pytest.raises(UserError, match=word[2:].partition("=")[0]) as error:
        PARSER.parse_args(["-e", "x", word])
    assert "train.py --help" in str(error.value)


CONTRADICTIONS = [
    (["--train_baseline", "--method", "lntl"], "contradict each other"),
    (["--checkpoint", "x.pth", "--from_scratch"], "--checkpoint and --from_scratch contradict each other"),
    (["--pretrain", "2", "--from_scratch"], "--pretrain and --from_scratch contradict each other"),
    (["--pretrain", "2", "--method", "baseline"], "--pretrain and --method baseline"),
    (["--rho", "0.99"], "--rho belongs to --dataset biased_mnist"),
    (["--method", "gray", *IMAGES], "--method gray and --dataset images"),
    (["--method", "lntl_plus", "--prior", "bins", "--prior_width", "3"], "--prior_width is of --prior colour"),
    (["--sampling", "balanced"], "--sampling balanced needs a bias label for every image"),
    (["--precision", "tf32", "--device", "cpu"], "arithmetic of a GPU"),
    (["--checkpoint_sha256", "0" * 64], "is not the file that the run was to begin with"),
    (["--data_dir", ".", "--data_seed", "1"], "--data_seed is for data that is built"),
    (["--from", "no/such", "--resume"], "--from repeats a run, --resume goes on with one"),
    (["--data_dir", "."], "mnist_10color_jitter_var_0.030.npy cannot be read"),
    (["--dataset", "images"], "--dataset images needs --data_dir DIR"),
    (["--checkpoint", "README.md"], "README.md is no file of torch.save"),
    (["--method", "lntl", *BIASED], "none is shipped for this data"),
    (["--resume"], "there is no run"),
    (["--save_dir", "README.md"], "cannot write to README.md/x"),
    (["--optimizer", "adam", "--momentum", "0.5"], "--optimizer adam and --momentum contradict"),
    (["--no_such_flag"], "unrecognized arguments: --no_such_flag"),
    (["--lr"], "expected one argument"),
]


@pytest.mark.parametrize(("line", "why"), CONTRADICTIONS, ids=lambda value: " ".join(value)[:40])
def test_what_cannot_be_is_one_line(capsys, tmp_path, line, why):
    assert why in refused(capsys, train, "-e", "x", "--save_dir", tmp_path, *line)
    assert not [*tmp_path.rglob("*.pt*")]


@pytest.mark.parametrize("parser", [PARSER, options.test_parser()], ids=["train.py", "test.py"])
def test_help_names_every_flag(parser):
    text = parser.format_help()
    assert all(flag in text for action in parser._actions for flag in action.option_strings)


# ------------------------------------------------------------------------------------------ defaults


def resolved(*line):
    return options.train_options(["-e", "x", "--random_seed", "1", *line])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", {"method": "lntl", "lr": 0.001, "lambda_": 0.01, "mu": 0.1, "batch_size": 128, "max_step": 100}),  # method
        ("", {"color_var": 0.03, "lr_decay_period": 40, "momentum": 0.9, "weight_decay": 0.0005}),  # official
        ("", {"alpha": None, "rho": None, "prior": None, "sampling": "plain", "network": "paper"}),  # of others
        ("--mu 0.5", {"mu": 0.5}),  # as given
        ("--train_baseline", {"method": "baseline", "lr": 0.01, "mu": None}),
        ("--method baseline --optimizer adam", {"lr": 0.001}),
        ("--method baseline --optimizer adam --lr 0.5", {"lr": 0.5}),
        ("--method lntl_plus", {"lr": 0.01, "prior": "colour", "prior_width": 6, "smoothing": 0.03, "mu": 0.1}),  # data
        ("--method lntl_plus --prior bins", {"prior": "bins"}),
        ("--dataset images --data_dir . --method baseline", {"network": "resnet18", "image_size": 224, "lr": 0.002}),
        ("--dataset images --data_dir . --init imagenet", {"lr": 0.0002, "max_step": 24}),
    ],
)
def test_a_default_is_the_first_that_there_is(line, expected):
    option = vars(resolved(*line.split()))
    assert {name: option[name] for name in expected} == expected


def test_options_are_resolved_once():
    option = resolved()
    with pytest.raises(AttributeError, match="resolved once"):
        option.lr = 1
    assert (option.replace(lr=1).lr, option.lr) == (1, 0.001)
    assert not options.NOT_RECORDED & option.record().keys()


def test_the_main_job_needs_no_name(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    option = options.train_options([])
    assert (option.exp_name, option.method, option.color_var) == ("lntl_var0.020", "lntl", 0.02)
    assert (option.max_step, option.random_seed, option.checkpoint) == (20, 1, "checkpoints/baseline_var0.020.pth")
    assert "20 epochs, as in the table" in capsys.readouterr().out
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert options.train_options([]).max_step == 100
    assert options.train_options(["--method", "gray", "--max_step", "3"]).exp_name == "gray_var0.020"
    with pytest.raises(UserError, match="-e NAME"):
        options.train_options(IMAGES)


def test_official_command_line_works(capsys, tmp_path):
    """A dry run of it leaves nothing."""
    start = weights_file(tmp_path / "w.pth")
    line = (
        f"-e x --lr 0.001 --is_train --use_pretrain --checkpoint {start} --color_var 0.02 --cuda --num_workers 4 -d "
        "--n_class 10 --input_size 28 --depth 20 --seed 2 --cudnn_benchmark True --random_seed 1 --data_split train "
        f"--save_step 5 --log_step 10 --max_step 2 --save_dir {tmp_path} --dry-run --holdout 500 --batch_size 8"
    )
    assert train.main(line.split()) == 0
    out = capsys.readouterr().out
    for flag in ("num_workers", "depth", "seed", "is_train", "use_pretrain", "data_split", "debug"):
        assert f"note: --{flag} has nothing left to do" in out
    assert "nothing was kept" in out
    assert [p.name for p in tmp_path.iterdir()] == ["w.pth"]


def test_a_dry_run_leaves_nothing(tmp_path):
    line = "-e x --dry-run --device cpu --batch_size 8 --pretrain 3 --select accuracy --holdout 100"
    assert train.main([*line.split(), "--save_dir", str(tmp_path)]) == 0
    assert not [*tmp_path.iterdir()]


# ------------------------------------------------------------------------------------------- records


@pytest.fixture
def again(tmp_path):
    """A function of a record: writes it; returns the flags that repeat its run."""

    def flags_of(record):
        (tmp_path / "options.json").write_text(json.dumps(record))
        return ["-e", "again", "--save_dir", str(tmp_path), "--from", str(tmp_path)]

    return flags_of


def test_from_repeats_a_run_bit_for_bit(tmp_path, whole, again):
    theirs = read(whole / "options.json")
    assert train.main(again(theirs | {"save_dir": "elsewhere"})) == 0
    assert_same(tmp_path / "again", whole)
    ours = read(tmp_path / "again/options.json")
    assert {k for k in theirs if ours[k] != theirs[k]} == {"exp_name", "save_dir"}


ZERO = dict.fromkeys(("lambda_", "mu", "momentum", "weight_decay", "lr_decay_period"), 0) | {"cudnn_benchmark": False}
OF_IMAGES = {"dataset": "images", "data_dir": ".", "bias": ["a", "b"]}


@pytest.mark.parametrize(
    ("more", "changes", "expected"),
    [
        ([], {"lr": 0.1 + 0.2, "random_seed": 0}, {"lr": 0.1 + 0.2, "random_seed": 0}),
        ([], ZERO, ZERO),
        (["--mu", "0.3"], {"mu": 0.2, "lambda_": 0.2}, {"mu": 0.3, "lambda_": 0.2, "exp_name": "again"}),
        ([], {"alpha": 0.1, "prior": "bins", "rho": 0.9, "unknown": 1}, {"alpha": None, "prior": None, "rho": None}),
        ([], OF_IMAGES, OF_IMAGES),
        (
            ["--method", "baseline"],
            {"method": "lntl", "lr": 0.5, "mu": 0.2},
            {"lr": 0.01, "mu": None, "random_seed": 3},
        ),
        (["--color_var", "0.05"], {"data_sha256": "ab"}, {"color_var": 0.05, "data_sha256": None}),
    ],
)
def test_given_flags_override_the_record(again, more, changes, expected):
    base = options.resolve({"exp_name": "x", "random_seed": 3, "from_scratch": True}, changes).record()
    option = vars(options.train_options([*again(base | changes), *more]))
    assert {name: option[name] for name in expected} == expected


DAMAGED = [b"[]", b"\xff", b"[" * 100_000, b'{"lr": "fast"}', b'{"lr": NaN}', b'{"max_step": 1e3}', b'{"method": "x"}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_record_is_one_line(capsys, tmp_path, again, content):
    line = again({})
    (tmp_path / "options.json").write_bytes(content)
    assert "options.json is damaged, or " in refused(capsys, train, *line)


def test_a_start_is_this_very_file(tmp_path, small_data, capsys, monkeypatch, again):
    monkeypatch.chdir(tmp_path)
    start = weights_file(tmp_path / "start.pth")
    line = flags("runs", small_data, "--checkpoint", "start.pth", epochs=1)
    line.remove("--from_scratch")
    assert train.main(line) == 0
    kept = read("runs/run/options.json")
    assert (kept["checkpoint"], kept["checkpoint_sha256"]) == ("start.pth", sha256_of(start))
    torch.save(read_torch_file(start) | {"step": 9}, start)
    assert "start.pth is not the file" in refused(capsys, train, *again(kept))


# -------------------------------------------------------------------------------------------- resuming


def test_what_resume_refuses(capsys, tmp_path, small_data, whole):
    shutil.copytree(whole, tmp_path / "run")
    line = flags(tmp_path, small_data)
    assert "go on with --resume" in refused(capsys, train, *line)
    for more in (["--mu", "0.2"], ["--random_seed", "6"], ["--method", "baseline"]):
        assert f"was begun with {more[0]} " in refused(capsys, train, *line, "--resume", *more)
    assert train.main([*line, "--continue"]) == 0
    assert "is finished" in capsys.readouterr().out
    (tmp_path / "run/metrics.json").unlink()
    assert "--max_step 2 is less" in refused(capsys, train, *line, "--resume", "--max_step", "2")


def test_other_data_is_refused_and_moved_data_is_not(capsys, tmp_path, small_data, whole):
    shutil.copytree(whole, tmp_path / "run")
    line = ["-e", "run", "--save_dir", tmp_path, "--resume", "--data_dir", tmp_path]
    write_small(tmp_path, train=200)
    assert "other data" in refused(capsys, train, *line)
    write_small(tmp_path)
    assert train.main([*map(str, line)]) == 0
    before = {path.name: path.read_bytes() for path in whole.iterdir() if path.name != "log.txt"}
    assert {name: (tmp_path / "run" / name).read_bytes() for name in before} == before
