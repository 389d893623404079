"""Biased-MNIST's grid, records and table."""

import json

import pytest

import reproduce
from common.errors import UserError
from dataset.biased_mnist import RHOS
from evidence import biased
from evidence import biased_selection as selection
from evidence.records import RECORDS, ROOT
from tests.test_options import refused


def grid(tmp_path, *more):
    flags = ["--dataset", "biased_mnist", "--save_dir", str(tmp_path), "--device", "cpu", *more]
    return biased.make_grid(reproduce.parser().parse_args(flags))


def write(folder, accuracy=0.5, **changes):
    """Writes the records of a finished run of LNTL at ρ = 0.99, run 2."""
    name = "lntl_rho0.99_seed2"
    option = {"method": "lntl", "rho": 0.99, "random_seed": 2, "data_seed": 1, "max_step": 10, "lr_decay_period": 4}
    groups = [{"y": "0", "b": "red", "n": 10_000, "accuracy": accuracy}]
    metrics = {"accuracy": accuracy, "n": 10_000, "groups": groups}
    metrics |= {"mean_group_accuracy": accuracy, "worst_group_accuracy": accuracy}
    log = [{"epoch": e + 1, "test_accuracy": accuracy, "seconds": 60} for e in range(10)]
    (folder / name).mkdir(parents=True)
    environment = {"processor": "Some", "threads": 2, "gpu": None}
    option |= {"device": "cpu", "threads": 1, "precision": "float32"}
    for file, content in (("options", option | changes), ("environment", environment), ("metrics", metrics)):
        (folder / name / f"{file}.json").write_text(json.dumps(content))
    (folder / name / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in log))
    return folder / name


def test_the_grid_is_what_was_fixed(tmp_path):
    cells = grid(tmp_path)
    assert len(cells) == (4 + len([*selection.chosen_rows()])) * 4 * 3
    seen = {c.name: c for c in cells}
    lntl = seen["lntl_rho0.995_seed3"]
    option = lntl.option
    assert (option.data_seed, option.max_step, option.lr_decay_period, option.lr) == (2, 10, 4, 0.001)
    assert lntl.baseline is seen["baseline_rho0.995_seed3"]
    assert seen["lntl_plus_rho0.995_seed3"].start is None
    assert [c.name for c in grid(tmp_path, "--rhos", "0.99", "--seeds", "1")] == [
        f"{row.name}_rho0.99_seed1" for row in biased.ROWS
    ]


def test_records_are_checked_and_counted(tmp_path):
    folder = write(tmp_path / "checkpoint", 0.75)
    root = tmp_path / "root"
    assert biased.add(tmp_path / "checkpoint", root) == [folder.name]
    assert biased.add(tmp_path / "checkpoint", root) == []
    runs = biased.load_runs(root)
    assert biased.figures(runs, "lntl", 0.99, "accuracy") == [0.75]
    text = biased.table(runs)
    assert "| LNTL, λ = 0.01, μ = 0.1 | unbiased | - | - | - | 0.7500 |" in text
    assert f"1 of {len(biased.ROWS) * 4 * 3} runs with the paper's network are done" in text
    assert biased.figures(runs, "lntl", 0.99, "accuracy") == [0.75]


def test_records_of_another_machine_do_not_take_the_place_in_silence(tmp_path):
    root = tmp_path / "root"
    folder = write(tmp_path / "checkpoint", 0.5)
    biased.add(tmp_path / "checkpoint", root)
    (folder / "environment.json").write_text(json.dumps({"processor": "Other", "threads": 2, "gpu": None}))
    with pytest.raises(UserError, match=r"was run on Other, and the records in .* on Some; remove those first"):
        biased.add(tmp_path / "checkpoint", root)


def test_a_folder_that_is_no_row_is_left_alone(tmp_path):
    write(tmp_path).rename(tmp_path / "my_rho0.99_seed2")
    assert biased.add(tmp_path, tmp_path / "root") == []


def test_a_cell_says_mean_spread_and_what_diverged():
    ended = [{"metrics": {"accuracy": a}, "diverged": None} for a in (0.5, 0.7)]
    lost = {"metrics": None, "diverged": 2}
    assert biased.shown(ended, "accuracy") == "0.6000 ± 0.1414 (2)"
    assert biased.shown([*ended, lost], "accuracy") == "0.6000 ± 0.1414 (2); 1 of 3 diverged"
    assert biased.shown([lost], "accuracy") == "1 of 1 diverged"
    assert biased.shown([], "accuracy") == "-"


def test_a_diverged_run_is_kept_and_told(tmp_path):
    folder = write(tmp_path / "checkpoint")
    (folder / "metrics.json").unlink()
    (folder / "log.jsonl").write_text(json.dumps({"epoch": 1, "test_accuracy": 0.1, "seconds": 60}) + "\n")
    (folder / "diverged.json").write_text(json.dumps({"epoch": 2}))
    root = tmp_path / "root"
    assert biased.add(tmp_path / "checkpoint", root) == [folder.name]
    assert "μ = 0.1 | unbiased | - | - | - | 1 of 1 diverged |" in biased.table(biased.load_runs(root))
    (folder / "diverged.json").unlink()  # it is tried again
    again = write(tmp_path / "again", 0.5)
    biased.add(tmp_path / "again", root)
    assert sorted(p.name for p in (root / "results" / "biased_mnist" / again.name).iterdir()) == sorted(RECORDS)
    (folder / "diverged.json").write_text(json.dumps({"epoch": 3}))
    with pytest.raises(UserError, match="not those of a finished run"):
        biased.read_run(folder)


def judged(row, value, diverged=None):
    """The run of a row of the selection's list."""
    return {row.name: {"diverged": diverged, "log": [dict.fromkeys(selection.JUDGED_BY.values(), value)]}}


@pytest.mark.parametrize("method", selection.CANDIDATES)
def test_the_rule_takes_the_best_and_of_equals_the_first(method):
    rows = selection.CANDIDATES[method]
    runs = {}
    for i, row in enumerate(rows):
        assert selection.pick(runs, method) is None
        runs |= judged(row, 0.5 + (i == 2) * 0.0985 + (i == 3) * 0.099, diverged=5 if i == 0 else None)
    assert selection.pick(runs, method) == rows[2].name
    text = selection.table(runs)
    assert "diverged in epoch 5" in text
    assert "**0.5985**" in text
    assert text.count("not yet run") == sum(map(len, selection.CANDIDATES.values())) - len(rows)


def test_what_was_chosen_is_what_the_rule_picks():
    runs = biased.of_the_list(biased.load_runs(ROOT))
    assert {m: selection.pick(runs, m) for m in selection.CHOSEN} == selection.CHOSEN


def test_the_published_schedule_is_theirs(tmp_path):
    cells = grid(tmp_path, "--studies", "published", "--seeds", "1", "--rhos", "0.99")
    found = [(c.option.method, c.option.lambda_, c.option.mu, c.start) for c in cells]
    assert found == [("baseline", 0.01, 0.1, None), ("lntl", 0.01, 0.1, None), ("lntl", 1, 0.1, None)]
    for option in (c.option for c in cells):
        assert (option.network, option.optimizer, option.lr, option.weight_decay) == ("simple_conv", "adam", 1e-3, 1e-4)
        assert (option.max_step, option.lr_decay_period, option.batch_size) == (80, 27, 128)


def test_whatever_is_chosen_has_a_title(monkeypatch):
    for method, rows in selection.CANDIDATES.items():
        for row in rows[1:]:
            monkeypatch.setattr(selection, "CHOSEN", {method: row.name})
            (chosen,) = selection.chosen_rows()
            assert "holdout" not in chosen.flags
            assert ("from random weights" in chosen.title) == ("--from_scratch" in chosen.flags)
            assert "λ = " in chosen.title


@pytest.mark.parametrize("wrong", [["longer"], ["selection", "published"]])
def test_studies_of_the_other_table_are_refused(tmp_path, capsys, wrong):
    refused(capsys, reproduce, "--dataset", "biased_mnist", "--studies", *wrong, "--save_dir", tmp_path)
    assert "has no study published" in refused(capsys, reproduce, "--studies", "published", "--save_dir", tmp_path)


def test_the_selection_holds_images_out_of_everything(tmp_path):
    cells = {c.name: c for c in grid(tmp_path, "--studies", "selection")}
    assert len(cells) == len(selection.LIST) == len({row.name for row in selection.LIST})
    for cell in cells.values():
        assert biased.NAME.fullmatch(cell.name)[1] in biased.NAMED
        assert (cell.option.holdout, cell.option.rho, cell.option.random_seed) == (5000, selection.RHO, 1)
        started = cell.option.method == "lntl" and not cell.option.from_scratch
        assert (cell.baseline is not None) == started


@pytest.mark.parametrize("changes", [{"rho": 0.995}, {"data_seed": 0}, {"max_step": 9}, {"method": "baseline"}])
def test_a_record_that_is_not_of_its_name_is_refused(tmp_path, changes):
    with pytest.raises(UserError, match="not those of a finished run"):
        biased.read_run(write(tmp_path, **changes))


def test_records_of_tf32_may_be_of_a_cell_and_those_of_bfloat16_not(tmp_path):
    assert biased.read_run(write(tmp_path / "a", precision="tf32"))
    with pytest.raises(UserError, match="not those of a finished run"):
        biased.read_run(write(tmp_path / "b", precision="bfloat16"))


def test_committed_records_are_whole():
    for run in biased.load_runs(ROOT).values():
        assert run["options"]["rho"] in RHOS


def test_every_rho_has_a_name_of_its_own():
    names = [biased.cell_name("lntl", rho, 1) for rho in (0.99, 0.9900001, 0.995, 1)]
    assert names[0] == "lntl_rho0.99_seed1"
    assert len({*names}) == 4
    assert all(biased.NAME.fullmatch(name) for name in names)
