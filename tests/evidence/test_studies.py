"""The named settings: their grid, their names, and the tables and figure that come of their records."""

import math

import pytest

import reproduce
from common.errors import UserError
from dataset.mistakes import BUILD
from evidence import figures, records, selection, studies
from evidence.grid import make_grid
from evidence.settings import COLOR_VAR, EPOCHS
from methods import DEVIATIONS
from tests.evidence.edited import change, made_of
from tests.test_options import refused


def grid(*flags):
    """The grid as on a fresh machine, where no run has left its weights."""
    return make_grid(reproduce.parser().parse_args(["--device", "cpu", "--save_dir", "nowhere", *flags]))


def made_up(accuracies, method="lntl", bias=0.5, seed=1):
    """A run with these test accuracies, as records.load_runs gives it."""
    log = [{"test_accuracy": a, "bias_accuracy": bias, "neg_entropy": -1.5} for a in accuracies]
    options = {"color_var": COLOR_VAR, "random_seed": seed, "precision": "float32"}
    return {"method": method, "options": options, "log": log}


def test_every_setting_is_a_run_of_its_own_whose_name_can_be_read():
    cells = grid("--studies", *studies.STUDIES)
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names) == 69
    for cell in cells:
        match = records.NAME.fullmatch(cell.name)
        option = cell.option
        assert (match[1], float(match[2]), int(match[4])) == (option.method, option.color_var, option.random_seed)
        assert match[3]
    by_name = {cell.name: cell for cell in cells}
    strong = by_name["lntl_var0.020_lambda0.1_mu1_seed1"].option
    assert (strong.lambda_, strong.mu, strong.max_step, strong.lr_decay_period) == (0.1, 1, EPOCHS, 40)
    precisions = {
        cell.option.lambda_: cell.option.precision for cell in cells if "_lambda" in cell.name and "_mu1_" in cell.name
    }
    assert precisions == dict.fromkeys(studies.LAMBDAS, "bfloat16")
    assert by_name["lntl_var0.020_still_g_seed1"].option.deviation == "still_g"
    assert by_name["lntl_var0.050_epochs100_seed1"].option.max_step == 100
    late = by_name["lntl_var0.020_epochs12_seed1"]
    assert late.baseline is by_name["baseline_var0.020_epochs12_seed1"]
    assert late.baseline.option.max_step == 12
    crossed = {c.name: c.start for c in cells if c.name.removesuffix(f"_seed{c.option.random_seed}")[-1:] in "12"}
    assert crossed["lntl_var0.020_baseline1_seed2"] == "baseline_var0.020_seed1"
    assert crossed["lntl_var0.030_baseline1_seed2"] == "baseline_var0.030_seed1"
    assert crossed["lntl_var0.020_baseline2_seed1"] == "baseline_var0.020_draw0_seed2"


def test_no_setting_is_what_the_table_runs_already():
    table = {k: v for k, v in vars(grid("--methods", "lntl", "--color_vars", "0.02")[0].option).items()}
    for cell in grid("--studies", *studies.STUDIES):
        option = vars(cell.option)
        differ = {k for k in option if option[k] != table[k]} - {"exp_name", "max_step"}
        assert differ or cell.baseline or option["max_step"] > table["max_step"], cell.name


def test_every_deviation_of_the_flag_has_a_row():
    names = {s.name for s in (*studies.DEVIATIONS, studies.RESTORED)}
    deviations = {*DEVIATIONS, *BUILD}
    assert deviations < names
    for cell in grid("--studies", "deviations"):  # one thing differs from the row that it is compared with
        found = (cell.option.deviation, cell.option.precision)
        name = cell.name.removeprefix("lntl_var0.020_").removesuffix("_seed1")
        if cell.option.method == "lntl":
            assert found == (name if name in deviations else None, "bfloat16")


def test_other_seeds(capsys):
    assert [(c.name, c.start) for c in grid("--studies", "long", "--seeds", "4")] == [
        ("baseline_var0.020_seed4", None),
        ("lntl_var0.020_epochs100_seed4", "baseline_var0.020_seed4"),
        ("baseline_var0.050_seed4", None),
        ("lntl_var0.050_epochs100_seed4", "baseline_var0.050_seed4"),
    ]
    for flags in ("--epochs 3", "--methods lntl", "--color_vars 0.02"):
        assert "are for the table" in refused(capsys, reproduce, "--studies", "long", *flags.split())


def test_selection_table():
    log = [{"holdout_unbiased_accuracy": 0.9, "holdout_accuracy": 0.99, "holdout_bias_accuracy": 0.25}]
    method = "lntl_plus_holdout_mu0.3_lr0.01_lambda0.01"
    lines = selection.first_table({"x": {"method": method, "log": log}}).splitlines()
    assert "| lntl_plus | 0.3 | 0.01 | 0.01 | 0 | random | 0.9000 | 0.9900 | 0.2500 |" in lines
    assert sum("| - | - | - |" in line for line in lines) == len(selection.SELECTION) - 1


def second_run(setting, value, **more):
    log = [{"holdout_unbiased_accuracy": value, "holdout_accuracy": 0.99, "holdout_bias_accuracy": 0.25, **more}]
    return {"method": f"{setting.method}_{setting.name}", "log": log}


def test_the_second_list_and_its_rule():
    settings = [*selection.OF_FIRST.values(), *selection.SECOND]
    values = [0.9400, 0.9300, 0.9200, 0.9502, 0.9511, 0.9400, 0.9300, 0.9505]
    runs = {str(i): second_run(s, v) for i, (s, v) in enumerate(zip(settings, values, strict=True))}
    found = selection.second_list(runs)
    assert [*found][:4] == [
        ("bins", "-", "0.03", "10"),
        ("bins", "-", "0.1", "10"),
        ("bins", "-", "0.01", "10"),
        ("colour", "6", "0.03", "10"),
    ]
    assert selection.pick(found) == ("colour", "6", "0.03", "10")  # within a tie of the highest, and before it
    assert "| colour | 6 | 0.03 | 10 | **0.9502** | 0.9900 | 0.2500 |" in selection.second_table(runs)
    runs["4"] = second_run(settings[4], 0.9513)
    assert selection.pick(selection.second_list(runs)) == ("colour", "6", "0.01", "10")
    del runs["7"]
    assert selection.pick(selection.second_list(runs)) is None
    assert "**" not in selection.second_table(runs)


def test_an_average_is_a_candidate_of_its_own():
    runs = {
        str(i): second_run(s, v, averaged_holdout_unbiased_accuracy=a)
        for i, (s, v, a) in enumerate(zip(selection.LONGER, (0.95, 0.96, 0.96), (0.95, 0.97, 0.965), strict=True))
    }
    assert selection.pick(selection.longer_list(runs))[-1] == "40, the last 5 averaged"
    assert len(selection.curves(runs)) == 3
    assert not selection.curves({})


def test_what_was_chosen_is_what_the_rule_picks():
    prior, smoothing, width = selection.CHOSEN
    picked = selection.pick(selection.second_list(records.load_runs()))
    assert picked[:3] == (prior, f"{width:g}" if width else "-", f"{smoothing:g}")


def test_the_second_list_is_as_it_was_fixed():
    cells = {c.name: c.option for c in grid("--studies", "selection2", "longer")}
    for option in cells.values():
        fixed = (option.holdout, option.mu, option.lambda_, option.lr, option.random_seed, option.data_seed)
        assert fixed == (5000, 0.1, 0.01, 0.01, 1, 0)
        assert option.from_scratch
        assert option.lr_decay_period == 0.4 * option.max_step
    assert [o.max_step for o in cells.values()] == [10] * 6 + [20, 40, 100]
    assert [o.average for o in cells.values()] == [0] * 6 + [5] * 3


def test_tables_of_made_up_runs():
    ten = [0.1 * i for i in range(10)]
    runs = {
        "a": made_up([*ten, 0.99]),  # the table's run is longer: its first ten epochs count
        "r": made_up([*ten[:-2], 0.7, 0.8], "lntl_bfloat16"),
        "b": made_up([*ten[:-1], 0.6], "lntl_still_g", bias=0.25),
        "c": made_up([*ten[:-1], 0.8], "lntl_still_g", bias=0.75, seed=2),
        "o": made_up([0.1] * 10, seed=3),  # a seed of the table that no short run has
        "d": made_up([*ten[:-1], 0.5], "lntl_lambda0_mu1"),
    }
    lines = studies.deviations_table(runs).splitlines()
    assert lines[2] == "| **as in the table** | 0.9000 | 0.8000 |  | 0.5000 |"
    assert lines[3] == "| bfloat16 instead of float32 | 0.8000 | 0.7333 | -0.0667 | 0.5000 |"
    assert lines[4] == "| **in bfloat16** | 0.8000 | 0.7333 |  | 0.5000 |"
    assert "| 0.7000 | 0.7333 | +0.0000 | 0.5000 |" in next(line for line in lines if "stands still" in line)
    assert sum("not yet run" in line for line in lines) == len(studies.DEVIATIONS) + 1
    panels = studies.sensitivity(runs)
    assert panels["test accuracy"][2][2] == pytest.approx(0.9)  # the paper's setting: the table's run
    assert panels["test accuracy"][0][3] == pytest.approx(0.5)
    assert panels["entropy of h's prediction"][0][3] == pytest.approx(1.5)
    assert sum(not math.isnan(v) for row in panels["accuracy of h"] for v in row) == 2
    assert studies.sensitivity_table(runs).splitlines()[2] == "| 0 | - | - | - | 0.5000 | float32 |"


def test_heat_map_with_nothing_and_with_all(tmp_path):
    for runs in ({}, {"a": made_up([0.5] * 10)}):
        figures.draw_sensitivity(tmp_path / "map.png", studies.LAMBDAS, studies.MUS, studies.sensitivity(runs))
        assert (tmp_path / "map.png").stat().st_size > 10_000


def test_a_deviation_needs_a_name_of_its_own(tree):
    change(tree, "lntl_var0.020_seed1", "options.json", lambda o: o.update(deviation="still_g"))
    with pytest.raises(UserError, match="needs a name of its own"):
        made_of(tree)
