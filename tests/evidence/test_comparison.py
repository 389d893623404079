"""Within two std or not, the count of it, what LNTL lacks in the mean, and the commands for what is missing."""

import numpy as np
import pytest

from dataset.colored_mnist import COLOR_VARS
from evidence import comparison
from evidence.studies import STUDIES
from models.shipped import cell_name
from run.compare import PUBLISHED


def cell(method, color_var, difference, std=None):
    mean = PUBLISHED[method][color_var] + difference
    return {"method": method, "color_var": color_var, "mean": mean, "std": std, "n": 1 if std is None else 3}


@pytest.mark.parametrize(
    ("difference", "std", "expected"),
    [(0.019, 0.01, True), (-0.019, 0.01, True), (0.021, 0.01, False), (0, None, None)],
)
def test_within_two_std(difference, std, expected):
    assert comparison.within(cell("gray", 0.02, difference, std), PUBLISHED["gray"][0.02]) is expected


def test_the_count_and_the_mean():
    cells = [cell("lntl", v, -0.02, 0.011) for v in COLOR_VARS[:3]] + [
        cell("lntl", v, -0.02, 0.009) for v in COLOR_VARS[3:]
    ]
    cells += [cell("baseline", 0.02, 0.01, 0.02), cell("gray", 0.02, 0.5)]
    text = comparison.sentences(cells)
    assert text.startswith("Cells with two runs or more: 8. The published figure lies within two std of ours in 4")
    assert "(Baseline 1 of 1, LNTL 3 of 7)" in text
    assert "LNTL lies 0.0200 below the published row, the independent re-run 0.0025 above it" in text
    assert "ours 0.0225 below the re-run" in text
    lines = comparison.table(cells).splitlines()
    ours = next(i for i, line in enumerate(lines) if line.startswith("| LNTL | published"))
    assert lines[ours + 1].startswith("|  | ours: mean ± std (runs) | **0.7985 ± 0.0110** (3) |")
    assert lines[ours + 2] == "|  | published within two std | yes | yes | yes | no | no | no | no |"
    assert lines[ours + 3].endswith("| 0.8393 | 0.8956 | 0.9197 | 0.9324 | 0.9388 | 0.9469 | 0.9512 |")


def test_the_goal_is_printed_beside_what_was_reached():
    cells = [
        {"method": "lntl_plus", "color_var": v, "mean": mean, "std": None, "n": 1}
        for v, mean in ((0.02, 0.9589), (0.025, 0.925), (0.05, 0.99))
    ]
    lines = comparison.goal(cells).splitlines()
    assert lines[2].startswith("| goal | 0.959 | 0.925 |")
    assert lines[4] == "| reached | no | yes | no | no | no | no | yes |"
    assert lines[-1] == "Reached at 2 of the 7 variances."


@pytest.mark.parametrize(("n", "percent"), [(2, 65), (3, 77), (5, 86), (1000, 95)])
def test_what_would_be_expected_of_one_distribution(n, percent):
    """By drawing n runs and one more from a normal distribution, again and again."""
    drawn = np.random.default_rng(n).standard_normal((20_000, n + 1))
    inside = np.abs(drawn[:, :-1].mean(1) - drawn[:, -1]) <= 2 * drawn[:, :-1].std(1, ddof=1)
    expected = comparison.expected([{"method": "lntl", "std": 1.0, "n": n}])
    assert expected == pytest.approx(inside.mean(), abs=0.015)
    assert round(100 * expected) == percent


def test_one_run_each_says_nothing_of_a_spread():
    assert "nothing is said" in comparison.sentences([cell("lntl", 0.02, -0.01)])
    assert comparison.sentences([]).startswith("No cell")


def test_what_is_not_run_yet():
    runs = {cell_name(m, v, k) for m in comparison.RUNS for v in COLOR_VARS for k in (1, 2, 3)}
    runs |= {cell_name(s.method, s.color_var, s.seed, s.name) for settings in STUDIES.values() for s in settings}
    assert len(comparison.not_run(runs).splitlines()) == 2
    runs -= {"gray_var0.020_seed2", "gray_var0.030_seed2"}
    runs -= {"lntl_var0.020_still_g_seed1", *(cell_name("lntl", v, 3) for v in COLOR_VARS)}
    assert comparison.not_run(runs).splitlines()[2:] == [
        "| `python reproduce.py --methods lntl --seeds 3` | LNTL: 7 runs, for 3 of each cell |",
        "| `python reproduce.py --methods gray --color_vars 0.02 0.03 --seeds 2` | Gray: 2 runs, for 3 of each cell |",
        "| `python reproduce.py --studies deviations` | 1 of its 10 settings |",
    ]
