"""Records of runs: which are taken, which are refused, and the cells that are made of them."""

import json
import shutil

import numpy as np
import pytest

from common.errors import UserError
from common.files import read_json_lines
from evidence import records, report
from tests.evidence.edited import SOME, another_seed, cells_of, change, made_of


def test_cells_hold_what_the_records_say():
    cells = {(c["method"], c["color_var"]): c for c in cells_of(records.ROOT)}
    for folder in (records.ROOT / "results/runs").iterdir():
        method, rest = folder.name.split("_var")
        variance, *setting = rest.split("_")
        setting = [s for s in setting if not s.startswith("seed")]
        cell = cells["_".join([method, *setting]), float(variance)]
        log, option = read_json_lines(folder / "log.jsonl"), json.loads((folder / "options.json").read_text())
        index = cell["seeds"].index(option["random_seed"])
        assert option["data_seed"] == cell["data_seeds"][index]
        assert log[-1]["test_accuracy"] == cell["accuracy"][index]
        assert log[-1]["epoch"] == cell["epochs"]
        assert cell["n"] == len(cell["seeds"]) == len(cell["accuracy"])
        assert cell["mean"] == pytest.approx(np.mean(cell["accuracy"]), abs=1e-6)


FALSE = {
    "accuracy": ("metrics.json", lambda m: m.update(accuracy=0.99)),
    "correct": ("metrics.json", lambda m: m.update(correct=9900)),
    "confusion": ("metrics.json", lambda m: m["confusion"][0].__setitem__(0, 1000)),
    "last epoch": ("log.jsonl", lambda log: log[-1].update(test_accuracy=0.99)),
    "an epoch left out": ("log.jsonl", lambda log: log.pop(3)),
    "an epoch too many": ("log.jsonl", lambda log: log.append(log[-1] | {"epoch": len(log) + 1})),
    "seed": ("options.json", lambda o: o.update(random_seed=2)),
    "draw": ("options.json", lambda o: o.update(data_seed=1)),
    "method": ("options.json", lambda o: o.update(method="blindeye")),
    "variance": ("options.json", lambda o: o.update(color_var=0.03)),
    "missing option": ("options.json", lambda o: o.pop("max_step")),
}


@pytest.mark.parametrize("what", FALSE)
def test_records_that_contradict_each_other_are_refused(tree, what):
    change(tree, SOME, *FALSE[what])
    with pytest.raises(UserError, match=SOME):
        report.texts(tree)


@pytest.mark.parametrize("file", records.RECORDS)
def test_missing_and_damaged_records_are_refused(tree, file):
    path = tree / "results/runs" / SOME / file
    path.write_text("?\n")
    with pytest.raises(UserError, match=SOME):
        records.load_runs(tree)
    path.unlink()
    with pytest.raises(UserError, match=SOME):
        records.load_runs(tree)


def test_foreign_names_are_refused(tree):
    (tree / "results/runs" / SOME).rename(tree / "results/runs" / "my_run")
    with pytest.raises(UserError, match="my_run"):
        records.load_runs(tree)


def test_seeds_become_one_cell_with_mean_and_std(tree):
    first = records.load_runs(tree)[SOME]["metrics"]["accuracy"]
    another_seed(tree, 2, 8000)
    another_seed(tree, 3, 8400)
    cell = next(c for c in cells_of(tree) if c["method"] == "lntl")
    assert (cell["seeds"], cell["data_seeds"]) == ([1, 2, 3], [0, 1, 2])
    assert cell["accuracy"] == [first, 0.8, 0.84]
    assert cell["mean"] == pytest.approx(np.mean([first, 0.8, 0.84]), abs=1e-6)
    assert cell["std"] == pytest.approx(np.std([first, 0.8, 0.84], ddof=1), abs=1e-6)
    assert (cell["n"], cell["pretrain_epochs"], cell["precision"]) == (3, 100, "float32")
    assert cell["starts"] == [f"baseline_var0.020_seed{seed}" for seed in (1, 2, 3)]
    made = made_of(tree)
    assert f"**{cell['mean']:.4f}±{cell['std']:.4f}**" in made["README.md"]
    assert "| baseline_var0.020_seed1, seed2, seed3, 100 epochs |" in made["results/table.md"]


def test_a_run_in_tf32_may_be_of_a_cell_which_says_so(tree):
    run = another_seed(tree, 2, 8000)
    change(tree, run, "options.json", lambda o: o.update(precision="tf32", device="cuda"))
    change(tree, run, "environment.json", lambda e: e.update(gpu="NVIDIA X"))
    cell = next(c for c in cells_of(tree) if c["method"] == "lntl")
    assert (cell["n"], cell["precision"]) == (2, "float32, tf32")
    assert len(cell["minutes_on"]) == 2
    assert "NVIDIA X, tf32" in cell["minutes_on"]
    assert cell["hardware"].endswith("; NVIDIA X, tf32")
    assert cell["minutes"] == pytest.approx(np.mean([*cell["minutes_on"].values()]), abs=0.1)
    assert "; NVIDIA X, tf32: " in made_of(tree)["results/table.md"]
    loaded = records.load_runs(tree)[run]
    assert records.not_of_a_cell(loaded) is None
    loaded["options"]["precision"] = "bfloat16"
    assert records.not_of_a_cell(loaded) == "--precision bfloat16"


@pytest.mark.parametrize("prior", ["colour", "bins", None])
def test_a_cell_of_lntl_plus_counts_the_colour(prior):
    run = {"method": "lntl_plus", "options": {"method": "lntl_plus", "lr": 0.01, "prior": prior}}
    if prior is None:  # a record from before the flag
        del run["options"]["prior"]
    assert records.not_of_a_cell(run) == (None if prior == "colour" else "--prior bins")


def test_a_record_has_the_name_of_its_run():
    """`train.py --from` trains under it, and a run of another cell must not be there."""
    for name, run in records.load_runs().items():
        recorded = run["options"]["exp_name"]
        assert recorded == name or f"{recorded}_seed1" == name


@pytest.mark.parametrize("option", [{"lr": 0.01}, {"from_scratch": True}, {"precision": "bfloat16"}])
def test_seeds_with_other_options_are_refused(tree, option):
    run = another_seed(tree, 2, 8000)
    change(tree, run, "options.json", lambda o: o.update(option))
    with pytest.raises(UserError, match="different options"):
        report.texts(tree)


@pytest.mark.parametrize("checkpoint", ["runs/baseline_var0.020_seed1/final.pth", "pretrained_var0.020.pth"])
def test_seeds_start_from_their_own_baselines_or_all_from_one(tree, checkpoint):
    run = another_seed(tree, 2, 8000)
    change(tree, run, "options.json", lambda o: o.update(checkpoint=checkpoint))
    with pytest.raises(UserError, match=r"different options \(start\)"):
        report.texts(tree)
    if "pretrained" in checkpoint:
        change(tree, SOME, "options.json", lambda o: o.update(checkpoint=checkpoint))
        cell = next(c for c in cells_of(tree) if c["method"] == "lntl")
        assert (cell["n"], cell["starts"], cell["pretrain_epochs"]) == (2, [records.AUTHORS_NETWORK] * 2, 100)


def test_seeds_from_baselines_of_different_length_are_refused(tree):
    def shorten(log):
        del log[0]
        for number, record in enumerate(log, 1):
            record["epoch"] = number

    another_seed(tree, 2, 8000)
    change(tree, "baseline_var0.020_seed2", "options.json", lambda o: o.update(max_step=99))
    change(tree, "baseline_var0.020_seed2", "log.jsonl", shorten)
    with pytest.raises(UserError, match="different options"):
        report.texts(tree)


def test_one_seed_has_no_std(tree):
    cell = next(c for c in cells_of(tree) if c["method"] == "lntl_official")
    assert (cell["n"], cell["std"]) == (1, None)


def test_both_readings_of_gray(tree):
    runs = tree / "results/runs"
    shutil.copytree(runs / "baseline_var0.020_seed1", runs / "gray_var0.045_seed1")
    change(tree, "gray_var0.045_seed1", "options.json", lambda o: o.update(method="gray", color_var=0.045))
    change(tree, "gray_var0.045_seed1", "log.jsonl", lambda log: log[-1].update(test_luma_accuracy=0.25))
    cells = {c["method"]: c for c in cells_of(tree) if c["method"].startswith("gray")}
    assert cells["gray_luma"]["accuracy"] == [0.25]
    assert cells["gray"]["accuracy"] != [0.25]
    table = made_of(tree)["results/table.md"]
    assert "| Gray, on luma | 0.045 | 0.9472 | **0.2500** | -0.6972 | - |" in table


def test_averaged_weights_of_the_runs_that_have_them(tree):
    another_seed(tree, 2, 8000)
    another_seed(tree, 3, 8400)
    change(tree, SOME, "log.jsonl", lambda log: log[-1].pop("averaged_test_accuracy", None))
    for seed, value in ((2, 0.81), (3, 0.83)):
        change(
            tree,
            f"lntl_var0.020_seed{seed}",
            "log.jsonl",
            lambda log, v=value: log[-1].update(averaged_test_accuracy=v),
        )
    cells = {(c["method"], c["color_var"]): c for c in cells_of(tree)}
    assert cells["lntl", 0.02]["n"] == 3
    averaged = cells["lntl_averaged", 0.02]
    assert (averaged["seeds"], averaged["accuracy"], averaged["mean"]) == ([2, 3], [0.81, 0.83], 0.82)
    assert (
        "mean weights of the last 5 epochs | 0.02 | 0.8185 | **0.8200 ± 0.0141**" in made_of(tree)["results/table.md"]
    )


def test_start_of_a_run():
    option = {"from_scratch": False, "method": "lntl", "checkpoint": None, "color_var": 0.03}
    assert records.start(option) == "baseline_var0.030_seed1"
    assert records.start(option | {"checkpoint": "checkpoints/baseline_var0.030.pth"}) == "baseline_var0.030_seed1"
    assert records.start(option | {"checkpoint": "x/baseline_var0.020_seed2.pth"}) == "baseline_var0.020_seed2"
    shipped = "checkpoints/baseline_var0.030_draw0_seed2.pth"
    assert records.start(option | {"checkpoint": shipped}) == "baseline_var0.030_draw0_seed2"
    assert records.start(option | {"checkpoint": "x/baseline_var0.030_seed2/final.pth"}) == "baseline_var0.030_seed2"
    assert records.start(option | {"checkpoint": "../pretrained_var0.030.pth"}) == records.AUTHORS_NETWORK
    assert records.start(option | {"from_scratch": True}) is None
    assert records.start(option | {"method": "gray"}) is None


def test_a_start_that_was_renamed_is_known_by_its_weights():
    runs = records.load_runs()
    for color_var in ("0.020", "0.030"):
        for seed in (2, 3):
            run = runs[f"lntl_var{color_var}_draw0_seed{seed}"]
            assert records.start(run["options"]) == f"baseline_var{color_var}_draw0_seed{seed}"
    for sha256, name in records.RENAMED.items():
        assert runs[name]["metrics"]["weights"]["sha256"] == sha256
        assert runs[name]["options"]["data_seed"] == 0
    # The same path of another run is the baseline that has the name today.
    option = runs["lntl_var0.020_draw0_seed2"]["options"] | {"checkpoint_sha256": "0" * 64}
    assert records.start(option) == "baseline_var0.020_seed2"


def test_the_row_of_one_draw_holds_run_1_too():
    cells = {(c["method"], c["color_var"]): c for c in cells_of(records.ROOT)}
    for method, pretrained in (("baseline", 0), ("lntl", 100)):
        one, first = cells[f"{method}_draw0", 0.02], cells[method, 0.02]
        assert (one["seeds"], one["data_seeds"]) == ([1, 2, 3], [0, 0, 0])
        assert one["accuracy"][0] == first["accuracy"][0]
        assert one["pretrain_epochs"] == pretrained
        assert first["data_seeds"] == [k - 1 for k in first["seeds"]]
    assert cells["lntl_draw0", 0.02]["starts"] == [
        "baseline_var0.020_seed1",
        "baseline_var0.020_draw0_seed2",
        "baseline_var0.020_draw0_seed3",
    ]
    row = "| baseline_var0.020_seed1, draw0_seed2, draw0_seed3, 100 epochs |"
    assert row in made_of(records.ROOT)["results/table.md"]


def test_add_keeps_finished_cells_alone(tree, tmp_path):
    runs, save_dir = tree / "results/runs", tmp_path / "checkpoint"
    others = {p.name for p in runs.iterdir()} - {"baseline_var0.020_seed1", SOME}
    for name in ("baseline_var0.020_seed1", SOME):
        shutil.move(runs / name, save_dir / name)
    (save_dir / SOME / "metrics.json").unlink()  # not finished
    (save_dir / "lntl_var0.020").mkdir()  # of train.sh
    assert records.add(save_dir, tree) == ["baseline_var0.020_seed1"]
    assert records.add(save_dir, tree) == []
    assert {p.name for p in runs.iterdir()} == others | {"baseline_var0.020_seed1"}
    assert sorted(p.name for p in (runs / "baseline_var0.020_seed1").iterdir()) == sorted(records.RECORDS)
    with (save_dir / "baseline_var0.020_seed1" / "options.json").open("a") as file:
        file.write("\n")
    assert records.add(save_dir, tree) == ["baseline_var0.020_seed1"]


def test_add_refuses_other_data(tree, tmp_path):
    shutil.copytree(tree / "results/runs" / SOME, tmp_path / "checkpoint" / SOME)
    path = tmp_path / "checkpoint" / SOME / "options.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_dir": "tiny"}))
    with pytest.raises(UserError, match="--data_dir"):
        records.add(tmp_path / "checkpoint", tree)
