"""Tables of Colored-MNIST in Markdown, results.json, and of speed; from the frames of records.frame."""

import itertools
import json
from statistics import fmean, stdev

import pandas

from common.errors import UserError
from methods import METHODS
from models.shipped import sha256_of
from report import records
from report.published import COLOR_VARS, MARKS, PUBLISHED, RERUNS, ROOT, STRONG
from report.rows import GRIDS, NO_H

BESIDE = {  # rows beside the methods': other readings of their runs, and named settings
    "gray_luma": "Gray, on luma",
    "lntl_averaged": "LNTL, mean weights of the last 5 epochs",
    "lntl_official": "LNTL, from the authors' network",
    "baseline_draw0": "one draw: Baseline, seeds 1 to 3 on draw 0",
    "lntl_draw0": "one draw: LNTL, seeds 1 to 3 on draw 0",
    "lntl_draw0_averaged": "one draw: LNTL, mean weights of the last 5 epochs",
    "lntl_baseline1": "one draw: LNTL, seed 2 from the baseline of seed 1",
    "lntl_baseline2": "one draw: LNTL, seed 1 from the baseline of seed 2 (bfloat16)",
    "lntl_epochs100": "LNTL, the official 100 epochs (bfloat16)",
    NO_H.name: NO_H.title,
    "lntl_plus_bins": "LNTL+ of the first list: bins, 20 epochs",
    "lntl_plus_bins_draw0": "one draw: LNTL+ of the first list, seeds 1 to 3 on draw 0",
    "lntl_plus_smoothing0": "LNTL+, not smoothed: its first version",
}
TITLES = {name: METHODS[name].title for name in (*PUBLISHED, *(m for m in METHODS if m not in PUBLISHED))} | BESIDE
MINE = [name for name in TITLES if name not in BESIDE]  # the methods, in their order


def markdown(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines).replace(" --- ", "---")


def spread(values, digits=4, n=False):
    """mean ± std of a sample (n), a dash for none. Rounded first to 9 places, so that .5725 is .573 on any machine."""
    values = [v for v in values if v == v and v is not None]
    if not values:
        return "-"
    std = f" ± {round(stdev(values), 9):.{digits}f}" + f" ({len(values)})" * n if len(values) > 1 else ""
    return f"{round(fmean(values), 9):.{digits}f}{std}"


def minutes(runs):
    """{hardware: mean minutes of training one of the runs on it}, without pretraining."""
    return {name: round(fmean(of), 1) for name, of in runs.groupby("hardware")["minutes"]}


def select(runs, row, place="", column=None):
    """The runs of a row at a place in the order of their seeds, or a column of them."""
    found = runs[(runs.row == row) & (runs.place == place)].sort_values("seed")
    return found if column is None else found.get(column, pandas.Series(dtype=float))


def make_cells(runs):
    """{(row, σ²): entry of results.json}: the methods first, other readings of their runs, then named settings.

    std: of a sample, None for one run.
    """
    runs = runs.assign(accuracy=runs["last.test_accuracy"])
    one_draw = runs[runs.seed == 1].assign(row=lambda f: f.row + "_draw0")  # run 1 of a cell is of draw 0 too
    drawn = runs[["row", "place"]].drop_duplicates().merge(one_draw)
    luma = runs[runs.row == "gray"].assign(row="gray_luma", accuracy=lambda f: f["last.test_luma_accuracy"])
    everything = pandas.concat([runs, drawn, luma])
    averaged = everything[everything.row.isin(["lntl", "lntl_draw0"])].dropna(subset="last.averaged_test_accuracy")
    averaged = averaged.assign(row=averaged.row + "_averaged", accuracy=averaged["last.averaged_test_accuracy"])
    everything = pandas.concat([everything, averaged]).sort_values("seed", kind="stable")
    epochs = dict(zip(runs.name, runs["options.max_step"], strict=True)) | {records.AUTHORS_NETWORK: 100}
    order, made = {row: i for i, row in enumerate(TITLES)}, {}
    for (row, place), runs in everything.groupby(["row", "place"]):
        accuracy, first = runs.accuracy.tolist(), runs.iloc[0]
        made[row, place] = {
            "method": row,
            "color_var": place,
            "seeds": runs.seed.tolist(),
            "data_seeds": runs["options.data_seed"].astype(int).tolist(),
            "accuracy": accuracy,
            "mean": round(fmean(accuracy), 6),
            "std": round(stdev(accuracy), 6) if len(runs) > 1 else None,
            "n": len(runs),
            "epochs": int(first["options.max_step"]),
            "schedule": f"{first['options.lr']:g}, {first['options.lr_decay_period']} epochs",
            "starts": [start or None for start in runs.start],
            "pretrain_epochs": int(epochs.get(first.start, 0)),
            "hardware": "; ".join(minutes(runs)),
            "minutes": round(runs.minutes.mean(), 1),
            "minutes_on": minutes(runs),
            "precision": ", ".join(sorted({*runs["options.precision"]})),
        }
    return dict(sorted(made.items(), key=lambda cell: (order.get(cell[0][0], len(order)), cell[0])))


def measured(cell, missing="-", n=False):
    """**mean ± std** (n) of a cell."""
    if not cell:
        return missing
    std = f" ± {cell['std']:.4f}" if cell["n"] > 1 else ""
    return f"**{cell['mean']:.4f}{std}**" + f" ({cell['n']})" * (n and cell["n"] > 1)


def within(cell, published):
    """Whether a figure lies within two std of ours: yes, no, or a dash."""
    if not (published and cell and cell["n"] > 1):
        return "-"
    return "yes" if abs(cell["mean"] - published) <= 2 * cell["std"] else "no"


def full_table(cells):
    """A row a cell: the published figure, ours, the schedule, and what it cost."""
    rows = []
    for (row, place), cell in cells.items():
        if row in TITLES:
            published = PUBLISHED.get(row.split("_")[0], {}).get(place)  # LNTL's beside LNTL+ too
            line = [TITLES[row], place, f"{published:.4f}" if published else "-", measured(cell)]
            line += [f"{cell['mean'] - published:+.4f}" if published else "-"]
            line += [within(cell, None if row.startswith("lntl_plus") else published), cell["n"], cell["epochs"]]
            line += [cell["schedule"], ", ".join(dict.fromkeys(start or "random" for start in cell["starts"]))]
            rows.append([*line, "; ".join(f"{name}: {mean:.0f}" for name, mean in cell["minutes_on"].items())])
    header = ["method", "σ²", "published", "ours (mean ± std)", "difference", "within two std", "n", "epochs"]
    return markdown([*header, "lr, cut to a tenth every", "start", "hardware, minutes a run"], rows)


def summary(cells):
    """How LNTL stands to its published figures and to two re-runs."""
    lntl = {v: cells["lntl", v]["mean"] for v in COLOR_VARS if ("lntl", v) in cells}
    off = [mean - PUBLISHED["lntl"][v] for v, mean in lntl.items()]
    reruns = {v: sorted(of[v] for of in RERUNS.values()) for v in lntl}
    between = sum(reruns[v][0] <= mean <= reruns[v][1] for v, mean in lntl.items())
    above = ", ".join(str(v) for v, mean in lntl.items() if mean > reruns[v][1])
    return (
        f"LNTL is below its published figure at {sum(d < 0 for d in off)} of {len(off)} variances (mean "
        f"{fmean(off):+.3f}), between two independent re-runs at {between}, above both at {above or 'none'}."
    )


def matrix(cells):
    """The paper's table: a row a method, published and ours, a column a variance; and the summary."""
    rows = []
    for method in (m for m in MINE if m in PUBLISHED or any(m == row for row, _ in cells)):
        if method in PUBLISHED:
            rows.append([f"{TITLES[method]}, published", *(f"{v:.4f}" for v in PUBLISHED[method].values())])
        rows.append([f"**{TITLES[method]}**", *(measured(cells.get((method, v))) for v in COLOR_VARS)])
    n = " or ".join(map(str, sorted({cell["n"] for (m, _), cell in cells.items() if m in MINE} - {1})))
    legend = f"Bold: ours; ±: std of {n} runs (seed and colours drawn anew), else one run."
    return f"{markdown(['σ²', *COLOR_VARS], rows)}\n\n{legend} {summary(cells)}"


def comparison(cells):
    """Published figures beside ours, and whether they lie within two std."""
    rows = []
    for method, published in PUBLISHED.items():
        ours = [cells.get((method, v)) for v in COLOR_VARS]
        rows.append([TITLES[method], "published", *(f"{v:.4f}" for v in published.values())])
        rows.append(["", "ours: mean ± std (runs)", *(measured(cell, "not yet run", n=True) for cell in ours)])
        rows.append(["", "published within two std", *map(within, ours, published.values())])
        if method == "lntl":
            rows += [["", name, *(f"{v:.4f}" for v in of.values())] for name, of in RERUNS.items()]
    return markdown(["σ²", "", *COLOR_VARS], rows)


def strong_bias(cells):
    """Ours below σ² = .02, and what others have there."""
    rows = [
        [f"**{row.title}**", *(measured(cells.get((row.name, v)), "not yet run", n=True) for v in STRONG)]
        for row in GRIDS["strong"].rows
    ]
    rows += [[f"{name}, Li et al. 2023, ± .01", *(f"{of[v]:.2f}" for v in STRONG)] for name, of in MARKS.items()]
    return markdown(["σ²", *STRONG], rows)


def ablation(runs):
    """LNTL+ without h beside LNTL+, of the same variances and draws."""
    rows = []
    for v in GRIDS["ablation"].places:
        both = [select(runs, name, v).set_index("seed")["last.test_accuracy"] for name in ("lntl_plus", NO_H.name)]
        gain = (both[0] - both[1]).dropna()
        whole, without = (of[gain.index] if len(gain) else of for of in both)
        rows.append([v, spread(whole), spread(without), spread(gain), len(gain)])
    return markdown(["σ²", TITLES["lntl_plus"], NO_H.title, "what h adds", "runs of both"], rows)


def weights(runs, root=ROOT):
    """A row a file of checkpoints/: the run that made it, its accuracy, and its SHA-256."""
    accuracy, rows = dict(zip(runs.name, runs["metrics.accuracy"], strict=True)), []
    for path in sorted((root / "checkpoints").glob("*.pth")):
        if (name := records.run_of(path.name)) not in accuracy:
            raise UserError(f"checkpoints/{path.name} has no record {name} in results/; add it, or remove the file")
        rows.append([path.name, name, f"{accuracy[name]:.4f}", f"`{sha256_of(path)}`"])
    return markdown(["file", "run", "accuracy", "SHA-256"], rows)


def speed(root=ROOT):
    """Of all records of `python -m bench`, results/bench_*.json: (in a line, side by side)."""
    paths = sorted((root / "results").glob("bench_*.json"))
    found = {path.stem.removeprefix("bench_").replace("_", " "): json.loads(path.read_text("utf-8")) for path in paths}

    def faster(method, device):
        own = [f[method] for f in found.values() if f["device"] == device]
        times = [f["reference_ms"] / f["float32_ms"] for f in own]
        return " to ".join(dict.fromkeys(f"{t:.1f}" for t in (min(times), max(times)))) + " times"

    processors = sum(f["device"] == "cpu" for f in found.values())
    line = (
        f"In float32 an LNTL iteration is {faster('lntl', 'cpu')} as fast as in a straightforward rewrite of the "
        f"original, a baseline iteration {faster('baseline', 'cpu')}, on {processors} processors; on a GPU "
        f"{faster('lntl', 'cuda')} and {faster('baseline', 'cuda')}: [docs/SPEED.md](docs/SPEED.md)."
    )
    rows = []
    for method, name in itertools.product(("lntl", "baseline"), ("reference", "float32", "tf32", "bfloat16")):
        took = [(f[method][f"{name}_ms"], f[method]["reference_ms"]) for f in found.values()]
        cells = [f"{ms:.3g}" + f", **{other / ms:.2f}**" * (ms != other) if ms else "-" for ms, other in took]
        if {*cells} != {"-"}:
            rows.append([f"{method}, {name.replace('reference', 'straightforward')}", *cells])
    return line, markdown(["ms an iteration, times as fast", *found], rows)
