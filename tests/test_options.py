"""Flags: the official ones work, and wrong ones end in one line and exit status 2."""

import os

import pytest
import torch

import option as options
import test as evaluation
import train
from dataset.released import ReleasedFile, released_name, write_released
from tests.test_models import weights_file
from tests.test_trainer import digits


def refused(capsys, program, *arguments):
    """Runs a program that must refuse its arguments; returns the one line that it prints."""
    with pytest.raises(SystemExit) as stop:
        program.main([*map(str, arguments)])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("error: "), error
    assert error.count("\n") == 1, error
    return error


BOUNDS = {
    "color_var": ("0", "-1", "1.5", "nan", "inf", "red", "0.021", "0.7"),
    "batch_size": ("0", "1", "-4", "1.5", "60001", "many"),
    "lr": ("0", "-0.1", "nan", "inf", "1e9", "fast"),
    "lr_decay_rate": ("0", "2", "nan"),
    "lr_decay_period": ("0", "-1", "2.5"),
    "momentum": ("-0.1", "1", "nan"),
    "weight_decay": ("-1e-9", "inf", "x"),
    "max_step": ("0", "-3", "1e3", "10000000"),
    "save_step": ("0",),
    "log_step": ("0",),
    "random_seed": ("-1", "4294967296", "1.0"),
    "data_seed": ("-1", "x"),
    "lambda_": ("-1", "nan", "inf"),
    "mu": ("-1", "nan"),
    "alpha": ("-1", "nan"),
    "detach_h": ("-1", "0.5"),
    "holdout": ("-1", "60000"),
    "threads": ("0", "-1"),
    "n_class": ("9",),
    "input_size": ("32",),
    "method": ("lnl", ""),
    "device": ("tpu",),
    "precision": ("float16",),
    "cudnn_benchmark": ("perhaps",),
}


@pytest.mark.parametrize(("flag", "value"), [(f, v) for f, values in BOUNDS.items() for v in values])
def test_value_out_of_bounds(capsys, tmp_path, flag, value):
    line = refused(capsys, train, "-e", "x", "--save_dir", tmp_path, f"--{flag}={value}")
    assert flag in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "", "a b", "a\nb", "ü", "x" * 101, ".hidden", "a/b", "/tmp/x", "-"])
@pytest.mark.parametrize("program", [train, evaluation])
def test_odd_names(capsys, program, name):
    refused(capsys, program, f"--exp_name={name}")


@pytest.mark.parametrize(
    "flags",
    [
        ["--train_baseline", "--method", "lntl"],
        ["--cuda", "--device", "cpu"],
        ["--checkpoint", "x.pth", "--from_scratch"],
        ["--detach_h", "2", "--method", "baseline"],
        ["--detach_h", "5", "--max_step", "4"],
        ["--resume", "--dry-run"],
        ["--data_dir", ".", "--data_seed", "1"],
        ["--data_dir", "no/such/folder"],
        ["--data_dir", "."],
        ["--checkpoint", "no/such/file.pth"],
        ["--checkpoint", "."],
        ["--checkpoint", "README.md"],
        ["--checkpoint", ""],
        ["--data_dir", ""],
        ["--save_dir", ""],
        ["--save_dir", "a\nb"],
        ["--save_dir", "\udcff"],
        ["--no_such_flag"],
        ["--lr"],
    ],
)
def test_flags_that_cannot_be(capsys, tmp_path, flags):
    refused(capsys, train, "-e", "x", "--save_dir", tmp_path, *flags)


def test_holdout_that_leaves_nothing(capsys, tmp_path):
    train_part, test_part = digits(20, seed=1), digits(10, seed=2)
    write_released(tmp_path / released_name(0.02), ReleasedFile(*train_part, *test_part, test_part[0].max(axis=3)))
    flags = ["-e", "x", "--save_dir", tmp_path, "--data_dir", tmp_path, "--color_var", "0.02", "--from_scratch"]
    assert "--holdout 20" in refused(capsys, train, *flags, "--holdout", "20")


def test_missing_name_and_missing_run(capsys, tmp_path):
    assert "-e NAME" in refused(capsys, train)
    assert "-e NAME" in refused(capsys, evaluation)
    assert "train first" in refused(capsys, evaluation, "-e", "x", "--save_dir", tmp_path)


def test_damaged_weights(capsys, tmp_path):
    path = weights_file(tmp_path / "w.pth")
    path.write_bytes(path.read_bytes()[:-1000])
    refused(capsys, evaluation, "-e", "x", "--save_dir", tmp_path, "--checkpoint", path)


def test_save_dir_that_is_a_file(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert "save_dir" in refused(capsys, train, "-e", "x", "--save_dir", tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_save_dir_that_is_read_only(capsys, tmp_path):
    tmp_path.chmod(0o500)
    assert "save_dir" in refused(capsys, train, "-e", "x", "--save_dir", tmp_path)


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


@pytest.mark.parametrize("parser", [options.train_parser, options.test_parser])
def test_help_names_every_flag(capsys, parser):
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(flag in text for action in parser()._actions for flag in action.option_strings)
