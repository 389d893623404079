"""Records of runs: which are taken, which are refused, and the frames that are made of them."""

import json
import re

import pytest

import reproduce
from common.errors import UserError
from report import build, grid, records
from report.rows import DATASETS
from tests.report.conftest import SOME, made_up, refused


@pytest.fixture(scope="module")
def committed():
    """{table: [record]}, read as plain JSON."""
    lines = {t: records.path_of(t) for t in DATASETS}
    return {
        t: [json.loads(s) for s in p.read_text("utf-8").splitlines()] if p.exists() else [] for t, p in lines.items()
    }


def test_committed_records_are_sound_sorted_and_small(committed):
    assert [len(committed[table]) for table in ("colored_mnist", "biased_mnist", "images")] >= [147, 95, 38]
    for table, found in committed.items():
        assert [*records.read(table)] == sorted(record["name"] for record in found)
        for record in found:
            assert record.keys() - {"diverged"} == {"name", "options", "environment", "log", "metrics"}
            assert (record["metrics"] is None) == ("diverged" in record)
    assert all(path.stat().st_size < 4e6 for path in (records.ROOT / "results").rglob("*.*"))


def test_a_record_has_the_name_of_its_run(committed):
    """`train.py --from` trains under it, and a run of another cell must not be there."""
    for record in committed["colored_mnist"]:
        recorded = record["options"]["exp_name"]
        assert record["name"] in (recorded, f"{recorded}_seed1")


def test_without_the_bias_nothing_is_aligned(committed):
    fair = [r["metrics"] for r in committed["images"] if r["name"].startswith("fair_")]
    assert len(fair) >= 3
    assert {m["aligned_accuracy"] for m in fair} == {m["conflicting_accuracy"] for m in fair} == {None}


def test_committed_runs_are_what_the_grid_would_run(committed):
    """Of the rows that it has; finished studies have rows no more."""
    option = reproduce.parser().parse_args(["--device", "cpu", "--schedule", "cpu"])
    for table in ("colored_mnist", "biased_mnist"):
        told = grid.other_than_its_cell(option, table)
        for record in committed[table]:
            reason = told(record)
            assert reason is None or (table == "biased_mnist" and "no row" in reason and "_holdout_" in record["name"])


def test_names_are_read():
    def parts(name, table):
        found = records.named(name, table)
        return tuple(found.get(k) for k in ("row", "place", "seed"))

    assert parts("lntl_plus_var0.020_seed3", "colored_mnist") == ("lntl_plus", 0.02, 3)
    assert parts("lntl_plus_var0.005_noh_seed3", "colored_mnist") == ("lntl_plus_noh", 0.005, 3)
    assert parts("lntl_var0.0125_official", "colored_mnist") == ("lntl_official", 0.0125, None)
    assert parts("lntl_chosen_rho0.99_seed2", "biased_mnist") == ("lntl_chosen", 0.99, 2)
    assert parts("lntl_plus_mu0.01_seed1", "images") == ("lntl_plus_mu0.01", "", 1)
    assert parts("texture_lntl_plus_noh_seed1", "suite") == ("lntl_plus_noh", "texture", 1)
    assert records.named("my_run", "colored_mnist") == records.named("texture_seed1", "suite") == {}


FALSE = {
    "accuracy": lambda r: r["metrics"].update(accuracy=0.99),
    "correct": lambda r: r["metrics"].update(correct=9900),
    "confusion": lambda r: r["metrics"]["confusion"][0].__setitem__(0, 1000),
    "no metrics": lambda r: r.update(metrics=None),
    "last epoch": lambda r: r["log"][-1].update(test_accuracy=0.99),
    "an epoch left out": lambda r: r["log"].pop(3),
    "an epoch too many": lambda r: r["log"].append(r["log"][-1] | {"epoch": len(r["log"]) + 1}),
    "seed": lambda r: r["options"].update(random_seed=2),
    "draw": lambda r: r["options"].update(data_seed=1),
    "method": lambda r: r["options"].update(method="blindeye"),
    "variance": lambda r: r["options"].update(color_var=0.03),
    "missing option": lambda r: r["options"].pop("max_step"),
    "deviation": lambda r: r["options"].update(deviation="one_pass"),
    "name": lambda r: r.update(name="my_run"),
}


@pytest.mark.parametrize("what", FALSE)
def test_records_that_contradict_themselves_are_refused(tree, what):
    tree.change(SOME, FALSE[what])
    with pytest.raises(UserError, match=r"colored_mnist\.jsonl, line \d+: "):
        records.read("colored_mnist", tree.root)


def test_a_line_that_is_no_json_or_comes_twice_is_refused(tree):
    path = records.path_of("images", tree.root)
    whole = path.read_text("utf-8")
    path.write_text(whole + whole.splitlines(keepends=True)[0])
    with pytest.raises(UserError, match="comes twice"):
        records.read("images", tree.root)
    path.write_text(whole[:-100])
    with pytest.raises(UserError, match=r"images\.jsonl, line 38: it is damaged"):
        records.read("images", tree.root)


def test_frames_hold_what_the_records_say(committed):
    loaded = build.load()
    runs = loaded["colored_mnist"].set_index("name")
    for record in committed["colored_mnist"]:
        run, option = runs.loc[record["name"]], record["options"]
        assert run["options.lr"] == option["lr"]
        assert run["metrics.accuracy"] == run["last.test_accuracy"] == record["log"][-1]["test_accuracy"]
        assert run.minutes == sum(epoch["seconds"] for epoch in record["log"]) / 60
        setting = re.fullmatch(r".+_var0\.\d+_?(.*?)(?:_?seed\d+)?", record["name"])[1]
        assert run["row"] == "_".join(filter(None, (option["method"], setting)))
        log = loaded["epochs"][loaded["epochs"].name == record["name"]]
        assert log.test_accuracy.tolist() == [epoch["test_accuracy"] for epoch in record["log"]]


def test_start_of_a_run():
    option = {"color_var": 0.03, "checkpoint": None, "checkpoint_sha256": "ab"}
    assert records.start(option) == "baseline_var0.030_seed1"  # the shipped one
    assert records.start(option | {"checkpoint": "x/baseline_var0.030_seed2/final.pth"}) == "baseline_var0.030_seed2"
    assert (
        records.start(option | {"checkpoint": "checkpoints/baseline_var0.030_seed3.pth"}) == "baseline_var0.030_seed3"
    )
    assert records.start(option | {"checkpoint": "checkpoints/baseline_var0.030.pth"}) == "baseline_var0.030_seed1"
    assert records.start(option | {"checkpoint": "y/pretrained_var0.020.pth"}) == records.AUTHORS_NETWORK
    assert records.start(option | {"checkpoint_sha256": None}) == ""


# ---------------------------------------------------------------------------------------------------- --add


def write_run(folder, record):
    """The run folder of a record."""
    folder.mkdir(parents=True)
    end = record["metrics"] and record["metrics"] | {"option": record["options"], "environment": {}}
    files = {"options": record["options"], "environment": record["environment"]}
    files |= {"metrics": end} if end else {"diverged": {"epoch": record["diverged"]}}
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    (folder / "log.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in record["log"]))


@pytest.fixture
def runs(tmp_path, committed):
    """A function: a folder of runs, the named committed ones; changes: of their options."""

    def folder(*names, table="colored_mnist", **changes):
        found = {record["name"]: record for record in committed[table]}
        for name in names:
            write_run(tmp_path / "runs" / name, found[name] | {"options": found[name]["options"] | changes})
        return tmp_path / "runs"

    return folder


def add(save_dir, root, table="colored_mnist"):
    option = reproduce.parser().parse_args(["--save_dir", str(save_dir), "--device", "cpu"])
    return records.add(save_dir, table, grid.other_than_its_cell(option, table), root)


def test_add_takes_what_has_ended_once(tree, runs):
    before = records.path_of("colored_mnist", tree.root).read_bytes()
    tree.change(SOME, lambda record: False)
    save_dir = runs(SOME, "gray_var0.020_seed1")
    write_run(save_dir / "unfinished_var0.020_seed1", made_up("", {}))
    (save_dir / "unfinished_var0.020_seed1" / "metrics.json").unlink()
    (save_dir / "my_run").mkdir()
    assert add(save_dir, tree.root) == [SOME]
    assert add(save_dir, tree.root) == []
    assert records.path_of("colored_mnist", tree.root).read_bytes() == before


def test_a_diverged_run_is_added_as_such(tree, runs):
    name = "lntl_plus_rho0.999_seed1"
    tree.change(name, lambda record: False, "biased_mnist")
    assert add(runs(name, table="biased_mnist"), tree.root, "biased_mnist") == [name]
    record = records.read("biased_mnist", tree.root)[name]
    assert (record["metrics"], record["diverged"], record["log"]) == (None, 1, [])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lr": 0.02}, "--lr 0.02, and its cell has 0.001"),
        ({"data_dir": "elsewhere"}, "--data_dir elsewhere"),
        ({"holdout": 5000}, "--holdout 5000"),
        ({"data_seed": 5}, "has --data_seed 0, not 5"),
    ],
)
def test_add_refuses_a_run_that_is_not_of_its_cell(tree, runs, changes, why):
    tree.change(SOME, lambda record: False)
    with pytest.raises(UserError, match=why):
        add(runs(SOME, **changes), tree.root)
    assert SOME not in records.read("colored_mnist", tree.root)


def test_bfloat16_is_for_lntl_and_its_kin(tree, runs):
    tree.change(SOME, lambda record: False)
    tree.change("gray_var0.020_seed1", lambda record: False)
    assert add(runs(SOME, precision="bfloat16"), tree.root) == [SOME]
    with pytest.raises(UserError, match="--precision bfloat16"):
        add(runs("gray_var0.020_seed1", precision="bfloat16"), tree.root)


def test_add_refuses_damaged_and_foreign_runs_in_one_line(tree, runs, capsys, monkeypatch):
    save_dir = runs(SOME)
    log = save_dir / SOME / "log.jsonl"
    whole = log.read_text()
    for text, why in ((whole[:-30], "each of the 20 epochs once"), ("?\n", "are damaged")):
        log.write_text(text)
        assert why in refused(capsys, reproduce, "--add", "--save_dir", save_dir)
    log.write_text(whole)
    environment = save_dir / SOME / "environment.json"
    environment.write_text(json.dumps(json.loads(environment.read_text()) | {"processor": "Another"}))
    with pytest.raises(UserError, match=r"20 epochs on Another.* would replace a record of 20 epochs"):
        add(save_dir, tree.root)
    assert "nowhere is not a folder" in refused(capsys, reproduce, "--add", "--save_dir", "nowhere")
