"""What train.sh, test.sh and tests/run.sh run, by the flags that they are given."""

import os
import signal
import sys

import pytest

from tests.scripts.clone import TRAIN

BASELINE = "--method baseline --color_var"


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("", "lntl_var0.020"),
        ("--color_var 0.02 --max_step 5", "lntl_var0.020"),
        ("--color_var=2e-2", "lntl_var0.020"),
        ("--color_var 0.03 --color_var=.02", "lntl_var0.020"),
        ("--method gray --color_var 0.045", "gray_var0.045"),
        ("--train_baseline --color_var 0.05", "baseline_var0.050"),
        ("--color_var x", "lntl"),
        ("--color_var", "lntl"),
    ],
)
def test_train_names_the_run_by_what_is_in_effect(ready, flags, name):
    status, output, calls = ready.run("train.sh", *flags.split())
    method = name.split("_")[0]
    assert (status, output) == (0, "")
    [call] = calls
    assert call.startswith(f"train.py -e {name} --method {method} --color_var 0.02 ")
    assert call.endswith(flags)


def test_train_leaves_a_name_that_is_given_in_charge(ready):
    [call] = ready.run("train.sh", "-e", "mine", "--checkpoint", "a b.pth")[2]
    assert call.endswith("-e mine --checkpoint a b.pth")


def test_train_leaves_a_record_in_charge(ready, tmp_path):
    [call] = ready.run("train.sh", "--from", "run/options.json", "-e", "again", cwd=tmp_path)[2]
    assert call == f"train.py --from {tmp_path}/run/options.json -e again"


def test_train_passes_the_status_on(ready):
    assert ready.run("train.sh", STUB_STATUS="3")[0] == 3


@pytest.mark.parametrize("method", ["lntl", "blindeye"])
def test_missing_baseline_is_trained_first(ready, method):
    flags = f"--method {method} --color_var 0.03 --max_step 5 --save_dir=d --device cpu --cuda"
    status, output, calls = ready.run("train.sh", *flags.split())
    assert status == 0
    assert "no baseline of variance 0.03 is shipped; training it first" in output
    first, second = calls
    assert first.startswith(f"train.py -e baseline_var0.030 {BASELINE} 0.03 --resume --random_seed")
    assert first.endswith("--save_dir=d --device=cpu --cuda")
    assert "--checkpoint d/baseline_var0.030/final.pth" in second
    assert second.startswith(f"train.py -e {method}_var0.030 --method {method} ")


@pytest.mark.parametrize("flags", ["--checkpoint f.pth", "--checkpoint=f.pth", "--from_scratch", "--help", "-h"])
def test_no_baseline_is_trained_where_none_is_wanted(ready, flags):
    assert len(ready.run("train.sh", "--color_var", "0.03", *flags.split())[2]) == 1


def test_dry_run_trains_no_baseline(ready):
    [call] = ready.run("train.sh", "--color_var", "0.03", "--dry-run")[2]
    assert "--from_scratch" in call


def test_a_baseline_that_fails_stops_it(ready):
    status, _, calls = ready.run("train.sh", "--color_var", "0.03", STUB_STATUS="2")
    assert (status, len(calls)) == (2, 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_baseline_training(clone, number):
    (clone.root / "train.py").write_text(TRAIN)
    process = clone.start("train.sh", "--color_var", "0.03", LNTL_PYTHON=sys.executable)
    clone.wait_for_call("baseline_var0.030")
    if number == signal.SIGTERM:
        process.send_signal(number)  # to train.sh alone, as a scheduler does
    else:
        os.killpg(process.pid, number)  # Ctrl-C: to all of them, and Python has no handler of its own yet
    process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert ("saved" in clone.calls()) == (number == signal.SIGTERM)
    assert not any("lntl_var" in call for call in clone.calls())


def test_paths_are_those_of_the_folder_it_was_called_from(ready, tmp_path):
    [call] = ready.run("train.sh", "--data_dir=rel", "--save_dir", "/abs", "--checkpoint", "c.pth", cwd=tmp_path)[2]
    assert f"--data_dir={tmp_path}/rel --save_dir /abs --checkpoint {tmp_path}/c.pth" in call


def test_test_says_when_there_is_nothing(ready):
    status, output, calls = ready.run("test.sh", "--color_var", "0.03")
    assert (status, calls) == (2, [])
    assert output.startswith("error: nothing to evaluate: checkpoint/lntl_var0.030 does not exist; train first")


@pytest.mark.parametrize(
    ("flags", "call"),
    [
        ("", "-e lntl_var0.020"),
        ("-e mine --device cpu", "-e mine --device cpu"),
        ("--checkpoint d/w_var0.050.pth", "-e test_d_w_var0.050 --color_var 0.050 --checkpoint d/w_var0.050.pth"),
        ("--checkpoint ./w.pth", "-e test_w --color_var 0.02 --checkpoint ./w.pth"),
        (
            "--checkpoint checkpoint/lntl_var0.030/final.pth",
            "-e test_lntl_var0.030_final --color_var 0.030 --checkpoint checkpoint/lntl_var0.030/final.pth",
        ),
    ],
)
def test_test_evaluates(ready, flags, call):
    (ready.root / "checkpoint/lntl_var0.020").mkdir(parents=True)
    status, _, calls = ready.run("test.sh", *flags.split())
    assert (status, calls) == (0, [f"test.py {call}"])


def test_run_checks_the_style_and_then_tests(ready):
    calls = ready.run("tests/run.sh", "-m", "slow")[2]
    assert calls == ["-m ruff check .", "-m ruff format --check .", "lint_imports", "-m pytest -m slow"]
    assert ready.run(".ci/run")[2][-1] == "-m pytest"
