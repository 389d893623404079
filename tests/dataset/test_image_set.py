"""Images of one's own and Biased-MNIST through train.py: every method, group figures, kills, names."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import option as options
import test as evaluation
import train
from dataset import image_batches
from dataset.base import hold_out
from dataset.biased_mnist import BACKGROUNDS, UNBIASED_RHO
from dataset.biased_set import BiasedSet
from dataset.image_set import ImageSet, map_size
from models.networks import make_networks
from tests import processes
from tests.dataset import sets
from tests.test_options import refused

SMALL = [
    "--network", "paper", "--image_size", "16", "--batch_size", "8", "--max_step", "2", "--threads", "1",
    "--device", "cpu", "--random_seed", "1",
]  # fmt: skip


def flags(folder, data, *more):
    where = ["-e", "run", "--save_dir", str(folder), "--dataset", "images", "--data_dir", str(data)]
    return [*where, *SMALL, *more]


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("birds")
    sets.birds(folder)
    return folder


@pytest.mark.parametrize("method", ["baseline", "lntl", "blindeye", "lntl_plus"])
def test_every_method_gives_group_figures(birds, tmp_path, method):
    more = ["--method", method, *(["--from_scratch"] if method in ("lntl", "blindeye") else [])]
    assert train.main(flags(tmp_path, birds, *more)) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text("utf-8"))
    assert metrics["classes"] == ["0", "1"]
    assert metrics["biases"] == {"place": ["0", "1"]}
    assert [(g["y"], g["b"], g["n"]) for g in metrics["groups"]] == [(y, b, 2) for y in "01" for b in "01"]
    accuracy = [g["accuracy"] for g in metrics["groups"]]
    assert metrics["mean_group_accuracy"] == pytest.approx(np.mean(accuracy))
    assert metrics["worst_group_accuracy"] == min(accuracy)
    assert metrics["accuracy"] == pytest.approx(np.mean(accuracy))  # all groups are of one size
    assert np.array(metrics["confusion"]).shape == (2, 2)
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines()]
    assert {"holdout_accuracy", "test_accuracy"} <= set(log[0])
    assert log[0]["holdout_mean_group_accuracy"] == pytest.approx(log[0]["holdout_accuracy"])  # of one size too
    assert log[0]["holdout_worst_group_accuracy"] <= log[0]["holdout_mean_group_accuracy"]
    assert (tmp_path / "run" / "groups.png").exists()


def test_pretraining_is_part_of_the_command(birds, tmp_path):
    assert train.main(flags(tmp_path, birds, "--pretrain", "1")) == 0
    begun = json.loads((tmp_path / "run" / "options.json").read_text("utf-8"))
    assert begun["checkpoint"] == str(tmp_path / "run_baseline" / "final.pth")
    first = json.loads((tmp_path / "run_baseline" / "options.json").read_text("utf-8"))
    assert (first["method"], first["max_step"], first["lr"]) == ("baseline", 1, 0.01)
    assert train.main(flags(tmp_path, birds, "--pretrain", "1", "--resume")) == 0


def test_pretraining_by_adam_has_adams_learning_rate(birds, tmp_path):
    assert train.main(flags(tmp_path, birds, "--pretrain", "1", "--optimizer", "adam", "--max_step", "1")) == 0
    first = json.loads((tmp_path / "run_baseline" / "options.json").read_text("utf-8"))
    assert (first["optimizer"], first["lr"]) == ("adam", 0.001)


def test_a_run_that_was_stopped_in_its_baseline_says_how_to_go_on(birds, tmp_path, capsys):
    (tmp_path / "run_baseline").mkdir()
    line = refused(capsys, train, *flags(tmp_path, birds), "--resume")
    assert "was stopped in its baseline; give its whole command again, with --continue" in line


def test_killed_and_resumed(birds, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    more = ["--from_scratch", "--max_step", "4", "--augment", "crop"]
    assert processes.run(*flags(whole, birds, *more)).returncode == 0
    process = processes.start(*flags(cut, birds, *more))
    processes.wait_for(process, cut / "run" / "log.txt", "epoch 2/")
    process.kill()
    process.wait()
    resumed = processes.run(*flags(cut, birds, *more, "--resume"))
    assert resumed.returncode == 0, resumed.stderr
    processes.assert_same(cut / "run", whole / "run")


def test_colours_of_the_pixels_as_bias(tmp_path):
    sets.tree(tmp_path / "data")
    assert train.main(flags(tmp_path, tmp_path / "data", "--from_scratch", "--bias", "colour")) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text("utf-8"))
    assert metrics["groups"] == []
    assert metrics["worst_group_accuracy"] is None
    assert list(metrics["biases"]) == ["red", "green", "blue"]


@pytest.mark.parametrize("network", ["paper", "simple_conv", "resnet18"])
@pytest.mark.parametrize("split_at", ["layer1", "layer2", "layer3", "layer4"])
def test_the_map_has_the_size_of_the_features(network, split_at):
    if network != "resnet18" and split_at != "layer2":
        pytest.skip("these are cut in one place")
    f = make_networks(network, 3, split_at=split_at).f.eval()
    for size in (32, 45):
        assert f(torch.zeros(1, 3, size, size)).shape[2:] == map_size(network, split_at, size)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--data_dir", "nowhere", "--method", "baseline"], "nowhere"),
        (["--bias", "weather", "--method", "baseline"], "weather"),
        (["--target", "kind", "--method", "baseline"], "kind"),
        (["--color_var", "0.02"], "--color_var belongs to --dataset colored_mnist"),
        (["--rho", "0.9"], "--rho belongs to --dataset biased_mnist"),
        (["--method", "gray"], "--method gray is for --dataset colored_mnist"),
        (["--init", "imagenet"], "--init is for ResNets"),
        (["--network", "paper", "--bias_predictor", "conv"], "--bias_predictor is for ResNets"),
        (["--network", "vgg"], "vgg"),
        (["--image_size", "4"], "--image_size"),
        (["--pretrain", "2", "--from_scratch"], "--pretrain"),
        ([], "none is shipped for this data; say --pretrain"),
    ],
)
def test_wrong_input_is_one_line(birds, tmp_path, capsys, more, why):
    assert why in refused(capsys, train, *flags(tmp_path, birds), *more)


def test_a_broken_image_is_named_with_its_row_or_left_out(tmp_path, capsys):
    data = tmp_path / "data"
    rows = sets.birds(data)
    (data / rows[3][1]).write_bytes(b"\xff\xd8 no picture")
    line = refused(capsys, train, *flags(tmp_path, data, "--method", "baseline"))
    assert "row 5" in line
    assert rows[3][1].split("/")[1] in line
    assert train.main(flags(tmp_path / "again", data, "--method", "baseline", "--skip_broken")) == 0
    assert "left out: 1 images" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------ Biased-MNIST


def biased(*more):
    option = options.train_parser().parse_args(["-e", "x", "--dataset", "biased_mnist", "--from_scratch", *more])
    return options.resolve_training(option)


def test_batches_of_biased_mnist_follow_the_specification():
    option = biased("--rho", "0.997", "--holdout", "600")
    data = BiasedSet(option, "cpu")
    assert (len(data.train), *map(len, data.test.values())) == (60000, 10000, 10000)
    assert int((data.train.bias != data.train.label).sum()) == 184
    assert torch.equal(data.test["test_biased_accuracy"].bias, data.test["test_biased_accuracy"].label)
    x, y, b = data.train.batch(torch.arange(5))
    assert (x.foreground.shape, y.shape, b.shape) == ((5, 3), (5,), (5, 1, 1, 1))
    assert torch.equal((x.foreground * 127.5 + 127.5).round().byte(), torch.from_numpy(BACKGROUNDS)[b.view(-1)])
    _, held = hold_out(data.train, option)
    other = data.unbiased_holdout(held, option)
    assert torch.equal(other.label, held.label)
    assert (other.bias == other.label).float().mean() == pytest.approx(UNBIASED_RHO, abs=0.02)


def test_a_dry_run_has_every_class(tmp_path, capsys):
    colors = {0: (90, 10, 10), 1: (10, 90, 10), 2: (10, 10, 90)}
    rows = []
    for i in range(300):  # sorted so that every second image is of the first class
        y, split = (0 if i % 2 else 1 + (i % 20 == 0)), (0 if i < 200 else 2)
        sets.picture(tmp_path / f"{i}.png", colors[y])
        rows.append([f"{i}.png", y, split, i % 3])
    sets.table(tmp_path / "metadata.csv", ["image", "y", "split", "b"], rows)
    line = flags(tmp_path / "runs", tmp_path, "--method", "baseline", "--dry-run")
    assert train.main(line) == 0
    assert "dry run: one batch of everything went well" in capsys.readouterr().out


@pytest.mark.parametrize("memory", [None, 0], ids=["in memory", "streaming"])
def test_images_that_were_changed_are_other_data(birds, tmp_path, capsys, monkeypatch, memory):
    if memory is not None:
        monkeypatch.setattr(image_batches, "free_memory", lambda device="cpu": memory)
    data = tmp_path / "set"
    sets.birds(data)
    one, *_, other = sorted(data.glob("*/*.jpg"))
    size = 2000  # of the file before and after
    one.write_bytes(one.read_bytes().ljust(size, b"\0"))
    line = flags(tmp_path, data, "--method", "baseline", "--workers", "0")
    assert train.main(line) == 0
    one.write_bytes(other.read_bytes().ljust(size, b"\0"))
    capsys.readouterr()
    assert "is other data than" in refused(capsys, train, *line, "--resume", "--max_step", "3")


@pytest.mark.parametrize("method", ["baseline", "lntl", "blindeye", "lntl_plus"])
def test_biased_mnist_dry_run(method, capsys):
    more = ["--from_scratch"] if method in ("lntl", "blindeye") else []
    line = f"-e x --dataset biased_mnist --dry-run --device cpu --threads 1 --method {method}"
    assert train.main([*line.split(), *more]) == 0
    out = capsys.readouterr().out
    assert "mean_group_accuracy" in out
    assert "test_biased_accuracy" in out


def test_images_are_an_image_set(birds):
    option = options.resolve_training(
        options.train_parser().parse_args(["-e", "x", "--dataset", "images", "--data_dir", str(birds), *SMALL])
    )
    data = ImageSet(option, "cpu")
    assert (data.classes, data.biases, data.values, data.heads) == (("0", "1"), ("place",), (("0", "1"),), (2,))
    x, y, b = data.train.batch(torch.arange(4))
    assert (x.shape, y.shape, b.shape) == ((4, 3, 16, 16), (4,), (4, 1, 1, 1))
    assert "a bias" in data.overview()
    assert Image.open(birds / "000.bird" / "0_0_0.jpg").size == (12, 10)


def test_predictions_for_new_images(birds, tmp_path, capsys):
    assert train.main(flags(tmp_path, birds, "--method", "baseline")) == 0
    new = tmp_path / "new"
    for i in range(3):
        sets.picture(new / f"{i}.png", (90, 100, 200))
    line = ["-e", "run", "--save_dir", str(tmp_path), "--images", str(new), "--out", str(tmp_path / "p.csv")]
    assert evaluation.main(line) == 0
    found = (tmp_path / "p.csv").read_text("utf-8").splitlines()
    assert found[0] == "file,class,probability"
    assert [row.split(",")[0] for row in found[1:]] == ["0.png", "1.png", "2.png"]
    assert {row.split(",")[1] for row in found[1:]} <= {"0", "1"}
    shipped = str(processes.ROOT / "checkpoints" / "lntl_var0.020.pth")
    assert "is not of --dataset images" in refused(capsys, evaluation, shipped, "--images", str(new))
    assert "give both" in refused(capsys, evaluation, shipped, "--out", "x.csv")


def test_evaluation_repeats_the_group_figures(birds, tmp_path):
    assert train.main(flags(tmp_path, birds, "--method", "baseline")) == 0
    before = json.loads((tmp_path / "run" / "metrics.json").read_text("utf-8"))
    assert evaluation.main(["-e", "run", "--save_dir", str(tmp_path)]) == 0
    after = json.loads((tmp_path / "run" / "metrics.json").read_text("utf-8"))
    assert {k: v for k, v in after.items() if k != "option"} == {k: v for k, v in before.items() if k != "option"}
