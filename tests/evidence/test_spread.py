"""The analysis of variance against its definition, and its tables from made-up records."""

import numpy as np
import pytest

from evidence import records, spread


def run(accuracy, seed, draw, method="lntl", color_var=0.02, checkpoint="x/baseline_var0.020_seed1/final.pth"):
    options = {"method": method.split("_")[0], "color_var": color_var, "random_seed": seed, "data_seed": draw}
    options |= {"checkpoint": checkpoint, "from_scratch": False}
    return {"method": method, "options": options, "log": [{"test_accuracy": accuracy}]}


def test_equal_groups_are_the_textbook_case():
    groups = {"a": [1.0, 2.0, 3.0], "b": [5.0, 6.0, 10.0]}
    found = spread.one_way([groups])
    within = (2 + 14) / 4
    between = (3 * 2 * 2.5**2 - within) / 3  # the mean square between, less that within, by the size of a group
    assert (found.n, found.dof_within, found.dof_between) == (6, 4, 1)
    assert (found.within, found.between) == pytest.approx((within, between))
    assert found.share == pytest.approx(between / (within + between))


def test_it_finds_what_it_was_made_of():
    """Unequal groups, cells of different means: 0.03 within and 0.05 between."""
    rng = np.random.default_rng(0)
    cells = [{g: mean + rng.normal(0, 0.05) + rng.normal(0, 0.03, 1 + g % 4) for g in range(8)} for mean in range(400)]
    found = spread.one_way([{g: v.tolist() for g, v in groups.items()} for groups in cells])
    assert found.within**0.5 == pytest.approx(0.03, rel=0.05)
    assert found.between**0.5 == pytest.approx(0.05, rel=0.05)


def test_too_few_runs_tell_nothing():
    alone = spread.one_way([{0: [0.5]}])
    assert (alone.within, alone.between, alone.share) == (None, None, None)
    seeds = spread.one_way([{0: [0.5, 0.6]}])  # one draw
    assert seeds.within == pytest.approx(0.005)
    assert seeds.between is None
    assert spread.one_way([{0: [0.5], 1: [0.6]}]).between is None  # nothing says what the seed is worth
    assert spread.one_way([]) == (0, None, 0, None, 0)
    assert spread.one_way([{0: [0.5, 0.7], 1: [0.6, 0.6]}]).between == 0  # never below 0


def test_draws_and_starts_of_made_up_records():
    other = "x/baseline_var0.020_draw0_seed2.pth"
    runs = {
        "a": run(0.80, 1, 0),
        "b": run(0.82, 2, 0, "lntl_draw0", checkpoint=other),
        "c": run(0.90, 2, 1, checkpoint="x/baseline_var0.020_seed2/final.pth"),
        "d": run(0.84, 1, 0, "lntl_baseline2", checkpoint=other),
        "e": run(0.70, 1, 0, "lntl_official", checkpoint="pretrained_var0.020.pth"),
        "f": run(0.10, 1, 0, "lntl_epochs100"),
    }
    assert spread.by_draw(runs, "lntl")[0.02] == {0: [0.80, 0.82], 1: [0.90]}
    assert spread.by_start(runs) == {
        (0.02, 0): {
            "baseline_var0.020_seed1": {1: 0.80},
            "baseline_var0.020_draw0_seed2": {2: 0.82, 1: 0.84},
            records.AUTHORS_NETWORK: {1: 0.70},
        }
    }
    page = spread.page(runs)
    assert "| LNTL, seed and its baseline: draw | 0.02 | 3 | 0.0141 (1) | " in page
    assert "| LNTL on one draw, order of the images: start | 0.02, draw 0 | 3 | 0.0141 (1) | " in page
    assert "| 0.02 | 0 | baseline_var0.020_draw0_seed2 | 0.8400 | 0.8200 |" in page
    assert "| LNTL | 0.02 | 0.8185 | 0.8100 (2) | 0.9000 |" in page
    assert "over 3 runs, one run deviates by" in page


def test_without_records_it_says_not_yet():
    assert "not yet" in spread.page({})
