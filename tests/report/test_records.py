"""Records of runs: which are taken, which are refused, and the frames that are made of them."""

import json

import pytest

import reproduce
from common.errors import UserError
from report import grid, records
from tests.processes import refused
from tests.report.conftest import SOME, made_up


@pytest.fixture(scope="module")
def committed():
    """{table: {name: record}}."""
    return {table: records.read(table) for table in ("colored_mnist", "biased_mnist", "images")}


def test_committed_records_are_sorted(committed):
    for table, found in committed.items():
        lines = records.path_of(table).read_text("utf-8").splitlines()
        assert [*found] == [json.loads(line)["name"] for line in lines]


def told(record, table):
    option = reproduce.parser().parse_args(["--device", "cpu", "--schedule", "cpu"])
    return grid.other_than_its_cell(option, table)(record)


def test_committed_runs_are_what_the_grid_would_run(committed):
    assert {told(record, "colored_mnist") for record in committed["colored_mnist"].values()} == {None}


def test_names_are_read():
    setting, official = (records.named(f"lntl_{name}", "colored_mnist") for name in ("var0.005_x_seed3", "var0.0125_x"))
    assert (setting["row"], setting["place"], setting["seed"]) == ("lntl_x", 0.005, 3)
    assert (official["row"], official["place"], official["seed"]) == ("lntl_x", 0.0125, None)
    assert records.named("lntl_now_rho0.99_seed2", "biased_mnist") == {"row": "lntl_now", "place": 0.99, "seed": 2}
    assert records.named("texture_dfr_seed1_baseline", "suite") == {}


FALSE = {
    "accuracy": lambda r: r["metrics"].update(accuracy=0.99),
    "confusion": lambda r: r["metrics"]["confusion"][0].__setitem__(0, 1000),
    "last epoch": lambda r: r["log"][-1].update(test_accuracy=0.99),
    "an epoch left out": lambda r: r["log"].pop(3),
    "seed": lambda r: r["options"].update(random_seed=2),
    "method": lambda r: r["options"].update(method="blindeye"),
    "missing option": lambda r: r["options"].pop("max_step"),
    "name": lambda r: r.update(name="my_run"),
}


@pytest.mark.parametrize("what", FALSE)
def test_records_that_contradict_themselves_are_refused(committed, what):
    record = json.loads(json.dumps(committed["colored_mnist"][SOME]))
    records.checked(lambda: record, "colored_mnist", "line 1")
    FALSE[what](record)
    with pytest.raises(UserError, match="line 1: "):
        records.checked(lambda: record, "colored_mnist", "line 1")


def test_a_line_that_is_no_json_wrong_or_comes_twice_is_refused(root):
    path = records.path_of("images", root)
    whole = path.read_text("utf-8")
    for text, why in (
        (whole + whole.splitlines(keepends=True)[0], "line 39: its name comes twice"),
        (whole[:-100], "line 38: the record is damaged"),
        (whole.replace('"random_seed": 1', '"random_seed": 5', 1), "line 1: it is of --random_seed 5"),
    ):
        path.write_text(text, "utf-8")
        with pytest.raises(UserError, match=rf"images\.jsonl, {why}"):
            records.read("images", root)


def test_start_of_a_run():
    def start(checkpoint, digest="ab"):
        return records.start({"color_var": 0.03, "checkpoint": checkpoint, "checkpoint_sha256": digest})

    assert start(None) == start("checkpoints/baseline_var0.030.pth") == "baseline_var0.030_seed1"  # the shipped one
    assert start("x/baseline_var0.030_seed2/final.pth") == "baseline_var0.030_seed2"
    assert start("checkpoints/baseline_var0.030_seed3.pth") == "baseline_var0.030_seed3"
    assert start("y/pretrained_var0.020.pth") == records.AUTHORS_NETWORK
    assert start(None, None) == ""


# ---------------------------------------------------------------------------------------------------- --add


def write_run(save_dir, record):
    """The run folder of a record."""
    folder = save_dir / record["name"]
    folder.mkdir(parents=True)
    end = record["metrics"] and record["metrics"] | {"option": record["options"], "environment": {}}
    files = {"options": record["options"], "environment": record["environment"]}
    files |= {"metrics": end} if end else {"diverged": {"epoch": record["diverged"]}}
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    (folder / "log.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in record["log"]))


def add(root, table="colored_mnist"):
    return records.add(root / "runs", table, lambda record: told(record, table), root)


def test_add_takes_what_has_ended_once(root, committed):
    path, name = records.path_of("biased_mnist", root), "lntl_plus_rho0.999_seed1"  # one that diverged
    before = path.read_bytes()
    lines = before.decode().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(f'{{"name": "{name}"')))
    write_run(root / "runs", committed["biased_mnist"][name])
    write_run(root / "runs", made_up("unfinished_rho0.999_seed1", {}))
    (root / "runs/unfinished_rho0.999_seed1/metrics.json").unlink()
    (root / "runs/my_run").mkdir()
    assert add(root, "biased_mnist") == [name]
    assert add(root, "biased_mnist") == []
    assert path.read_bytes() == before


def test_add_takes_what_differs_in_the_machine_alone(root):
    """Runs of the suite with what --continue found out, and one in bfloat16, begun when there was --average."""
    option = reproduce.parser().parse_args(["--device", "cpu"])
    found = {"target": "label", "bias": ["bias"], "workers": 3, "data_sha256": "ab", "device": "cuda"}
    for table, row, place in (("suite", "resample", "blur"), ("biased_mnist", "lisa_now", 0.99)):
        (row,) = [r for r in grid.GRIDS[table].rows if r.name == row]
        wanted = grid.resolve(grid.flags_of(table, row, place, 2, option)).record()
        record = made_up(grid.name_of(table, row, place, 2), {}, wanted["max_step"], 2, **(wanted | found))
        write_run(root / "runs", record)
        assert add(root, table) == [record["name"]]
    old = {"average": 5, "precision": "bfloat16", "random_seed": 9, "data_seed": 8}
    record = json.loads(json.dumps(records.read("colored_mnist")["lntl_var0.040_seed2"]))
    record["name"], record["options"] = "lntl_var0.040_seed9", record["options"] | old
    write_run(root / "runs", record)
    assert add(root) == ["lntl_var0.040_seed9"]


@pytest.mark.parametrize("changes", [{"lr": 0.02}, {"holdout": 5000}, {"data_seed": 5}])
def test_add_refuses_a_run_that_is_not_of_its_cell(root, committed, changes):
    before, record = records.path_of("colored_mnist", root).read_bytes(), committed["colored_mnist"][SOME]
    write_run(root / "runs", record | {"options": record["options"] | changes})
    with pytest.raises(UserError, match=f"--{next(iter(changes))} {next(iter(changes.values()))}, and its"):
        add(root)
    assert records.path_of("colored_mnist", root).read_bytes() == before


def test_add_refuses_damaged_runs_in_one_line(tmp_path, committed, capsys):
    write_run(tmp_path, committed["colored_mnist"][SOME])
    (tmp_path / SOME / "log.jsonl").write_text("?\n")
    assert "the record is damaged" in refused(capsys, reproduce, "--add", "--save_dir", tmp_path)
