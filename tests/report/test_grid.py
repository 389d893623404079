"""What the grid consists of: its cells, their order, starts, schedules and flags, and flags that cannot be."""

import json
from pathlib import Path

import pytest

import reproduce
from common.errors import UserError
from models.shipped import weights_of
from option import SCHEDULES
from report import grid, records, rows
from scripts import biases
from tests.processes import refused


def cells(*arguments):
    line = ["--device", "cpu", "--save_dir", "nowhere", *map(str, arguments)]
    return grid.make_grid(reproduce.parser().parse_args(line))


def test_run_k_has_seed_k_and_draw_k_minus_1(tmp_path):
    """With --data_dir the colours are those of the files."""
    line = ("--methods", "baseline", "lntl", "--color_vars", 0.02)
    drawn = {c.name: (c.option.random_seed, c.option.data_seed) for c in cells(*line, "--seeds", 1, 2, 7)}
    assert {name: pair[0] - pair[1] for name, pair in drawn.items()} == dict.fromkeys(drawn, 1)
    assert drawn["lntl_var0.020_seed7"] == (7, 6)
    assert {c.option.data_seed for c in cells(*line, "--seeds", 3, "--data_dir", tmp_path)} == {0}


def test_a_whole_seed_exists_early_and_a_name_says_which_cell_it_is():
    found = [records.named(c.name, "suite") for c in cells("--dataset", "suite", "--seeds", 1, 2)]
    order = [(c["seed"], [*rows.BIASES].index(c["place"])) for c in found]
    assert order == sorted(order)
    assert [c["row"] for c in found[:9]] == [row.name for row in rows.SUITE]
    assert grid.name_of("colored_mnist", rows.NO_H, 0.0125, 2) == "lntl_plus_var0.0125_noh_seed2"
    (_, lntl) = cells("--dataset", "biased_mnist", "--methods", "lntl", "--rhos", 0.99, "--seeds", 2)
    assert (lntl.name, lntl.baseline) == ("lntl_now_rho0.99_seed2", "baseline_now_rho0.99_seed2")
    assert records.named(lntl.name, "biased_mnist") == {"row": "lntl_now", "place": 0.99, "seed": 2}


def test_every_seed_starts_from_its_own_baseline(tmp_path):
    """Which is trained where it is asked for or not shipped, or where the shipped one saw other images."""
    line = ("--color_vars", 0.02, "--save_dir", tmp_path, "--methods", "lntl", "blindeye", "--seeds")
    first, fifth = (f"baseline_var0.020_seed{seed}" for seed in (1, 5))
    found = {c.name: c for c in cells(*line, 1, 5)}
    later = [fifth, "lntl_var0.020_seed5", "blindeye_var0.020_seed5"]
    assert [*found] == ["lntl_var0.020_seed1", "blindeye_var0.020_seed1", *later]
    taken = []
    found["lntl_var0.020_seed1"].run(lambda option: taken.append(Path(option.checkpoint).resolve()))
    with pytest.raises(UserError, match=r"baseline_var0\.020_seed5/final\.pth is missing"):
        found["lntl_var0.020_seed5"].run(None)
    (tmp_path / first).mkdir()
    (tmp_path / first / "final.pth").touch()
    found["lntl_var0.020_seed1"].run(lambda option: taken.append(Path(option.checkpoint).resolve()))
    assert taken == [weights_of(first), tmp_path / first / "final.pth"]
    assert first in [c.name for c in cells(*line, 1, "--save_dir", tmp_path / "new", "--data_dir", tmp_path)]


def test_schedules_are_those_of_the_main_job():
    def schedule(*arguments):
        found = cells("--color_vars", 0.02, "--methods", *SCHEDULES, *arguments)
        return {c.option.method: (c.option.max_step, c.option.lr_decay_period) for c in found}

    assert schedule() == {method: of["cpu"] for method, of in SCHEDULES.items()}
    assert schedule("--schedule", "cuda") == {method: of["cuda"] for method, of in SCHEDULES.items()}


def test_flags_are_those_of_the_rows():
    found = [cells("--dataset", table, "--seeds", 1) for table in rows.DATASETS]
    assert [len(of) for of in found] == [4 * 7, 7 * 4, 9 * 7]
    by_name = {c.name: c.option for of in found for c in of}
    fair, lntl, dfr = (by_name[f"blur_{row}_seed1"] for row in ("fair", "lntl", "dfr"))
    assert (fair.data_dir, fair.method, fair.image_size) == ("checkpoint/suite/blur_fair", "baseline", 32)
    assert (lntl.data_dir, lntl.from_scratch, lntl.checkpoint) == ("checkpoint/suite/blur", True, None)
    assert (dfr.pretrain, dfr.max_step) == (fair.max_step, 1)
    now = by_name["lntl_plus_now_rho0.99_seed1"]
    assert (now.method, now.rho, now.data_seed) == ("lntl_plus", 0.99, 0)
    assert {*rows.BIASES} == {*biases.BIASES, "photographs", "pretrained"}
    dfr = by_name["pretrained_dfr_seed1"]
    assert (dfr.network, dfr.init, dfr.image_size, dfr.pretrain) == ("efficientnet_lite0", "imagenet", 128, 6)


def test_a_folder_of_another_cell_is_refused(tmp_path):
    (cell,) = cells("--methods", "baseline", "--color_vars", 0.02, "--seeds", 2, "--save_dir", tmp_path)
    cell.path.mkdir()

    def state(**changes):
        (cell.path / "options.json").write_text(json.dumps(cell.option.record() | changes))
        return cell.state()

    assert state(threads=2, precision="tf32", data_dir="elsewhere", alpha=0.1) == "to do"
    assert state(max_step=3) == "was begun with --max_step 3, and its cell has 100"
    with pytest.raises(UserError, match="was begun with --max_step 3"):
        cell.run(None)


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ("--methods gray --dataset biased_mnist", "no cell has these --methods"),
        ("--dataset biased_mnist --color_vars 0.02", "--color_vars belongs to --dataset colored_mnist"),
        ("--dataset biased_mnist --data_dir nowhere", "--data_dir belongs to"),
        ("--workers 2", "for --slurm"),
    ],
)
def test_wrong_flags_are_one_line(capsys, tmp_path, flags, why):
    assert why in refused(capsys, reproduce, "--device", "cpu", "--save_dir", tmp_path, *flags.split())


def test_slurm_that_is_not_there_is_one_line(capsys, tmp_path, monkeypatch):
    line = ("--save_dir", tmp_path, "--slurm", "gpu", "--methods", "gray")
    monkeypatch.setenv("PATH", "")
    assert "--slurm: no job" in refused(capsys, reproduce, *line)
