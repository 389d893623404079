"""The figures of the tables, computed again in plain Python; and the committed texts."""

import json
from statistics import fmean, stdev
from types import SimpleNamespace

import pandas
import pytest

from common.errors import UserError
from models.shipped import sha256_of
from report import build, figures, published, records, rows, tables
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


def test_luma_is_another_reading_of_the_same_runs():
    found = records.read("colored_mnist")
    lumas = [found[f"gray_var0.030_seed{k}"]["log"][-1]["test_luma_accuracy"] for k in (1, 2, 3)]
    cells = tables.make_cells(build.load()["colored_mnist"])
    assert cells["gray_luma", 0.03]["accuracy"] == lumas


def test_what_an_epoch_picked_on_the_test_would_add():
    """docs/REPRODUCTION.md: .001 to .007, of LNTL's cells of three runs."""
    found, gains = records.read("colored_mnist"), []
    for v in published.COLOR_VARS:
        logs = [[e["test_accuracy"] for e in found[f"lntl_var{v:.3f}_seed{k}"]["log"]] for k in (1, 2, 3)]
        gains.append(fmean(max(log) - log[-1] for log in logs))
    assert (round(min(gains), 3), round(max(gains), 3)) == (0.001, 0.007)


def made_of(means, n=3, std=0.01):
    return {key: {"mean": m, "std": std, "n": n} for key, m in means.items()}


def test_the_summary_counts():
    ours = {("lntl", v): figure - 0.005 for v, figure in published.PUBLISHED["lntl"].items()}
    text = tables.summary(made_of(ours | {("lntl", 0.02): 0.9}))
    assert text.startswith("LNTL is below its published figure at 6 of 7 variances")
    assert "above both at 0.02, " in text


@pytest.mark.parametrize(("mean", "n", "said"), [(0.8185 + 0.019, 3, "yes"), (0.8185 - 0.021, 3, "no"), (0.8, 1, "-")])
def test_what_lies_within_two_std(mean, n, said):
    assert tables.within({"mean": mean, "std": 0.01, "n": n}, published.PUBLISHED["lntl"][0.02]) == said


def test_what_diverged_is_said():
    made = {
        f"lntl_now_rho0.99_seed{k}": made_up(f"lntl_now_rho0.99_seed{k}", {"accuracy": k / 4}, k) for k in (1, 2, 3)
    }
    made["lntl_now_rho0.99_seed3"] |= {"metrics": None, "diverged": 3}
    text = tables.biased_mnist(records.frame(made, "biased_mnist"))
    assert "| LNTL | unbiased | - | - | - | 0.3750 ± 0.1768 (2); 1 of 3 diverged |" in text


@pytest.fixture(scope="module")
def suite():
    """The frame of a made-up suite: two rows on texture, one on blur."""
    made = {}
    means = (("texture", "baseline", 0.4), ("texture", "lntl_plus", 0.55), ("texture", "fair", 0.6))
    for place, row, mean in (*means, ("blur", "lntl_plus", 0.5)):
        for k in (1, 2, 3):
            name, figures = f"{place}_{row}_seed{k}", {"mean_group_accuracy": mean + 0.1 * k, "probe_chance": 0.25}
            made[name] = made_up(name, figures, seed=k)
    return records.frame(made, "suite")


def test_the_suite(suite):
    lines = [line.strip("| ").split(" | ") for line in tables.suite(suite).splitlines()]
    assert lines[0][2:] == [*rows.BIASES]
    assert lines[2][:4] == ["Baseline", "mean over groups", "0.600 ± 0.100 (3)", "-"]
    ceiling = next(line for line in lines if line[0] == rows.FAIR.title)
    assert (ceiling[2], ceiling[-1]) == ("0.800 ± 0.100 (3)", "-")
    assert lines[-2][1:] == ["mean over groups", "75 %", *["-"] * 6]
    assert lines[-1] == ["chance", "bias, by the probe", "0.250", "-", "-", "-", "0.250", "-", "-"]


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


def test_the_hashes_of_the_shipped_weights():
    text = (records.ROOT / "checkpoints/README.md").read_text("utf-8")
    files = [*records.ROOT.glob("checkpoints/*.pth")]
    assert len(files) == text.count(".pth | ")
    assert all(f"| {path.name} |" in text and sha256_of(path) in text for path in files)


def test_figures_are_drawn(tmp_path, suite):
    """Also with runs below the paper's variances, and of a suite."""
    runs = build.load()
    strong = runs["colored_mnist"].query("row == 'lntl_plus' and place == 0.02").assign(place=0.005)
    figures.draw(tmp_path, runs)
    plain = (tmp_path / "accuracy.png").read_bytes()
    figures.draw(tmp_path, runs | {"colored_mnist": pandas.concat([runs["colored_mnist"], strong]), "suite": suite})
    assert {path.stem for path in tmp_path.iterdir()} == {"accuracy", "biased_mnist", "suite"}
    assert all(path.stat().st_size > 10_000 for path in tmp_path.iterdir())
    assert (tmp_path / "accuracy.png").read_bytes() != plain
    assert len({tuple(style.values()) for style in figures.STYLE.values()}) == len(tables.MINE)


def test_what_a_finished_run_is_compared_with():
    def lines(**changes):
        own = {"dataset": "colored_mnist", "data_dir": None, "method": "lntl", "color_var": 0.02}
        return published.compare_lines(SimpleNamespace(**own | changes))

    assert lines() == ["compare with: published 0.8185, ours in results/table.md"]
    assert lines(method="mine") == ["compare with: results/table.md"]
    assert lines(dataset="images") == lines(data_dir="mine") == []
    assert lines(dataset="biased_mnist") == ["compare with: docs/BIASED_MNIST.md"]
