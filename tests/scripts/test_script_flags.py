"""What train.sh, test.sh and tests/run.sh run, by the flags that they are given."""

import os
import shutil
import signal
import subprocess
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
        ("--color-var 0.05 --method gray", "gray_var0.050"),
        ("--method gray --color_var 0.045", "gray_var0.045"),
        ("--train_baseline --color_var 0.05", "baseline_var0.050"),
        ("--color_var x", "lntl"),
        ("--color_var", "lntl"),
    ],
)
def test_train_names_the_run_by_what_is_in_effect(ready, flags, name):
    status, output, calls = ready.run("train.sh", *flags.split())
    method = name.split("_")[0]
    assert status == 0
    assert ("sigma^2 = 0.02, the default of train.sh" in output) == (not flags)
    [call] = calls
    assert call.startswith(f"train.py -e {name} --method {method} --color_var 0.02 ")
    assert call.endswith(flags)


def test_train_leaves_a_name_that_is_given_in_charge(ready):
    [call] = ready.run("train.sh", "-e", "mine", "--checkpoint", "a b.pth")[2]
    assert call.endswith("-e mine --checkpoint a b.pth")


def test_train_leaves_a_record_in_charge(ready, tmp_path):
    [call] = ready.run("train.sh", "--from", "run/options.json", "-e", "again", cwd=tmp_path)[2]
    assert call == f"train.py --from {tmp_path}/run/options.json -e again --save_dir {ready.root}/checkpoint"


def test_train_passes_the_status_on(ready):
    assert ready.run("train.sh", STUB_STATUS="3")[0] == 3


@pytest.mark.parametrize("method", ["lntl", "blindeye"])
def test_missing_baseline_is_trained_first(ready, method):
    flags = f"--method {method} --color_var 0.03 --max_step 5 --save_dir=d --device cpu --cuda"
    status, output, calls = ready.run("train.sh", *flags.split())
    assert status == 0
    assert "no baseline of variance 0.03 is shipped; training it first" in output
    first, second = calls
    assert first.startswith(f"train.py -e baseline_var0.030 {BASELINE} 0.03 --continue --random_seed")
    assert first.endswith("--save_dir=d --device=cpu --cuda")
    assert "--checkpoint d/baseline_var0.030/final.pth" in second
    assert second.startswith(f"train.py -e {method}_var0.030 --method {method} ")


@pytest.mark.parametrize("flags", ["--checkpoint f.pth", "--checkpoint=f.pth", "--from-scratch", "--pretrain 1"])
def test_no_baseline_is_trained_where_none_is_wanted(ready, flags):
    assert len(ready.run("train.sh", "--color_var", "0.03", *flags.split())[2]) == 1


@pytest.mark.parametrize("flag", ["--dry-run", "--dry_run"])
def test_dry_run_trains_no_baseline(ready, flag):
    [call] = ready.run("train.sh", "--color_var", "0.03", flag)[2]
    assert "--from_scratch" in call


def test_resume_needs_no_flags_again(ready):
    assert ready.run("train.sh", "--resume")[1:] == ("", ["train.py -e lntl_var0.020 --resume"])
    flags = ("--color_var", "0.03", "--resume")
    for stopped in ("baseline_var0.030", "lntl_var0.030"):  # first within the baseline, then within the method
        (ready.root / "checkpoint" / stopped).mkdir(parents=True)
        calls = ready.run("train.sh", *flags)[2]
        assert ("baseline" in calls[0]) == (stopped == "baseline_var0.030")
        assert calls[-1].endswith("--resume") == (stopped == "lntl_var0.030")
    assert ready.run("train.sh", "-e", "mine", "--resume")[2] == ["train.py -e mine -e mine --resume"]


def test_another_data_set_gets_no_variance(ready):
    [call] = ready.run("train.sh", "--dataset", "images", "--method=baseline")[2]
    assert call.startswith("train.py -e images_baseline --method baseline --random_seed 1 --dataset images")


TELL = "import os; open(os.environ['STUB_LOG'], 'a').write(os.environ['LNTL_RESUME'] + chr(10))"


@pytest.mark.parametrize(
    ("flags", "more"),
    [((), "--resume"), (("-e", "a b"), "-e a\\ b --resume"), (("--resume", "--lr=1"), "--resume --lr=1")],
)
def test_programs_know_the_command_that_goes_on(clone, tmp_path, flags, more):
    (clone.root / "train.py").write_text(TELL)
    calls = clone.run("train.sh", *flags, cwd=tmp_path, LNTL_PYTHON=sys.executable)[2]
    assert calls == [f"bash {clone.root}/train.sh {more}"]


@pytest.mark.parametrize("script", ["train.sh", "test.sh"])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_needs_no_environment(clone, script, flag):
    clone.environment["STUB_LACKS"] = "torch"
    status, output, calls = clone.run(script, flag)
    assert (status, calls) == (0, [])
    assert f"bash {script} " in output
    assert all(f"LNTL_{name}=" in output for name in ("RUNTIME", "PYTHON", "LOCKED"))
    clone.environment["STUB_LACKS"] = ""
    assert clone.run(script, flag, LNTL_PYTHON="python3")[2] == [f"{script.replace('sh', 'py')} --help"]


@pytest.mark.parametrize("script", ["train.sh", "test.sh", "tests/run.sh"])
def test_another_shell_hands_over_to_bash(ready, script):
    if not (dash := shutil.which("dash")):
        pytest.skip("dash is not installed")
    (ready.root / "checkpoint/lntl_var0.020").mkdir(parents=True)
    for path, status in (("/usr/bin:/bin", 0), (str(ready.bin), 2)):
        environment = ready.environment | {"PATH": f"{ready.bin}:{path}"}
        line = [dash, ready.root / script]
        done = subprocess.run(line, env=environment, cwd=ready.root, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
    assert done.stderr.startswith("error: this is a script for bash")


def test_a_baseline_that_fails_stops_it(ready):
    status, _, calls = ready.run("train.sh", "--color_var", "0.03", STUB_STATUS="2")
    assert (status, len(calls)) == (2, 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_baseline_training(clone, number):
    (clone.root / "train.py").write_text(TRAIN)
    process = clone.start("train.sh", "--color_var", "0.03", LNTL_PYTHON=sys.executable)
    clone.wait_for_call("baseline_var0.030")
    if number != signal.SIGINT:
        process.send_signal(number)  # to train.sh alone, as a scheduler does
    else:
        os.killpg(process.pid, number)  # Ctrl-C: to all of them, and Python has no handler of its own yet
    process.communicate(timeout=20)
    assert process.returncode == 128 + (number if number == signal.SIGINT else signal.SIGTERM)
    assert ("saved" in clone.calls()) == (number != signal.SIGINT)
    assert not any("lntl_var" in call for call in clone.calls())


def test_paths_are_those_of_the_folder_it_was_called_from(ready, tmp_path):
    [call] = ready.run("train.sh", "--data-dir=rel", "--save_dir", "/abs", "--checkpoint", "c.pth", cwd=tmp_path)[2]
    assert f"--data_dir={tmp_path}/rel --save_dir /abs --checkpoint {tmp_path}/c.pth" in call
    [call] = ready.run("train.sh", "--data_dir=~/rel", cwd=tmp_path, HOME="/home/me")[2]  # results stay in the clone
    assert f" --data_dir=/home/me/rel --save_dir {ready.root}/checkpoint" in call
    [call] = ready.run("train.sh", "--init", "w.pth", "--bias", "b.pth", cwd=tmp_path)[2]
    assert f"--init {tmp_path}/w.pth --bias b.pth" in call
    [call] = ready.run("train.sh", "--init", "imagenet", cwd=tmp_path)[2]
    assert "--init imagenet" in call


@pytest.mark.parametrize(
    ("flags", "call"),
    [
        ("d/w.pth", "{here}/d/w.pth"),
        ("weights --device cpu", "{here}/weights --device cpu"),
        ("--device cpu d/w.pth", "--device cpu {here}/d/w.pth"),
        ("w.pth --images a.png --out=p.csv", "{here}/w.pth --images {here}/a.png --out={here}/p.csv"),
    ],
)
def test_weights_are_those_of_the_folder_it_was_called_from(ready, tmp_path, flags, call):
    [called] = ready.run("test.sh", *flags.split(), cwd=tmp_path)[2]
    assert called == f"test.py {call.format(here=tmp_path)} --save_dir {ready.root}/checkpoint"


def test_test_says_when_there_is_nothing(ready):
    status, output, calls = ready.run("test.sh", "--color_var", "0.03")
    assert (status, calls) == (2, [])
    assert output.startswith("error: nothing to evaluate: checkpoint/lntl_var0.030 does not exist; train first")


@pytest.mark.parametrize(
    ("flags", "call"),
    [
        ("", "-e lntl_var0.020"),
        ("-e mine --device cpu", "-e mine --device cpu"),
        ("--checkpoint d/w_var0.050.pth", "--checkpoint d/w_var0.050.pth"),
        ("--checkpoint ./w.pth", "--checkpoint ./w.pth"),
        (
            "--checkpoint checkpoint/lntl_var0.030/final.pth",
            "--checkpoint checkpoint/lntl_var0.030/final.pth",
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
