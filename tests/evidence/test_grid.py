"""What the grid consists of: its cells, their starts and schedules, and flags that cannot be."""

import shutil
import sys
from pathlib import Path

import pytest
import torch

import option as options
import reproduce
from common.errors import UserError
from common.files import write_json
from evidence import grid, records
from models.shipped import weights_of
from tests.test_options import refused

ROOT = Path(__file__).resolve().parents[2]


def test_run_k_has_seed_k_and_draw_k_minus_1():
    """With --data_dir the colours are those of the files; a study may stay on one draw."""

    def seeds(*arguments):
        flags = ["--device", "cpu", "--save_dir", "nowhere", *arguments]
        return {
            c.name: (c.option.random_seed, c.option.data_seed)
            for c in grid.make_grid(reproduce.parser().parse_args(flags))
        }

    drawn = seeds("--methods", "baseline", "lntl", "--color_vars", "0.02", "--seeds", "1", "2", "7")
    assert {name: pair[0] - pair[1] for name, pair in drawn.items()} == dict.fromkeys(drawn, 1)
    assert drawn["lntl_var0.020_seed7"] == (7, 6)
    assert drawn["baseline_var0.020_seed2"] == (2, 1)
    files = seeds("--methods", "gray", "--color_vars", "0.02", "--seeds", "3", "--data_dir", str(ROOT))
    assert files == {"gray_var0.020_seed3": (3, 0)}
    assert set(seeds("--studies", "draw0").values()) == {(2, 0), (3, 0)}
    assert seeds("--studies", "long", "--seeds", "2")["lntl_var0.050_epochs100_seed2"] == (2, 1)


def test_a_cell_of_another_draw_is_refused(tmp_path):
    arguments = f"--methods baseline --color_vars 0.02 --seeds 2 --device cpu --save_dir {tmp_path}".split()
    (cell,) = grid.make_grid(reproduce.parser().parse_args(arguments))
    cell.path.mkdir()
    write_json(cell.path / "options.json", vars(cell.option) | {"data_seed": 0})
    with pytest.raises(UserError, match="was begun with --data_seed 0, not 1"):
        cell.run(None)


def test_a_cell_goes_on_with_the_threads_it_began_with(tmp_path):
    flags = f"--methods baseline --color_vars 0.02 --seeds 1 --device cpu --save_dir {tmp_path}".split()
    (cell,), given = (
        grid.make_grid(reproduce.parser().parse_args([*flags, *more])) for more in ([], ["--threads", "3"])
    )
    cell.path.mkdir()
    write_json(cell.path / "options.json", vars(cell.option) | {"threads": 2})
    (cell.path / "last.pt").touch()
    assert cell.run(lambda option: option.threads) == 2
    assert given[0].run(lambda option: option.threads) == 3


def test_every_seed_starts_from_its_own_baseline(tmp_path):
    """Which is trained where it is asked for or not shipped."""

    def starts(*arguments):
        arguments = ["--color_vars", "0.02", "--device", "cpu", "--save_dir", str(tmp_path), *arguments]
        cells = grid.make_grid(reproduce.parser().parse_args(arguments))
        return {c.name: (c.start, c.baseline and c.baseline.name) for c in cells}

    first, fifth = (f"baseline_var0.020_seed{seed}" for seed in (1, 5))
    assert weights_of(first) == ROOT / "checkpoints" / "baseline_var0.020.pth"
    assert weights_of(first).exists()
    assert not weights_of(fifth).exists()
    assert starts("--methods", "lntl", "blindeye", "--seeds", "1", "5") == {
        "lntl_var0.020_seed1": (first, None),
        "blindeye_var0.020_seed1": (first, None),
        fifth: (None, None),
        "lntl_var0.020_seed5": (fifth, fifth),
        "blindeye_var0.020_seed5": (fifth, fifth),
    }
    asked = starts("--methods", "baseline", "lntl", "lntl_plus")
    assert asked["lntl_var0.020_seed1"] == (first, first)
    assert asked["lntl_plus_var0.020_seed1"] == (None, None)
    (tmp_path / first).mkdir()
    (tmp_path / first / "final.pth").touch()
    assert starts("--methods", "lntl")["lntl_var0.020_seed1"] == (first, first)


def test_a_start_is_its_own_weights_else_the_shipped_ones(tmp_path):
    taken = []

    def train(option):
        taken.append(Path(option.checkpoint).resolve())

    arguments = f"--methods lntl --color_vars 0.02 --seeds 1 5 --device cpu --save_dir {tmp_path}".split()
    first, fifth_start, fifth = grid.make_grid(reproduce.parser().parse_args(arguments))
    first.run(train)
    with pytest.raises(UserError, match=r"baseline_var0\.020_seed5/final\.pth is missing"):
        fifth.run(train)
    fifth_start.path.mkdir()
    (fifth_start.path / "final.pth").touch()
    fifth.run(train)
    assert taken == [weights_of("baseline_var0.020_seed1"), fifth_start.path / "final.pth"]


def test_the_whole_grid_without_repetition():
    def names(*arguments):
        return [c.name for c in grid.make_grid(reproduce.parser().parse_args([*arguments, "--device", "cpu"]))]

    assert len(names()) == len(set(names())) == 28
    assert len(set(names("--seeds", "2", "3"))) == len(names("--seeds", "2", "3")) == 56


def test_schedules():
    def schedule(*arguments):
        cells = grid.make_grid(reproduce.parser().parse_args([*arguments, "--color_vars", "0.02"]))
        seeds = {c.option.random_seed for c in cells}
        return {c.option.method: (c.option.max_step, c.option.lr_decay_period, c.option.lr) for c in cells}, seeds

    expected = {"baseline": (100, 40, 0.01), "gray": (40, 16, 0.01), "lntl": (20, 40, 1e-3), "blindeye": (20, 40, 1e-3)}
    assert schedule("--device", "cpu") == (expected, {1})
    official, seeds = schedule("--device", "cuda")
    assert {s[:2] for s in official.values()} == {(100, 40)}
    assert seeds == {1, 2, 3}
    assert {s[:2] for s in schedule("--epochs", "30")[0].values()} == {(30, 12)}
    assert schedule("--device", "cuda", "--schedule", "cpu", "--seeds", "1") == (expected, {1})


def test_precision_and_machine_are_handed_on():
    flags = ["--methods", "gray", "--color_vars", "0.02", "--device", "cuda", "--precision", "tf32", "--threads", "3"]
    for cell in grid.make_grid(reproduce.parser().parse_args(flags)):
        assert (cell.option.precision, cell.option.device, cell.option.threads) == ("tf32", "cuda", 3)


def test_cells_in_tf32_are_those_of_float32(tmp_path):
    flags = f"--methods gray --color_vars 0.02 --seeds 1 --device cuda --schedule cpu --save_dir {tmp_path}".split()
    (cell,) = grid.make_grid(reproduce.parser().parse_args([*flags, "--precision", "tf32"]))
    cell.path.mkdir()
    for precision, state in (
        ("float32", "to do"),
        ("tf32", "to do"),
        ("bfloat16", "was begun with --precision bfloat16, not tf32"),
    ):
        write_json(cell.path / "options.json", vars(cell.option) | {"precision": precision})
        assert cell.progress().state == state


def test_every_recorded_cell_of_the_heat_map_counts_as_finished():
    """Those of a processor without bfloat16 are in float32."""
    flags = ["--studies", "sensitivity", "--device", "cpu", "--save_dir", str(ROOT / "results/runs")]
    states = {cell.progress().state for cell in grid.make_grid(reproduce.parser().parse_args(flags))}
    assert states == {"finished"}


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ("--studies long --precision float32", "have one of their own"),
        ("--epochs 3 --schedule cpu", "both say how long"),
        ("--studies longer --schedule cpu", "--schedule are for the table"),
        ("--seeds 0", "counted from 1"),
        ("--dataset biased_mnist --seeds 0", "counted from 1"),
        ("--dataset biased_mnist --studies selection --rhos 0.99", "of its own"),
        ("--dataset biased_mnist --schedule cpu", "methods and epochs of its own"),
    ],
)
def test_flags_that_contradict_each_other(tmp_path, capsys, flags, why):
    assert why in refused(capsys, reproduce, *flags.split(), "--save_dir", tmp_path)


def test_options_equal_those_of_the_train_command():
    by_hand = "-e gray_var0.020_seed1 --method gray --color_var 0.02 --random_seed 1 --max_step 40 --lr_decay_period 16"
    by_hand = options.resolve_training(options.train_parser().parse_args(by_hand.split()))
    flags = ["--device", "cpu", "--methods", "gray", "--color_vars", "0.02"]
    (cell,) = grid.make_grid(reproduce.parser().parse_args(flags))
    differ = {k for k, v in vars(by_hand).items() if getattr(cell.option, k) != v}
    assert differ == {"resume", "device"}


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--methods", "lnl"], "--methods"),
        (["--color_vars", "0.021"], "0.021"),
        (["--color_vars", "red"], "--color_vars"),
        (["--seeds", "-1"], "--seeds"),
        (["--seeds", "0"], "counted from 1"),
        (["--epochs", "0"], "--epochs"),
        (["--data_dir", "nowhere"], "nowhere"),
        (["--workers", "2"], "--slurm"),
        (["--slurm", "gpu"], "no SLURM here"),
    ],
)
def test_wrong_flags_are_one_line(capsys, tmp_path, monkeypatch, arguments, what):
    if "--slurm" in arguments:
        pytest.importorskip("submitit", reason="submitit is not installed (requirements/slurm.txt)")
        monkeypatch.setenv("PATH", "")
    assert what in refused(capsys, reproduce, "--save_dir", tmp_path, *arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_one_line(capsys, tmp_path):
    assert "no GPU" in refused(capsys, reproduce, "--save_dir", tmp_path, "--device", "cuda")


def test_slurm_without_submitit_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert "requirements/slurm.txt" in refused(capsys, reproduce, "--save_dir", tmp_path, "--slurm", "gpu")


def test_an_older_run_of_lntl_plus_is_no_cell_of_today_and_a_new_one_is_to_do(tmp_path):
    line = ["--methods", "lntl_plus", "--color_vars", "0.02", "--seeds", "1", "--device", "cpu"]
    (cell,) = grid.make_grid(reproduce.parser().parse_args([*line, "--save_dir", str(tmp_path)]))
    assert cell.progress().state == "to do"
    shutil.copytree(records.ROOT / "results" / "runs" / "lntl_plus_var0.020_bins_seed1", tmp_path / cell.name)
    assert cell.progress().state.startswith("was begun with --")


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--slurm", ""], "--slurm: it is empty"),
        (["--minutes", "5"], "--minutes is for --slurm"),
        (["--add", "--save_dir", "nowhere"], "nowhere is not a folder"),
        (["--save_dir", "README.md"], "cannot write to --save_dir README.md"),
    ],
)
def test_a_grid_that_cannot_be_run_is_one_line_and_no_cell(capsys, flags, why):
    assert why in refused(capsys, reproduce, "--methods", "gray", "--device", "cpu", *flags)


def test_on_files_of_ones_own_the_start_is_trained_on_them(tmp_path):
    flags = ["--methods", "lntl", "--color_vars", "0.02", "--device", "cpu", "--save_dir", str(tmp_path)]
    names = [c.name for c in grid.make_grid(reproduce.parser().parse_args([*flags, "--data_dir", str(ROOT)]))]
    assert names == ["baseline_var0.020_seed1", "lntl_var0.020_seed1"]
