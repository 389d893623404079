"""Image runs as people have them: interrupted, moved, evaluated on other data, with names of every kind."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image
from torchvision import models

import option as options
import test as evaluation
import train
from dataset.base import hold_out
from dataset.image_batches import InMemory
from dataset.image_set import ImageSet
from dataset.tables import read_table
from run.evaluate import SMALL, batches
from tests.dataset import sets
from tests.dataset.test_image_set import flags
from tests.processes import PATIENT, ROOT
from tests.test_options import refused

BASELINE = ("--method", "baseline")


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("birds")
    sets.birds(folder)
    return folder


def test_what_is_evaluated_is_never_augmented(tmp_path):
    _, images = sets.random_pictures(tmp_path, 10)
    label = torch.arange(10).numpy()
    data = InMemory(images, label, label[:, None], augment="crop", seed=1)
    option = type("Option", (), {"holdout": 4, "data_seed": 0})
    for part in (*hold_out(data, option), data):
        plain = torch.cat([x for x, *_ in batches(part)])
        assert torch.equal(plain, InMemory(images, label, label[:, None]).batch(part.label)[0])
        assert part.augment == "crop"
        assert not torch.equal(part.batch(torch.arange(len(part)))[0], plain)


def test_large_images_are_evaluated_a_few_at_a_time():
    data = InMemory(torch.zeros(7, 28, 28, 3, dtype=torch.uint8).numpy(), *torch.zeros(2, 7, 1).long().numpy())
    assert [len(y) for _, y, _ in batches(data)] == [7]
    data.size = 10 * SMALL
    assert [len(y) for _, y, _ in batches(data)] == [5, 2]
    data.size = 100 * SMALL
    assert len(list(batches(data))) == 7


@pytest.mark.parametrize("size", [19, 10])  # of 20 images, one is left over: of 19 and 10, of 20 with --holdout 1
def test_a_last_image_alone_joins_the_batch_before(birds, tmp_path, size):
    resnet = ["--network", "resnet18", "--batch_size", str(size), *(["--holdout", "9"] if size == 10 else [])]
    assert train.main(flags(tmp_path, birds, *BASELINE, *resnet)) == 0


def test_classes_of_another_name_are_another_network(tmp_path, capsys):
    for name, classes in (("cats", ("cat", "dog")), ("wolves", ("dog", "wolf"))):
        sets.tree(tmp_path / name, classes=classes, biases=("land", "sea"))
    assert train.main(flags(tmp_path, tmp_path / "cats", *BASELINE)) == 0
    other = ["--data_dir", str(tmp_path / "wolves")]
    for line in (["--anyway"], []):
        said = refused(capsys, evaluation, "-e", "run", "--save_dir", str(tmp_path), *other, *line)
        assert "cat, dog" in said or not line
    start = ["--method", "lntl", "--checkpoint", str(tmp_path / "run" / "final.pth")]
    said = refused(capsys, train, *flags(tmp_path / "new", tmp_path / "wolves", *start))
    assert "tells cat, dog apart, and the data has dog, wolf" in said


def test_predictions_take_no_flag_that_contradicts_the_weights(birds, tmp_path, capsys):
    assert train.main(flags(tmp_path, birds, *BASELINE, "--average", "1")) == 0
    new = ["--images", str(birds), "--save_dir", str(tmp_path), "--out", str(tmp_path / "p.csv")]
    for more in (["--image_size", "64"], ["--method", "lntl"], ["--network", "resnet18"]):
        said = refused(capsys, evaluation, "-e", "run", *new, *more)
        assert f"was trained with {more[0]}" in said
        assert "--anyway" not in said
    for file in ("averaged.pth", "last.pt"):
        assert evaluation.main([str(tmp_path / "run" / file), *new, "--image_size", "16", "--workers", "0"]) == 0


def test_flags_that_agree_with_what_was_found_are_taken(birds, tmp_path):
    assert train.main(flags(tmp_path, birds, *BASELINE)) == 0
    option = json.loads((tmp_path / "run" / "options.json").read_text("utf-8"))
    assert (option["bias"], option["target"]) == (["place"], "y")
    assert evaluation.main(["-e", "run", "--save_dir", str(tmp_path), "--bias", "place", "--workers", "0"]) == 0
    more = flags(tmp_path, birds, *BASELINE, "--bias", "place", "--target", "y", "--workers", "1", "--resume")
    assert train.main([*more, "--max_step", "3"]) == 0


def test_a_table_is_found_again(birds, tmp_path):
    assert train.main(flags(tmp_path, birds / "metadata.csv", *BASELINE)) == 0
    run = ["-e", "run", "--save_dir", str(tmp_path)]
    assert train.main([*run, "--resume", "--max_step", "3"]) == 0
    assert evaluation.main(run) == 0


def test_images_that_are_there_twice_are_named_in_the_run(birds, tmp_path, capsys):
    data = tmp_path / "data"
    rows = sets.birds(data)
    (data / "again.jpg").write_bytes((data / rows[0][1]).read_bytes())
    rows += [[99, "again.jpg", 0, 2, 0, ""], [100, rows[1][1], 0, 2, 0, ""]]
    sets.table(data / "metadata.csv", sets.BIRDS, rows)
    assert train.main(flags(tmp_path, data, *BASELINE, "--dry-run")) == 0
    capsys.readouterr()
    assert train.main(flags(tmp_path, data, *BASELINE)) == 0
    said = capsys.readouterr().out
    assert "images that are listed twice: 1" in said
    assert "images with the bytes of another: " in said
    assert "(test and train)" in said


def test_names_that_are_no_text_cost_no_result(tmp_path, capsys):
    data = tmp_path / "data"
    sets.tree(data, biases=("land", "sea"))
    for split in ("train", "test"):
        os.rename(os.fsencode(data / split / "a"), os.fsencode(data / split) + b"/caf\xe9\n\x1b[31m")
    assert train.main(flags(tmp_path, data, *BASELINE)) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert (tmp_path / "run" / "metrics.json").exists()
    line = ["-e", "run", "--save_dir", str(tmp_path), "--images", str(data / "test"), "--out", str(tmp_path / "p.csv")]
    assert evaluation.main(line) == 0
    assert len((tmp_path / "p.csv").read_text("utf-8").splitlines()) > 6


# --------------------------------------------------------------------------------------- --init, --pretrain


@pytest.mark.parametrize(
    "layout", [lambda s: s, lambda s: {"epoch": 3, "state_dict": {f"module.{k}": s[k] for k in s}}]
)
def test_weights_of_any_layout_and_a_resume_without_their_file(birds, tmp_path, layout):
    state = models.resnet18(num_classes=1000).state_dict()
    file = tmp_path / "weights.pth"
    torch.save(layout(state), file)
    run = flags(tmp_path, birds, *BASELINE, "--network", "resnet18", "--init", str(file), "--lr", "1e-12")
    assert train.main(run) == 0
    trained = torch.load(tmp_path / "run" / "final.pth", weights_only=True)["net_state_dict"]
    torch.testing.assert_close(trained["layer3.0.conv1.weight"], state["layer3.0.conv1.weight"])
    record = json.loads((tmp_path / "run" / "options.json").read_text("utf-8"))
    assert record["init_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    file.unlink()
    assert train.main(["-e", "run", "--save_dir", str(tmp_path), "--resume", "--max_step", "3"]) == 0


def test_a_run_is_repeated_with_the_file_of_init_that_it_had(birds, tmp_path, capsys):
    file, state = tmp_path / "weights.pth", models.resnet18(num_classes=1000).state_dict()
    torch.save(state, file)
    run = flags(tmp_path, birds, *BASELINE, "--network", "resnet18", "--init", str(file), "--max_step", "1")
    assert train.main(run) == 0
    again = ["-e", "again", "--save_dir", str(tmp_path), "--from", str(tmp_path / "run")]
    torch.save(state | {"bn1.bias": state["bn1.bias"] + 1}, file)
    assert "is not the file of --init_sha256" in refused(capsys, train, *again)
    assert train.main([*again, "--init", str(file)]) == 0  # on purpose
    again += ["--init", "random", "--init_sha256", "0" * 64]
    assert "--init_sha256 is of a file that --init names" in refused(capsys, train, *again)


def test_weights_that_do_not_fit_are_one_line(birds, tmp_path, capsys):
    state = models.resnet18(num_classes=2).state_dict()
    state["layer1.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    for file in (tmp_path / "nan.pth", ROOT / "checkpoints" / "lntl_var0.020.pth"):
        line = flags(tmp_path, birds, *BASELINE, "--network", "resnet18", "--init", str(file))
        assert "--init: the weights given do not fit resnet18" in refused(capsys, train, *line)


def pretrained(folder, data, *more):
    """train.py's flags of a run with a baseline, without a seed."""
    where = ["-e", "run", "--save_dir", str(folder), "--dataset", "images", "--data_dir", str(data)]
    small = ["--network", "paper", "--image_size", "16", "--batch_size", "8", "--threads", "1", "--device", "cpu"]
    return [*where, *small, "--max_step", "1", *more]


def test_a_pretraining_goes_on_with_its_own_seed(birds, tmp_path):
    line = pretrained(tmp_path, birds, "--pretrain", "3000")
    process = subprocess.Popen([sys.executable, "train.py", *line], cwd=ROOT, env=PATIENT, stdout=subprocess.DEVNULL)
    while not (tmp_path / "run_baseline" / "last.pt").exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    options = tmp_path / "run_baseline" / "options.json"
    state = torch.load(tmp_path / "run_baseline" / "last.pt", weights_only=False)
    epochs = state["epoch"] + 1
    options.write_text(options.read_text("utf-8").replace('"max_step": 3000', f'"max_step": {epochs}'), "utf-8")
    assert train.main(pretrained(tmp_path, birds, "--pretrain", str(epochs), "--continue")) == 0
    seeds = {json.loads((tmp_path / n / "options.json").read_text())["random_seed"] for n in ("run", "run_baseline")}
    assert len(seeds) == 1
    for name in ("last.pt", "previous.pt", "metrics.json"):  # as if it had been killed before its first checkpoint
        (tmp_path / "run" / name).unlink(missing_ok=True)
    assert train.main(pretrained(tmp_path, birds, "--pretrain", str(epochs), "--continue")) == 0


def test_a_baseline_of_another_length_is_not_taken(birds, tmp_path, capsys):
    seeded = ["--random_seed", "1", "--continue"]
    assert train.main(pretrained(tmp_path, birds, "--pretrain", "2", *seeded)) == 0
    other = pretrained(tmp_path, birds, "--pretrain", "1", *seeded)
    assert "is a baseline of 2 epochs, not of --pretrain 1" in refused(capsys, train, *other)
    for path in (tmp_path / "run").iterdir():
        path.unlink()
    assert "is a baseline of 2 epochs, not of --pretrain 1" in refused(capsys, train, *other)


def test_a_run_that_began_with_another_start_takes_no_baseline_later(birds, tmp_path, capsys):
    line = pretrained(tmp_path, birds, "--continue")
    assert train.main([*line, "-e", "other", "--method", "baseline"]) == 0
    assert train.main([*line, "--checkpoint", str(tmp_path / "other" / "final.pth")]) == 0
    assert "was begun without --pretrain" in refused(capsys, train, *line, "--pretrain", "1", "--max_step", "2")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "run"]


def test_a_baseline_is_trained_on_the_data_of_its_method(tmp_path, capsys):
    small = ["-e", "x", "--color_var", "0.02", "--pretrain", "1", "--max_step", "1", "--holdout", "59000"]
    assert train.main([*small, "--save_dir", str(tmp_path), "--method", "lntl", "--deviation", "shaded"]) == 0
    assert "is nothing for --method gray" in refused(capsys, train, *small, "--method", "gray")


# ---------------------------------------------------------------------------------------------- signals

STREAMING = """
import sys, train
from dataset import image_batches
image_batches.free_memory = lambda device="cpu": 0
sys.exit(train.main())
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of a group")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_all_processes_saves_and_leaves(birds, tmp_path, number):
    line = flags(tmp_path, birds, *BASELINE, "--max_step", "3000", "--workers", "2")
    process = subprocess.Popen(
        [sys.executable, "-c", STREAMING, *line], cwd=ROOT, env=PATIENT, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        while not (tmp_path / "run" / "last.pt").exists():
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, number)
        out, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number, error
    assert "Traceback" not in error
    assert "and saved; to go on" in out


def test_a_finished_run_leaves_its_readers_quietly(birds, tmp_path):
    line = flags(tmp_path, birds, *BASELINE, "--workers", "2")
    done = subprocess.run(
        [sys.executable, "-c", STREAMING, *line], cwd=ROOT, env=PATIENT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_transparent_places_show_the_chosen_colour_from_training_to_predictions(tmp_path):
    sets.tree(tmp_path / "data", classes=("dark", "bright"), biases=("a", "b"), n=4)
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    for path in (tmp_path / "data").rglob("*.png"):
        clear.save(path)
    given = flags(tmp_path, tmp_path / "data", *BASELINE, "--background", "10,200,30")
    option = options.resolve_training(options.train_parser().parse_args(given))
    data = ImageSet(option, "cpu")
    assert (data.train.images == torch.tensor([10, 200, 30], dtype=torch.uint8)).all()
    assert train.main(given) == 0
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "predict", lambda *arguments, **how: seen.append(how["background"]))
        line = ["-e", "run", "--save_dir", str(tmp_path), "--images", str(tmp_path / "data")]
        assert evaluation.main(line) == 0
    assert seen == [(10, 200, 30)]


def test_a_run_from_before_a_flag_goes_on(birds, tmp_path):
    assert train.main(flags(tmp_path, birds, *BASELINE)) == 0
    path = tmp_path / "run" / "options.json"
    option = json.loads(path.read_text("utf-8"))
    for name in ("background", "bias_predictor"):
        del option[name]
    path.write_text(json.dumps(option), "utf-8")
    assert train.main(["-e", "run", "--save_dir", str(tmp_path), "--resume", "--max_step", "3"]) == 0


def test_h_is_compared_with_a_guess_in_every_epoch(birds, tmp_path):
    assert train.main(flags(tmp_path, birds, "--method", "lntl", "--from_scratch")) == 0
    for record in map(json.loads, (tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines()):
        assert 0.5 <= record["majority_baseline"] <= 1
    table = read_table(birds)
    counts = torch.bincount(torch.from_numpy(table.bias[table.where(0)][:, 0]))
    assert record["majority_baseline"] == float(counts.max() / counts.sum())
