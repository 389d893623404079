"""What the grid consists of: its cells, their starts, schedules and flags, and flags that cannot be."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

import reproduce
from common.errors import UserError
from methods import METHODS
from models.shipped import weights_of
from report import grid, records, rows
from tests.report.conftest import refused


def option_of(*arguments):
    return reproduce.parser().parse_args(["--device", "cpu", "--save_dir", "nowhere", *map(str, arguments)])


def cells(*arguments):
    return grid.make_grid(option_of(*arguments))


def test_run_k_has_seed_k_and_draw_k_minus_1(tmp_path):
    """With --data_dir the colours are those of the files."""

    def seeds(*arguments):
        return {c.name: (c.option.random_seed, c.option.data_seed) for c in cells(*arguments)}

    drawn = seeds("--methods", "baseline", "lntl", "--color_vars", 0.02, "--seeds", 1, 2, 7)
    assert {name: pair[0] - pair[1] for name, pair in drawn.items()} == dict.fromkeys(drawn, 1)
    assert drawn["lntl_var0.020_seed7"] == (7, 6)
    assert seeds("--methods", "gray", "--color_vars", 0.02, "--seeds", 3, "--data_dir", tmp_path) == {
        "gray_var0.020_seed3": (3, 0)
    }


def test_whose_runs_and_how_many():
    def names(*arguments):
        found = [c.name for c in cells(*arguments)]
        assert len(found) == len({*found})
        return found

    assert len(names()) == 28
    assert len(names("--seeds", 2, 3)) == 56
    assert len(names("--dataset", "biased_mnist")) == 72
    assert len(names("--dataset", "images")) == 21
    assert len(names("--dataset", "suite")) == len(rows.SUITE) * len(rows.BIASES) * 3
    assert names("--studies", "ablation", "--color_vars", 0.02) == [
        f"lntl_plus_var0.020_noh_seed{k}" for k in (1, 2, 3)
    ]
    strong = names("--studies", "strong", "--color_vars", 0.02)
    assert strong == [f"{method}_var0.020_seed1" for method in ("baseline", "lntl", "lntl_plus")]
    assert grid.name_of("colored_mnist", rows.NO_H, 0.0125, 2) == "lntl_plus_var0.0125_noh_seed2"
    assert names("--dataset", "biased_mnist", "--methods", "gray") == []


def test_a_name_says_which_cell_it_is():
    for table in rows.DATASETS:
        for cell in cells("--dataset", table, "--seeds", 2):
            parts = records.named(cell.name, table)
            assert parts["seed"] == 2
            assert parts["place"] in rows.GRIDS[table].places
            assert parts["row"] in [row.name for row in rows.GRIDS[table].rows]


def test_every_seed_starts_from_its_own_baseline(tmp_path):
    """Which is trained where it is asked for or not shipped, or where the shipped one saw other images."""

    def starts(*arguments):
        found = cells("--color_vars", 0.02, "--save_dir", tmp_path, *arguments)
        return {c.name: (c.start and c.start.parent.name, c.needs and c.needs.name) for c in found}

    first, fifth = (f"baseline_var0.020_seed{seed}" for seed in (1, 5))
    assert weights_of(first).exists()
    assert not weights_of(fifth).exists()
    assert starts("--methods", "lntl", "blindeye", "--seeds", 1, 5) == {
        "lntl_var0.020_seed1": ("checkpoints", None),
        "blindeye_var0.020_seed1": ("checkpoints", None),
        fifth: (None, None),
        "lntl_var0.020_seed5": (fifth, fifth),
        "blindeye_var0.020_seed5": (fifth, fifth),
    }
    asked = starts("--methods", "lntl", "baseline", "lntl_plus")
    assert asked == {
        first: (None, None),
        "lntl_var0.020_seed1": (first, first),
        "lntl_plus_var0.020_seed1": (None, None),
    }
    assert [*starts("--methods", "lntl", "--data_dir", tmp_path)] == [first, "lntl_var0.020_seed1"]
    (tmp_path / first).mkdir()
    (tmp_path / first / "final.pth").touch()
    assert starts("--methods", "lntl")["lntl_var0.020_seed1"] == (first, first)


def test_a_start_is_its_own_weights_else_the_shipped_ones(tmp_path):
    taken = []

    def train(option):
        taken.append(Path(option.checkpoint).resolve())

    first, start, fifth = cells("--methods", "lntl", "--color_vars", 0.02, "--seeds", 1, 5, "--save_dir", tmp_path)
    first.run(train)
    with pytest.raises(UserError, match=r"baseline_var0\.020_seed5/final\.pth is missing"):
        fifth.run(train)
    start.path.mkdir()
    (start.path / "final.pth").touch()
    fifth.run(train)
    assert taken == [weights_of("baseline_var0.020_seed1"), start.path / "final.pth"]


def test_a_cell_goes_on_with_the_start_and_threads_it_began_with(tmp_path):
    line = ("--methods", "lntl", "--color_vars", 0.02, "--save_dir", tmp_path)
    (cell,), (given,) = cells(*line), cells(*line, "--threads", 3)
    cell.path.mkdir()
    begun = vars(cell.option) | {"threads": 2, "checkpoint": "elsewhere.pth"}
    (cell.path / "options.json").write_text(json.dumps(begun))
    (cell.path / "last.pt").touch()
    assert cell.run(lambda option: (option.threads, option.checkpoint)) == (2, "elsewhere.pth")
    assert given.run(lambda option: option.threads) == 3


def test_schedules():
    def schedule(*arguments):
        found = cells("--color_vars", 0.02, "--methods", *rows.SCHEDULES, *arguments)
        return {c.option.method: (c.option.max_step, c.option.lr_decay_period, c.option.average) for c in found}

    on_cpu = {"baseline": (100, 40, 0), "gray": (40, 16, 0), "lntl": (20, 40, 5), "blindeye": (20, 40, 0)}
    assert schedule() == on_cpu | {"lntl_plus": (40, 16, 0)}
    on_gpu = schedule("--schedule", "cuda")
    assert on_gpu == dict.fromkeys(on_cpu, (100, 40, 0)) | {"lntl": (100, 40, 5), "lntl_plus": (40, 16, 0)}
    assert {s[:2] for s in schedule("--epochs", 30).values()} == {(30, 12)}
    on_any = {c.option.random_seed for c in cells("--methods", "gray", "--device", "cuda", "--color_vars", 0.02)}
    assert on_any == {1, 2, 3}


def test_flags_are_those_of_the_rows():
    by_name = {c.name: c.option for table in rows.DATASETS for c in cells("--dataset", table, "--seeds", 1)}
    chosen = by_name["lntl_plus_chosen_rho0.99_seed1"]
    assert (chosen.rho, chosen.mu, chosen.max_step, chosen.lr_decay_period, chosen.data_seed) == (0.99, 0.03, 10, 4, 0)
    half = by_name["lntl_lambda1_mu1_seed1"]
    assert (half.dataset, half.max_step, half.lambda_, half.data_dir) == ("images", 5, 1, "checkpoint/cutouts")
    assert by_name["fair_seed1"].data_dir == "checkpoint/cutouts_fair"
    assert by_name["blur_fair_seed1"].data_dir == "checkpoint/suite/blur_fair"
    assert by_name["blur_lntl_plus_noh_seed1"].data_dir == "checkpoint/suite/blur"
    (cell,) = [c for c in cells("--dataset", "images", "--seeds", 1) if c.name == "lntl_lambda1_mu1_seed1"]
    assert cell.start == Path("nowhere/baseline_seed1/checkpoint_step_0005.pth")
    (theirs,) = cells("--studies", "published", "--methods", "baseline", "--rhos", 0.99, "--seeds", 1)
    assert (theirs.option.network, theirs.option.max_step, theirs.option.lr) == ("simple_conv", 80, 0.001)


def test_machine_and_precision_are_handed_on():
    for cell in cells("--methods", "gray", "--device", "cuda", "--precision", "tf32", "--threads", 3):
        assert (cell.option.precision, cell.option.device, cell.option.threads) == ("tf32", "cuda", 3)


@pytest.mark.parametrize(
    ("method", "low"), [("gray", "was begun with --precision bfloat16, not tf32"), ("lntl", "to do")]
)
def test_precisions_that_are_one_cell(tmp_path, method, low):
    line = ("--methods", method, "--color_vars", 0.02, "--seeds", 1, "--device", "cuda", "--schedule", "cpu")
    (cell,) = cells(*line, "--save_dir", tmp_path, "--precision", "tf32")
    cell.path.mkdir()
    for precision, state in (("float32", "to do"), ("tf32", "to do"), ("bfloat16", low)):
        (cell.path / "options.json").write_text(json.dumps(vars(cell.option) | {"precision": precision}))
        assert cell.progress().state == state


def test_a_folder_of_another_cell_is_refused(tmp_path):
    (cell,) = cells("--methods", "baseline", "--color_vars", 0.02, "--seeds", 2, "--save_dir", tmp_path)
    cell.path.mkdir()
    (cell.path / "options.json").write_text(json.dumps(vars(cell.option) | {"data_seed": 0}))
    with pytest.raises(UserError, match="was begun with --data_seed 0, not 1"):
        cell.run(None)


def test_every_row_has_a_title():
    titles = [row.title for grid in rows.GRIDS.values() for row in grid.rows]
    assert "LNTL, h = conv, λ = 1, μ = 1" in titles
    assert "LNTL+ (ours), λ = 0.01, μ = 0.03" in titles
    assert all(row.method in METHODS for grid in rows.GRIDS.values() for row in grid.rows)


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ("--methods lnl", "--methods"),
        ("--methods gray --dataset biased_mnist", "no cell has these --methods"),
        ("--color_vars 0", "--color_vars"),
        ("--color_vars red", "--color_vars"),
        ("--dataset biased_mnist --color_vars 0.02", "--color_vars belongs to --dataset colored_mnist"),
        ("--dataset biased_mnist --schedule cpu", "--schedule belongs to --dataset colored_mnist"),
        ("--dataset biased_mnist --data_dir nowhere", "is built here"),
        ("--rhos 0.99", "--rhos belongs to --dataset biased_mnist"),
        ("--studies sensitivity", "--studies"),
        ("--epochs 3 --schedule cpu", "both say how long"),
        ("--epochs 0", "--epochs"),
        ("--seeds 0", "--seeds"),
        ("--seeds -1", "--seeds"),
        ("--data_dir nowhere", "nowhere"),
        ("--workers 2", "for --slurm"),
        ("--minutes 5", "for --slurm"),
        ("--slurm=", "--slurm: it is empty"),
        ("--dry-run --add", "--dry-run"),
        ("--save_dir README.md", "cannot write to --save_dir README.md"),
    ],
)
def test_wrong_flags_are_one_line(capsys, tmp_path, flags, why):
    assert why in refused(capsys, reproduce, "--device", "cpu", "--save_dir", tmp_path, *flags.split())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_one_line(capsys, tmp_path):
    assert "no GPU" in refused(capsys, reproduce, "--save_dir", tmp_path, "--device", "cuda")


def test_slurm_that_is_not_there_is_one_line(capsys, tmp_path, monkeypatch):
    line = ("--save_dir", tmp_path, "--slurm", "gpu", "--methods", "gray")
    monkeypatch.setenv("PATH", "")
    if importlib.util.find_spec("submitit"):
        assert "no SLURM here" in refused(capsys, reproduce, *line)
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert "requirements/slurm.txt" in refused(capsys, reproduce, *line)
