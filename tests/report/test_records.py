"""Records of runs: which are taken, which are refused, and the frames that are made of them."""

import json

import pytest

import reproduce
from common.errors import UserError
from report import build, grid, records
from tests.report.conftest import SOME, made_up, refused

NAMES = ("colored_mnist", "biased_mnist", "images")


@pytest.fixture(scope="module")
def committed():
    """{table: [record]}, read as plain JSON."""
    return {t: [json.loads(s) for s in records.path_of(t).read_text("utf-8").splitlines()] for t in NAMES}


def test_committed_records_are_sound_sorted_and_small(committed):
    assert [len(found) for found in committed.values()] >= [147, 95, 38]
    for table, found in committed.items():
        assert [*records.read(table)] == sorted(record["name"] for record in found)
        for record in found:
            assert record.keys() - {"diverged"} == {"name", "options", "environment", "log", "metrics"}
            assert (record["metrics"] is None) == ("diverged" in record)
    assert all(path.stat().st_size < 4e6 for path in (records.ROOT / "results").rglob("*.*"))


def told(record, table):
    option = reproduce.parser().parse_args(["--device", "cpu", "--schedule", "cpu"])
    return grid.other_than_its_cell(option, table)(record)


def test_committed_runs_are_what_the_grid_would_run(committed):
    assert {told(record, "colored_mnist") for record in committed["colored_mnist"]} == {None}


def test_names_are_read():
    def parts(name, table):
        found = records.named(name, table)
        return tuple(found.get(k) for k in ("row", "place", "seed"))

    assert parts("lntl_plus_var0.020_seed3", "colored_mnist") == ("lntl_plus", 0.02, 3)
    assert parts("lntl_plus_var0.005_noh_seed3", "colored_mnist") == ("lntl_plus_noh", 0.005, 3)
    assert parts("lntl_var0.0125_official", "colored_mnist") == ("lntl_official", 0.0125, None)
    assert parts("lntl_plus_now_rho0.99_seed2", "biased_mnist") == ("lntl_plus_now", 0.99, 2)
    assert parts("lntl_plus_mu0.01_seed1", "images") == ("lntl_plus_mu0.01", "", 1)
    assert parts("texture_lntl_plus_seed1", "suite") == ("lntl_plus", "texture", 1)
    assert records.named("my_run", "colored_mnist") == records.named("texture_dfr_seed1_baseline", "suite") == {}


FALSE = {
    "accuracy": lambda r: r["metrics"].update(accuracy=0.99),
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
    "name": lambda r: r.update(name="my_run"),
}


@pytest.mark.parametrize("what", FALSE)
def test_records_that_contradict_themselves_are_refused(committed, what):
    record = json.loads(json.dumps(next(r for r in committed["colored_mnist"] if r["name"] == SOME)))
    assert records.wrong(record, "colored_mnist") is None
    FALSE[what](record)
    assert records.wrong(record, "colored_mnist")


def test_a_line_that_is_no_json_wrong_or_comes_twice_is_refused(tree):
    path = records.path_of("images", tree.root)
    whole = path.read_text("utf-8")
    for text, why in (
        (whole + whole.splitlines(keepends=True)[0], "line 39: its name comes twice"),
        (whole[:-100], "line 38: it is damaged"),
        (whole.replace('"random_seed": 1', '"random_seed": 5', 1), "line 1: it is of --random_seed 5"),
    ):
        path.write_text(text, "utf-8")
        with pytest.raises(UserError, match=rf"images\.jsonl, {why}"):
            records.read("images", tree.root)


def test_frames_hold_what_the_records_say(committed):
    loaded = build.load()
    runs = loaded["colored_mnist"].set_index("name")
    for record in committed["colored_mnist"]:
        run, option = runs.loc[record["name"]], record["options"]
        assert run["options.lr"] == option["lr"]
        assert run["metrics.accuracy"] == run["last.test_accuracy"] == record["log"][-1]["test_accuracy"]
        assert run.minutes == sum(epoch["seconds"] for epoch in record["log"]) / 60
    log = loaded["epochs"][loaded["epochs"].name == SOME]
    record = next(r for r in committed["colored_mnist"] if r["name"] == SOME)
    assert log.test_accuracy.tolist() == [epoch["test_accuracy"] for epoch in record["log"]]


@pytest.mark.parametrize(
    ("checkpoint", "run"),
    [
        (None, "baseline_var0.030_seed1"),  # the shipped one
        ("x/baseline_var0.030_seed2/final.pth", "baseline_var0.030_seed2"),
        ("checkpoints/baseline_var0.030_seed3.pth", "baseline_var0.030_seed3"),
        ("checkpoints/baseline_var0.030.pth", "baseline_var0.030_seed1"),
        ("y/pretrained_var0.020.pth", records.AUTHORS_NETWORK),
    ],
)
def test_start_of_a_run(checkpoint, run):
    option = {"color_var": 0.03, "checkpoint": checkpoint, "checkpoint_sha256": "ab"}
    assert records.start(option) == run
    assert records.start(option | {"checkpoint": None, "checkpoint_sha256": None}) == ""


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
    """A function: a folder of runs with the named committed one; changes: of its options."""

    def folder(name, table="colored_mnist", **changes):
        record = next(r for r in committed[table] if r["name"] == name)
        write_run(tmp_path / "runs" / name, record | {"options": record["options"] | changes})
        return tmp_path / "runs"

    return folder


def add(save_dir, root, table="colored_mnist"):
    return records.add(save_dir, table, lambda record: told(record, table), root)


def test_add_takes_what_has_ended_once(tree, runs):
    before = records.path_of("colored_mnist", tree.root).read_bytes()
    tree.change(SOME, lambda record: False)
    save_dir = runs(SOME)
    write_run(save_dir / "unfinished_var0.020_seed1", made_up("", {}))
    (save_dir / "unfinished_var0.020_seed1" / "metrics.json").unlink()
    (save_dir / "my_run").mkdir()
    assert add(save_dir, tree.root) == [SOME]
    assert add(save_dir, tree.root) == []
    assert records.path_of("colored_mnist", tree.root).read_bytes() == before


def test_a_diverged_run_is_read_as_such(runs):
    name = "lntl_plus_rho0.999_seed1"
    record = records.read_folder(runs(name, "biased_mnist") / name)
    assert (record["metrics"], record["diverged"], record["log"]) == (None, 1, [])
    assert records.wrong(record, "biased_mnist") is None
    assert told(record, "biased_mnist") == "there is no row lntl_plus (report/rows.py has them)"


def test_a_run_of_the_suite_makes_its_table(tree):
    option = reproduce.parser().parse_args(["--device", "cpu"])
    (row,) = [row for row in grid.GRIDS["suite"].rows if row.name == "resample"]
    wanted = grid.resolve(grid.flags_of("suite", row, "blur", 2, option))
    record = made_up("blur_resample_seed2", {}, seed=2) | {"options": wanted.record() | {"max_step": 2}}
    write_run(tree.root / "runs" / record["name"], record)
    with pytest.raises(UserError, match=f"trained with --max_step 2, and its cell has {wanted.max_step}"):
        add(tree.root / "runs", tree.root, "suite")
    record = made_up("blur_resample_seed3", {}, wanted.max_step, 3) | {"options": wanted.record() | {"random_seed": 3}}
    write_run(tree.root / "more" / record["name"], record)
    assert add(tree.root / "more", tree.root, "suite") == [record["name"]]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lr": 0.02}, "--lr 0.02, and its cell has 0.001"),
        ({"holdout": 5000}, "--holdout 5000"),
        ({"data_seed": 5}, "--data_seed 5, and its name says 0"),
    ],
)
def test_add_refuses_a_run_that_is_not_of_its_cell(tree, runs, changes, why):
    before = records.path_of("colored_mnist", tree.root).read_bytes()
    with pytest.raises(UserError, match=why):
        add(runs(SOME, **changes), tree.root)
    assert records.path_of("colored_mnist", tree.root).read_bytes() == before


def test_add_refuses_damaged_runs_in_one_line(runs, capsys):
    save_dir = runs(SOME)
    log = save_dir / SOME / "log.jsonl"
    whole = log.read_text()
    for text, why in ((whole[:-30], "each of the 20 epochs once"), ("?\n", "are damaged")):
        log.write_text(text)
        assert why in refused(capsys, reproduce, "--add", "--save_dir", save_dir)
    assert "nowhere is not a folder" in refused(capsys, reproduce, "--add", "--save_dir", "nowhere")
