"""Flags: the official ones work, and wrong ones end in one line and exit status 2."""

from types import SimpleNamespace

import pytest
import torch

import option as options
import reproduce
import test as evaluation
import train
from common.errors import exits
from dataset import colored_mnist, images
from evidence import records
from models import checkpoint
from tests.models.test_models import weights_file
from tests.processes import write_small


def refused(capsys, program, *arguments):
    """Runs a program that must refuse its arguments; returns the one line that it prints."""
    with pytest.raises(SystemExit) as stop:
        program.main([*map(str, arguments)])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("error: "), error
    assert error.count("\n") == 1, error
    return error


def exits_of(module):
    """A module whose `main` is made a command by whoever runs it."""
    return SimpleNamespace(main=exits(module.main))


BOUNDS = {
    "deviation": ("none", "", "still"),
    "color_var": ("0", "-1", "1.5", "nan", "inf", "red", "0.021", "0.7"),
    "batch_size": ("0", "1", "-4", "1.5", "60001", "many"),
    "lr": ("0", "-0.1", "nan", "inf", "1e9", "fast"),
    "lr_decay_rate": ("0", "-1", "2", "nan", "inf", "x"),
    "lr_decay_period": ("0", "-1", "2.5", "1000001"),
    "momentum": ("-0.1", "1", "nan", "inf", "x"),
    "weight_decay": ("-1e-9", "inf", "nan", "11", "x"),
    "max_step": ("0", "-3", "1e3", "10000000"),
    "save_step": ("0", "1.5", "x"),
    "log_step": ("0", "-1", "x"),
    "random_seed": ("-1", "4294967296", "1.0"),
    "data_seed": ("-1", "4294967296", "x"),
    "lambda_": ("-1", "nan", "inf", "1001", ""),
    "mu": ("-1", "nan", "inf", "1001", "x"),
    "alpha": ("-1", "nan", "inf", "1001", "x"),
    "smoothing": ("-0.1", "1.1", "nan", "x"),
    "prior": ("", "red"),
    "prior_width": ("0", "257", "nan", "x"),
    "detach_h": ("-1", "0.5", "nan", "1e3", "1000001"),
    "holdout": ("-1", "60000", "1.5", "nan"),
    "average": ("-1", "101", "1.5", "nan"),
    "threads": ("0", "-1", "1025", "two"),
    "n_class": ("9", "11", "ten"),
    "input_size": ("32", "27", "0"),
    "depth": ("-1", "1.5", "4294967296"),
    "seed": ("-1", "x"),
    "num_workers": ("-1", "x"),
    "data_split": ("validation", ""),
    "method": ("lnl", "", "LNTL"),
    "dataset": ("mnist", ""),
    "device": ("tpu", "", "cuda:0"),
    "precision": ("float16", ""),
    "optimizer": ("adamw", ""),
    "cudnn_benchmark": ("perhaps", "", "2"),
    "checkpoint_sha256": ("0", "z" * 64, "A" * 64),
    "bias_predictor": ("", "x"),
    "init_sha256": ("0", "z" * 64, "A" * 64),
    "checkpoint": ("", "a\nb"),
    "data_dir": ("", "a\nb", "no/such/folder", "README.md"),
    "network": ("vgg", ""),
    "pretrain": ("-1", "1.5", "nan"),
    "rho": ("-0.1", "1.1", "nan", "x"),
    "target": ("",),
    "bias": ("",),
    "image_size": ("7", "1025", "x"),
    "background": ("", "no colour", "1,2", "0,0,256"),
    "split_at": ("layer5", ""),
    "init": ("",),
    "augment": ("rotate", ""),
    "workers": ("-1", "257", "x"),
}
AT_BOUNDS = {  # the least and the most that is taken
    "color_var": ("0.02", "0.05"),
    "batch_size": ("2", "60000"),
    "lr": ("1e-300", "100"),
    "lr_decay_rate": ("1e-9", "1"),
    "lr_decay_period": ("1", "1000000"),
    "momentum": ("0", "0.9999"),
    "weight_decay": ("0", "10"),
    "max_step": ("1", "1000000"),
    "save_step": ("1", "1000000"),
    "log_step": ("1", "1000000"),
    "random_seed": ("0", "4294967295"),
    "data_seed": ("0", "4294967295"),
    "lambda_": ("0", "1000"),
    "mu": ("0", "1000"),
    "alpha": ("0", "1000"),
    "smoothing": ("0", "1"),
    "prior_width": ("0.1", "256"),
    "detach_h": ("0", "100"),
    "holdout": ("0", "59000"),
    "average": ("0", "100"),
    "threads": ("1", "1024"),
    "depth": ("0", "4294967295"),
    "seed": ("0", "4294967295"),
    "num_workers": ("0", "4294967295"),
    "pretrain": ("0", "1000000"),
    "rho": ("0", "1"),
    "image_size": ("8", "1024"),
    "workers": ("0", "256"),
}
MORE = {  # flags that some need beside them
    "prior_width": ("--prior", "colour"),
    "rho": ("--dataset", "biased_mnist"),
    "image_size": ("--dataset", "images", "--data_dir", "."),
    "workers": ("--dataset", "images", "--data_dir", "."),
}
ELSEWHERE = {"help", "exp_name", "save_dir", "from", "data_sha256"}
SWITCHES = {
    "train_baseline",
    "cuda",
    "from_scratch",
    "use_pretrain",
    "resume",
    "continue",
    "dry_run",
    "debug",
    "is_train",
    "skip_broken",
}


@pytest.mark.parametrize(("flag", "value"), [(f, v) for f, values in BOUNDS.items() for v in values])
def test_value_out_of_bounds(capsys, tmp_path, flag, value):
    line = refused(capsys, train, "-e", "x", "--save_dir", tmp_path, f"--{flag}={value}")
    assert flag in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("flag", "value"), [(f, v) for f, values in AT_BOUNDS.items() for v in values])
def test_value_at_its_bounds(flag, value):
    method = {"alpha": "blindeye", "smoothing": "lntl_plus", "prior_width": "lntl_plus"}.get(flag, "lntl")
    line = ["-e", "x", f"--{flag}={value}", "--method", method, *MORE.get(flag, ())]
    option = options.train_parser().parse_args(line)
    assert getattr(options.resolve_training(option), flag) == float(value)


def test_no_flag_is_left_out():
    flags = {action.option_strings[-1][2:].replace("-", "_") for action in options.train_parser()._actions}
    assert flags == set(BOUNDS) | SWITCHES | ELSEWHERE
    numbers = {a.dest for a in options.train_parser()._actions if "number" in getattr(a.type, "__qualname__", "")}
    assert numbers == set(AT_BOUNDS) | {"n_class", "input_size"}  # which have one value


def test_reliability_says_how_many():
    inside, beyond = (sum(map(len, values.values())) for values in (AT_BOUNDS, BOUNDS))
    text = (records.ROOT / "docs" / "RELIABILITY.md").read_text()
    assert f"| {inside} values at the bounds, {beyond} beyond," in text
    lines = test_flags_that_cannot_be.pytestmark[0].args[1]
    assert f"| {len(lines)} command lines |" in text


@pytest.mark.parametrize("flag", sorted(set(AT_BOUNDS) & {a.dest for a in options.test_parser()._actions}))
@pytest.mark.parametrize("value", ["-1", "nan", "x", "1e99"])
def test_value_out_of_bounds_of_test(capsys, tmp_path, flag, value):
    assert flag in refused(capsys, evaluation, "-e", "x", "--save_dir", tmp_path, f"--{flag}={value}")


@pytest.mark.parametrize("name", ["../x", "", "a b", "a\nb", "ü", "x" * 101, ".hidden", "a/b", "/tmp/x", "-"])
@pytest.mark.parametrize("program", [train, evaluation])
def test_odd_names(capsys, program, name):
    assert "is no experiment name" in refused(capsys, program, f"--exp_name={name}")


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--train_baseline", "--method", "lntl"], "contradict each other"),
        (["--cuda", "--device", "cpu"], "--cuda and --device cpu contradict each other"),
        (["--checkpoint", "x.pth", "--from_scratch"], "--checkpoint and --from_scratch contradict each other"),
        (["--detach_h", "2", "--method", "baseline"], "--detach_h belongs to --method lntl"),
        (["--mu", "0.2", "--method", "gray"], "--mu belongs to --method lntl"),
        (["--lambda_", "0.1", "--method", "blindeye"], "--lambda_ belongs to --method lntl"),
        (["--alpha", "0.2"], "--alpha belongs to --method blindeye"),
        (["--smoothing", "0.2"], "--smoothing belongs to --method lntl_plus"),
        (["--use_pretrain", "--from_scratch"], "--use_pretrain and --from_scratch contradict each other"),
        (["--precision", "tf32", "--device", "cpu"], "arithmetic of a GPU"),
        (["--checkpoint_sha256", "0" * 64], "is not the file of --checkpoint_sha256"),
        (["--detach_h", "5", "--max_step", "4"], "is more than --max_step 4"),
        (["--continue", "--dry-run"], "--continue and --dry-run contradict each other"),
        (["--data_dir", ".", "--data_seed", "1"], "--data_seed is for data that is built"),
        (["--data_dir", "."], "does not exist; give the folder of the released files"),
        (["--checkpoint", "no/such/file.pth"], "no/such/file.pth is not a file"),
        (["--checkpoint", "."], ". is not a file"),
        (["--checkpoint", "README.md"], "it is not a PyTorch file"),
        (["--from", ""], "argument --from: it is empty"),
        (["--from", "~nobody/options.json"], "options.json"),
        (["--data_sha256", "A" * 64], "is no SHA-256 in lower case"),
        (["--resume"], "there is no run"),
        (["--from", "a\nb"], "give the options.json of a run"),
        (["--from", "README.md"], "README.md is damaged, or no record of a run"),
        (["--save_dir", ""], "argument --save_dir: it is empty"),
        (["--save_dir", "a\nb"], "is empty or has characters"),
        (["--save_dir", "\udcff"], "is empty or has characters"),
        (["--optimizer", "adam", "--momentum", "0.5"], "are of --optimizer sgd"),
        (["--optimizer", "adam", "--deviation", "one_pass"], "are of --optimizer sgd"),
        (["--no_such_flag"], "unknown: --no_such_flag"),
        (["--lr"], "expected one argument"),
    ],
)
def test_flags_that_cannot_be(capsys, tmp_path, flags, why):
    assert why in refused(capsys, train, "-e", "x", "--save_dir", tmp_path, *flags)


def test_holdout_that_leaves_nothing(capsys, tmp_path):
    write_small(tmp_path, train=20, test=10)
    flags = ["-e", "x", "--save_dir", tmp_path, "--data_dir", tmp_path, "--color_var", "0.02", "--from_scratch"]
    assert "--holdout 20" in refused(capsys, train, *flags, "--holdout", "20")


def test_missing_name_and_missing_run(capsys, tmp_path):
    assert "-e NAME" in refused(capsys, train)
    assert "-e NAME, or a weights file" in refused(capsys, evaluation)
    assert "train first" in refused(capsys, evaluation, "-e", "x", "--save_dir", tmp_path)


def test_damaged_weights(capsys, tmp_path):
    path = weights_file(tmp_path / "w.pth")
    path.write_bytes(path.read_bytes()[:-1000])
    refused(capsys, evaluation, "-e", "x", "--save_dir", tmp_path, "--checkpoint", path)


def test_save_dir_that_is_a_file(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert "save_dir" in refused(capsys, train, "-e", "x", "--save_dir", tmp_path / "file")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_cuda_without_a_gpu(capsys, tmp_path):
    assert "--device cpu" in refused(capsys, train, "-e", "x", "--save_dir", tmp_path, "--device", "cuda")


def test_official_command_line_works(capsys, tmp_path):
    start = weights_file(tmp_path / "w.pth")
    flags = (
        f"-e x --lr 0.001 --is_train --use_pretrain --checkpoint {start} --color_var 0.02 --cuda --num_workers 4 -d "
        "--n_class 10 --input_size 28 --depth 20 --seed 2 --cudnn_benchmark True --random_seed 1 --data_split train "
        f"--save_step 5 --log_step 10 --max_step 2 --save_dir {tmp_path} --dry-run"
    )
    assert train.main([*flags.split(), "--holdout", "500"]) == 0
    out = capsys.readouterr().out
    for flag in ("--num_workers", "--depth", "--seed", "--is_train", "--use_pretrain", "--data_split", "--debug"):
        assert f"note: {flag} has nothing left to do" in out
    assert [p.name for p in tmp_path.iterdir()] == ["w.pth"]

    assert evaluation.main(flags.replace("--data_split train", "--data_split test").split()[:-1]) == 0
    assert "ACCURACY : 0." in capsys.readouterr().out


def test_official_defaults():
    option = vars(options.train_parser().parse_args(["-e", "x"]))
    official = {
        "batch_size": 128, "momentum": 0.9, "lr_decay_rate": 0.1, "lr_decay_period": 40, "weight_decay": 0.0005,
        "max_step": 100, "checkpoint": None, "log_step": 50, "save_step": 10, "save_dir": "./checkpoint/",
        "use_pretrain": False, "train_baseline": False, "random_seed": None, "cuda": False,
    }  # fmt: skip
    assert {k: option[k] for k in official} == official


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--method lntl", (0.01, 0.1)),
        ("--method lntl --dataset biased_mnist", (1, 1)),
        ("--method lntl --dataset biased_mnist --mu 0.5", (1, 0.5)),
        ("--method lntl_plus --dataset biased_mnist", (0.01, 0.03)),
        ("--method lntl_plus --dataset images --data_dir .", (0.01, 0.01)),
        ("--method lntl --dataset images --data_dir . --bias sex age", (1, 1)),
        ("--method lntl --dataset images --data_dir . --bias colour", (0.01, 0.1)),
        ("--method lntl --dataset images --data_dir . --bias Color", (0.01, 0.1)),
    ],
)
def test_the_defaults_of_lambda_and_mu_are_those_of_the_data(flags, expected):
    option = options.resolve_training(options.train_parser().parse_args(["-e", "x", *flags.split()]))
    assert (option.lambda_, option.mu) == expected


@pytest.mark.parametrize(("flags", "lr"), [("", 0.001), ("--method baseline", 0.01), ("--lr 0.5", 0.5)])
def test_the_learning_rate_is_that_of_method_and_optimizer(flags, lr):
    def resolved(*more):
        return options.resolve_training(options.train_parser().parse_args(["-e", "x", *flags.split(), *more])).lr

    assert resolved() == lr
    assert resolved("--optimizer", "adam") == (0.5 if "--lr" in flags else 0.001)


@pytest.mark.parametrize("parser", [options.train_parser, options.test_parser])
def test_help_names_every_flag(capsys, parser):
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(flag in text for action in parser()._actions for flag in action.option_strings)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--lambda=1", "--lambda_"), ("--epochs=3", "--max_step"), ("--colour-var=0.02", "--color_var"),
        ("--max-steps=3", "--max_step"), ("--learning-rate=1", "--lr"), ("--resum", "--resume"),
    ],
)  # fmt: skip
def test_a_mistyped_flag_is_named(capsys, tmp_path, typed, meant):
    assert f"did you mean {meant}?" in refused(capsys, train, "-e", "x", "--save_dir", tmp_path, typed)


@pytest.mark.parametrize(
    ("program", "typed", "meant"),
    [
        (reproduce, "--data-dri=x", "--data_dir"),
        (evaluation, "--chekpoint=x", "--checkpoint"),
        (exits_of(images), "--traget=y", "--target"),
        (exits_of(colored_mnist), "--colour-var=0.02", "--color_var"),
        (checkpoint, "--shp", "--ship"),
    ],
)
def test_every_command_names_what_may_be_meant(capsys, program, typed, meant):
    assert f"did you mean {meant}?" in refused(capsys, program, typed)


def test_hyphens_are_underscores_and_home_is_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/x")
    given = "-e x --color-var 0.02 --max-step 3 --lr-decay-period=2 --dry_run --save-dir ~/runs --checkpoint=~/w.pth"
    option = options.train_parser().parse_args(given.split())
    assert (option.color_var, option.max_step, option.lr_decay_period, option.dry_run) == (0.02, 3, 2, True)
    assert (option.save_dir, option.checkpoint) == ("/home/x/runs", "/home/x/w.pth")
