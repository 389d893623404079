"""test.py: what is evaluated on what, and where it is written."""

import json
import shutil

import pytest
import torch

import test as evaluation
import train
from models.checkpoint import read_torch_file
from tests.models.test_models import weights_file
from tests.processes import flags, write_small
from tests.test_options import refused


@pytest.fixture
def folder(tmp_path, small_data):
    """A folder with a run of one epoch on data of σ² = 0.02, in `data`, and data of σ² = 0.03 beside it."""
    shutil.copytree(small_data, tmp_path / "data")
    write_small(tmp_path / "data", color_var=0.03)
    given = flags(tmp_path, tmp_path / "data")
    given[given.index("--max_step") + 1] = "1"
    assert train.main(given) == 0
    return tmp_path


def evaluated(capsys, folder, *given):
    """(first line of the output, the file that was written)"""
    capsys.readouterr()
    assert evaluation.main([*map(str, given), "--save_dir", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    written = next(line.partition("written: ")[2] for line in lines if line.endswith(".json"))
    return lines[0], json.loads(open(written).read()), written


def test_its_own_evaluation_is_that_of_the_training(capsys, folder):
    before = json.loads((folder / "run/metrics.json").read_text())
    for given in (["-e", "run"], [folder / "run/final.pth"], ["--checkpoint", folder / "run/final.pth"]):
        (folder / "run/metrics.json").unlink()
        line, metrics, written = evaluated(capsys, folder, *given)
        assert line.startswith(f"weights {folder}/run/final.pth: lntl, σ² = 0.02, split test, data {folder}/data")
        assert written == f"{folder}/run/metrics.json"
        assert {k: v for k, v in metrics.items() if k != "option"} == {k: v for k, v in before.items() if k != "option"}
        assert {k for k in before["option"] if metrics["option"][k] != before["option"][k]} <= {
            "threads",
            "data_split",
            "device",
        }


@pytest.mark.parametrize(
    "flag", [["--color_var", "0.03"], ["--method", "baseline"], ["--train_baseline"], ["--data_dir", "x"]]
)
def test_what_contradicts_the_weights_is_refused_or_on_purpose(capsys, folder, flag):
    if flag[-1] == "x":
        (folder / "x").mkdir()
        flag = ["--data_dir", write_small(folder / "x", train=100)]
    before = (folder / "run/metrics.json").read_bytes()
    error = refused(capsys, evaluation, "-e", "run", "--save_dir", folder, *flag)
    assert "--anyway" in error
    assert "final.pth was trained with" in error
    _, _, written = evaluated(capsys, folder, "-e", "run", *flag, "--anyway")
    assert written.startswith(f"{folder}/run/evaluation_run_final_")
    assert (folder / "run/metrics.json").read_bytes() == before


def test_data_that_moved_or_is_another(capsys, folder):
    shutil.move(folder / "data", folder / "moved")
    assert "give --data_dir, where it is" in refused(capsys, evaluation, "-e", "run", "--save_dir", folder)
    _, _, written = evaluated(capsys, folder, "-e", "run", "--data_dir", f"{folder}/moved/")
    assert written.endswith("run/metrics.json")
    write_small(folder / "moved", train=100)
    error = refused(capsys, evaluation, "-e", "run", "--save_dir", folder, "--data_dir", folder / "moved")
    assert "data of the SHA-256" in error


def test_everything_else_has_a_name_of_its_own(capsys, folder):
    """Training images, other weights, and other weights under a name that there is already."""
    weights_file(folder / "lntl_var0.030.pth")
    before, names = (folder / "run/metrics.json").read_bytes(), set()
    data = ["--data_dir", folder / "data"]
    line, _, written = evaluated(capsys, folder, "-e", "run", "--data_split", "train")
    assert "split train" in line
    names.add(written)
    line, _, written = evaluated(capsys, folder, "-e", "run", "--checkpoint", folder / "lntl_var0.030.pth", *data)
    assert "lntl, σ² = 0.03," in line
    names.add(written)
    weights_file(folder / "lntl_var0.030.pth")
    names.add(evaluated(capsys, folder, "-e", "run", "--checkpoint", folder / "lntl_var0.030.pth", *data)[2])
    names.add(evaluated(capsys, folder, folder / "lntl_var0.030.pth", *data)[2])
    assert len(names) == 4
    assert (folder / "run/metrics.json").read_bytes() == before


def test_weights_that_say_nothing_are_asked_for(capsys, folder):
    """Else the name tells; a name that contradicts the flags is refused."""
    data = ["--data_dir", folder / "data"]
    path = weights_file(folder / "unnamed.pth")
    assert "give --method and --color_var" in refused(capsys, evaluation, path, *data)
    assert "baseline, σ² = 0.03" in evaluated(capsys, folder, path, *data, "--train_baseline", "--color_var", "0.03")[0]
    path = path.rename(folder / "pretrained_var0.020.pth")
    assert "baseline, σ² = 0.02" in evaluated(capsys, folder, path, *data)[0]
    assert "not 0.03" in refused(capsys, evaluation, path, *data, "--color_var", "0.03")
    assert "two files" in refused(capsys, evaluation, path, "--checkpoint", folder / "run/final.pth")


def test_the_file_knows_better_than_its_name(capsys, folder):
    path = folder / "baseline_var0.030.pth"
    shutil.copy(folder / "run/final.pth", path)
    assert "lntl, σ² = 0.02" in evaluated(capsys, folder, path)[0]


def test_the_checkpoint_of_a_run_is_one_of_its_weights(capsys, folder):
    line, metrics, written = evaluated(capsys, folder, folder / "run/last.pt")
    assert "lntl, σ² = 0.02" in line
    assert "evaluation_run_last" in written
    assert metrics["accuracy"] == json.loads((folder / "run/metrics.json").read_text())["accuracy"]
    last, net = read_torch_file(folder / "run/last.pt"), read_torch_file(folder / "run/final.pth")["net_state_dict"]
    assert all(torch.equal(v, net[k]) for k, v in (last["f"] | last["g"]).items())
