"""test.py: what is evaluated on what, where it is written, and that predictions are the metrics."""

import csv
import shutil

import pytest
import torch

import test as evaluation
import train
from models.checkpoint import read_torch_file
from tests.models.test_models import weights_file
from tests.processes import ROOT, image_flags, read, refused, write_small


@pytest.fixture
def folder(tmp_path, whole, small_data):
    """A folder with a run on data of σ² = 0.02, in `data`, and data of σ² = 0.03 beside it."""
    shutil.copytree(whole, tmp_path / "run")
    shutil.copytree(small_data, tmp_path / "data")
    write_small(tmp_path / "data", color_var=0.03)
    return tmp_path


def evaluated(capsys, folder, *given, data="data"):
    """(first line of the output, the metrics that were written, their file)"""
    capsys.readouterr()
    line = [*map(str, given), "--save_dir", str(folder), "--data_dir", str(folder / data)]
    assert evaluation.main(line) == 0
    lines = capsys.readouterr().out.splitlines()
    written = next(line.partition("written: ")[2] for line in lines if line.endswith(".json"))
    return lines[0], read(written), written


def test_an_evaluation_is_that_of_the_training_under_a_name_of_its_own(capsys, folder):
    before = read(folder / "run/metrics.json")
    written = set()
    for given in (["-e", "run"], ["--checkpoint", folder / "run/final.pth"], ["--checkpoint", folder / "run/last.pt"]):
        line, metrics, path = evaluated(capsys, folder, *given)
        assert "lntl, σ² = 0.02, split test, data" in line
        for key in ("accuracy", "correct", "confusion", "loss", "groups"):
            assert metrics[key] == before[key]
        written.add(path)
    line, _, path = evaluated(capsys, folder, "-e", "run", "--data_split", "train")
    assert "split train" in line
    assert len(written | {path}) == 3  # the run's weights are the same by either name
    assert read(folder / "run/metrics.json") == before


@pytest.mark.parametrize(
    "flag", [["--color_var", "0.03"], ["--method", "baseline"], ["--train_baseline"], ["--network", "simple_conv"]]
)
def test_what_contradicts_the_weights_is_refused_or_on_purpose(capsys, folder, flag):
    error = refused(capsys, evaluation, "-e", "run", "--save_dir", folder, "--data_dir", folder / "data", *flag)
    assert "final.pth was trained with" in error
    assert "--anyway" in error
    if "network" not in flag[0]:
        assert "evaluation_" in evaluated(capsys, folder, "-e", "run", *flag, "--anyway")[2]


def test_data_that_is_another_or_has_moved(capsys, folder):
    shutil.move(folder / "data", folder / "moved")
    assert evaluated(capsys, folder, "-e", "run", data="moved")[1]["n"] == 64
    write_small(folder / "moved", train=100)
    line = ["-e", "run", "--save_dir", folder, "--data_dir", folder / "moved"]
    assert "data of the SHA-256" in refused(capsys, evaluation, *line)


def test_weights_that_say_nothing_need_flags(capsys, folder):
    path = ["--checkpoint", weights_file(folder / "unnamed.pth")]
    assert "give --method and --color_var" in refused(capsys, evaluation, *path, "--save_dir", folder)
    assert "baseline, σ² = 0.03" in evaluated(capsys, folder, *path, "--train_baseline", "--color_var", "0.03")[0]
    assert "train first" in refused(capsys, evaluation, "-e", "none", "--save_dir", folder)


def test_shipped_weights_are_evaluated_on_the_benchmark(capsys, tmp_path):
    """Of a GPU in tf32, too."""
    content = read_torch_file(ROOT / "checkpoints/lntl_var0.020.pth")
    torch.save(content | {"option": content["option"] | {"precision": "tf32"}}, tmp_path / "lntl.pth")
    assert evaluation.main(["--checkpoint", str(tmp_path / "lntl.pth"), "--save_dir", str(tmp_path)]) == 0
    assert "ACCURACY : 0.7620" in capsys.readouterr().out


def test_predictions_are_the_metrics(tmp_path, small_images):
    """Accuracy, confusion and groups, from the file of predictions and the table of the images."""
    assert train.main(image_flags(tmp_path, small_images, "--method", "lntl_plus", epochs=2)) == 0
    out = tmp_path / "predictions.csv"
    assert evaluation.main(["-e", "run", "--save_dir", str(tmp_path), "--out", str(out)]) == 0
    metrics = read(tmp_path / "run/metrics.json")
    with open(small_images / "metadata.csv", newline="") as file:
        table = {row["img_filename"]: row for row in csv.DictReader(file) if row["split"] == "2"}
    with open(out, newline="") as file:
        predicted = {row["file"]: row["class"] for row in csv.DictReader(file)}
    assert predicted.keys() == table.keys()
    right = {name: predicted[name] == row["y"] for name, row in table.items()}
    assert metrics["accuracy"] == sum(right.values()) / len(right)
    for group in metrics["groups"]:
        mine = [name for name, row in table.items() if (row["y"], row["place"]) == (group["y"], group["b"])]
        assert (group["n"], group["accuracy"]) == (len(mine), sum(right[name] for name in mine) / len(mine))
    for y, counts in zip(metrics["classes"], metrics["confusion"], strict=True):
        mine = [predicted[name] for name, row in table.items() if row["y"] == y]
        assert counts == [mine.count(k) for k in metrics["classes"]]


def test_code_that_a_weights_file_names_is_not_run(tmp_path, capsys):
    option = {"method": "baseline", "dataset": "biased_mnist", "network": "os:abort"}
    torch.save({"net_state_dict": {}, "option": option}, tmp_path / "w.pth")
    said = refused(capsys, evaluation, "--checkpoint", tmp_path / "w.pth", "--save_dir", tmp_path)
    assert "wants code to be run, os:abort; give --network os:abort to trust it" in said
