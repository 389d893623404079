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
    return {table: records.read(table) for table in records.NAMES}


def test_committed_records_are_sorted(committed):
    for table, found in committed.items():
        lines = records.path_of(table).read_text("utf-8").splitlines()
        assert [*found] == [json.loads(line)["name"] for line in lines]


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


def test_a_line_that_is_no_json_or_wrong_is_refused(root):
    path = records.path_of("suite", root)
    whole = path.read_text("utf-8")
    for text, why in (
        (whole[:-100], f"line {len(whole.splitlines())}: the record is damaged"),
        (whole.replace('"random_seed": 1', '"random_seed": 5', 1), "line 1: it is of --random_seed 5"),
    ):
        path.write_text(text, "utf-8")
        with pytest.raises(UserError, match=rf"suite\.jsonl, {why}"):
            records.read("suite", root)


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


def told(record, table):
    option = reproduce.parser().parse_args(["--device", "cpu", "--schedule", "cpu"])
    return grid.other_than_its_cell(record, table, option)


def add(root, table):
    return records.add(root / "runs", table, lambda record: told(record, table), root)


def test_committed_runs_are_what_the_grid_would_run(committed):
    for table, found in committed.items():
        assert {told(record, table) for record in found.values()} <= {None}


def test_add_takes_what_has_ended_once(root, committed):
    path, name = records.path_of("suite", root), next(reversed(committed["suite"]))
    before = path.read_bytes()
    lines = before.decode().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(f'{{"name": "{name}"')))
    write_run(root / "runs", committed["suite"][name])
    write_run(root / "runs", made_up("blur_lisa_seed1", {}))
    (root / "runs/blur_lisa_seed1/metrics.json").unlink()
    (root / "runs/my_run").mkdir()
    assert add(root, "suite") == [name]
    assert add(root, "suite") == []
    assert path.read_bytes() == before


def test_records_have_no_path_of_the_machine(root, committed):
    name = "texture_lisa_seed3"
    paths = {"save_dir": str(root / "runs"), "data_dir": "/home/me/suite/texture", "checkpoint": "/a/b/run/final.pth"}
    write_run(root / "runs", made_up(name, {}, seed=3, **paths))
    records.add(root / "runs", "suite", lambda record: None, root)
    option = records.read("suite", root)[name]["options"]
    assert (option["data_dir"], option["checkpoint"]) == ("suite/texture", "run/final.pth")
    of_all = [*committed.values(), {name: {"options": option}}]
    kept = [value for found in of_all for record in found.values() for value in record["options"].values()]
    assert not [value for value in kept if str(value).startswith("/")]


def test_add_takes_what_diverged(root):
    name = "lisa_now_rho0.999_seed1"
    record = made_up(name, {}, method="lisa", rho=0.999, max_step=12)  # and a log of two epochs
    write_run(root / "runs", record | {"metrics": None, "diverged": 2})
    assert add(root, "biased_mnist") == [name]
    assert records.read("biased_mnist", root)[name]["diverged"] == 2


@pytest.mark.parametrize("changes", [{"lr": 0.02}, {"holdout": 5000}, {"data_seed": 5}])
def test_add_refuses_a_run_that_is_not_of_its_cell(root, committed, changes):
    before, record = records.path_of("colored_mnist", root).read_bytes(), committed["colored_mnist"][SOME]
    write_run(root / "runs", record | {"options": record["options"] | changes})
    with pytest.raises(UserError, match=f"--{next(iter(changes))} {next(iter(changes.values()))}, and its"):
        add(root, "colored_mnist")
    assert records.path_of("colored_mnist", root).read_bytes() == before


def test_add_refuses_damaged_runs_in_one_line(tmp_path, committed, capsys):
    write_run(tmp_path, committed["colored_mnist"][SOME])
    (tmp_path / SOME / "log.jsonl").write_text("?\n")
    assert "the record is damaged" in refused(capsys, reproduce, "--add", "--save_dir", tmp_path)
