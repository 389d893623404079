"""The figures of the tables, computed again in plain Python; and the committed texts."""

import json
from statistics import fmean, stdev
from types import SimpleNamespace

import pandas
import pytest

from common.errors import UserError
from report import build, figures, group_tables, published, records, rows, tables
from tests.report.conftest import made_up


def test_committed_texts_equal_the_records():
    """results.json, table.md, and the generated blocks of all documents."""
    for path, text in build.texts().items():
        assert path.read_text("utf-8") == text, f"{path}: run `python reproduce.py --report`"


def test_cells_hold_what_the_records_say():
    lines = records.path_of("colored_mnist").read_text("utf-8").splitlines()
    cells = json.loads((records.ROOT / "results/results.json").read_text("utf-8"))["cells"]
    cells = {(cell["method"], cell["color_var"]): cell for cell in cells}
    for record in map(json.loads, lines):
        method, _, rest = record["name"].partition("_var")
        variance, *setting = rest.split("_")
        cell = cells["_".join([method, *(s for s in setting if not s.startswith("seed"))]), float(variance)]
        index = cell["seeds"].index(record["options"]["random_seed"])
        assert record["log"][-1]["test_accuracy"] == cell["accuracy"][index]
        assert record["log"][-1]["epoch"] == cell["epochs"]
        assert cell["n"] == len(cell["seeds"]) == len(cell["accuracy"])
        assert cell["mean"] == round(fmean(cell["accuracy"]), 6)
        assert cell["std"] == (round(stdev(cell["accuracy"]), 6) if cell["n"] > 1 else None)


def test_other_readings_are_of_the_same_runs():
    found = records.read("colored_mnist")
    lumas = [found[f"gray_var0.030_seed{k}"]["log"][-1]["test_luma_accuracy"] for k in (1, 2, 3)]
    cells = tables.make_cells(build.load()["colored_mnist"])
    assert cells["gray_luma", 0.03]["accuracy"] == lumas
    last = [found[f"lntl_var0.020_{name}"]["log"][-1] for name in ("seed1", "draw0_seed2", "draw0_seed3")]
    assert cells["lntl_draw0", 0.02]["accuracy"] == [epoch["test_accuracy"] for epoch in last]
    assert cells["lntl_draw0_averaged", 0.02]["accuracy"] == [epoch["averaged_test_accuracy"] for epoch in last]


def made_of(means, n=3, std=0.01):
    return {key: {"mean": m, "std": std, "n": n} for key, m in means.items()}


def test_the_summary_counts():
    ours = {("lntl", v): figure - 0.005 for v, figure in published.PUBLISHED["lntl"].items()}
    text = tables.summary(made_of(ours | {("lntl", 0.02): 0.9}))
    assert text.startswith("LNTL is below its published figure at 6 of 7 variances")
    assert "above both at 0.02, " in text


def test_what_lies_within_two_std():
    ours = made_of({("lntl", 0.02): 0.8185 + 0.019, ("lntl", 0.03): 0.9137 - 0.021})
    lines = tables.comparison(ours | made_of({("lntl", 0.05): 0.9618}, n=1)).splitlines()
    (line,) = [line for line, before in zip(lines[1:], lines, strict=False) if "**0.8375" in before]
    assert line == "|  | published within two std | yes | - | no | - | - | - | - |"


def test_the_ablation_compares_the_same_draws():
    runs = [("lntl_plus", k, 0.95 + k / 100) for k in (1, 2, 3)] + [("lntl_plus_noh", k, 0.94) for k in (1, 2)]
    frame = pandas.DataFrame(runs, columns=["row", "seed", "last.test_accuracy"]).assign(place=0.02)
    line = tables.ablation(frame).splitlines()[2]
    assert line == "| 0.02 | 0.9650 ± 0.0071 | 0.9400 ± 0.0000 | 0.0250 ± 0.0071 | 2 |"


def test_biased_mnist_says_what_diverged():
    runs = [r["metrics"] for n, r in records.read("biased_mnist").items() if n.startswith("lntl_plus_rho0.997_")]
    values = [metrics["accuracy"] for metrics in runs if metrics]
    cell = f"{fmean(values):.4f} ± {stdev(values):.4f} (2); 1 of 3 diverged"
    text = group_tables.biased_mnist(build.load()["biased_mnist"])
    assert f"| LNTL+ (ours), λ = 0.01, μ = 0.1; first recipe | unbiased | 3 of 3 diverged | {cell} |" in text


@pytest.fixture(scope="module")
def suite():
    """The frame of a made-up suite: two rows on texture, one on blur."""
    made = {}
    for place, row, mean in (("texture", "baseline", 0.4), ("texture", "fair", 0.6), ("blur", "lntl_plus", 0.5)):
        for k in (1, 2, 3):
            name, figures = f"{place}_{row}_seed{k}", {"mean_group_accuracy": mean + 0.1 * k, "probe_chance": 0.25}
            made[name] = made_up(name, figures, seed=k)
    return records.frame(made, "suite")


def test_the_suite(suite):
    lines = [line.strip("| ").split(" | ") for line in group_tables.suite(suite).splitlines()]
    assert lines[0][2:] == [*rows.BIASES]
    assert lines[2][:4] == ["Baseline", "mean over groups", "0.600 ± 0.100 (3)", "-"]
    ceiling = next(line for line in lines if line[0] == rows.FAIR.title)
    assert (ceiling[2], ceiling[-1]) == ("0.800 ± 0.100 (3)", "-")
    assert lines[-1] == ["chance", "bias, by the probe", "0.250", "-", "-", "-", "0.250", "-"]


def test_the_defaults():
    lines = build.defaults().splitlines()
    assert "| colored_mnist | lntl | 0.001 | 128 | sgd | cut every 40 epochs | 100 | plain | 0.01 | 0.1 |" in lines[9]
    assert not any("images | gray" in line for line in lines)


def test_only_blocks_that_stand_are_filled():
    made = {"README.md: speed": "line", "speed": "page"}
    text = "a\n<!-- speed: generated by reproduce.py --report -->\nold\n<!-- end of speed -->\nz\n"
    assert build.fill("README.md", text, made) == text.replace("old", "line")
    assert build.fill("docs/SPEED.md", text, made) == text.replace("old", "page")
    for wrong in (text.replace("end of speed", "end of weights"), text.replace("speed", "speeds")):
        with pytest.raises(UserError, match=r"A\.md: 'speeds?' is no block"):
            build.fill("A.md", wrong, made)


def test_weights_without_a_record_are_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/mine_var0.020.pth").touch()
    with pytest.raises(UserError, match=r"mine_var0\.020\.pth has no record mine_var0\.020_seed1"):
        tables.weights(build.load()["colored_mnist"], tmp_path)


def test_figures_are_drawn(tmp_path, suite):
    build.draw(tmp_path)
    figures.by_place(tmp_path / "suite.png", suite, rows.SUITE, rows.BIASES, group_tables.MEAN, {})
    assert {path.stem for path in tmp_path.iterdir()} == {"accuracy", "biased_mnist", "confusion", "glance", "suite"}
    assert len({*figures.STYLE.values()}) == len(tables.MINE)
    assert all(path.stat().st_size > 10_000 for path in tmp_path.iterdir())


def test_what_a_finished_run_is_compared_with(tmp_path):
    (tmp_path / "results").mkdir()
    cell = {"method": "lntl", "color_var": 0.02, "mean": 0.8, "std": 0.03, "n": 3, "epochs": 20}
    (tmp_path / "results/results.json").write_text(json.dumps({"cells": [cell]}))

    def lines(**changes):
        own = {"dataset": "colored_mnist", "data_dir": None, "method": "lntl"}
        return published.compare_lines(SimpleNamespace(**own | {"color_var": 0.02} | changes), tmp_path)

    assert lines() == ["compare with: published 0.8185, this repository 0.8000 ± 0.0300 (3 runs, 20 epochs)"]
    assert lines(color_var=0.03) == ["compare with: published 0.9137"]
    assert lines(method="mine") == ["compare with: the tables in README.md, and results/table.md"]
    assert lines(dataset="images") == lines(data_dir="mine") == []
    assert lines(dataset="biased_mnist") == ["compare with: docs/BIASED_MNIST.md"]
