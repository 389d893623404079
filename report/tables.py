"""The tables in Markdown, and results.json, from the frames of records.frame."""

import math
from statistics import fmean, stdev

import pandas

from methods import METHODS
from report import records
from report.published import BIASED_MNIST, COLOR_VARS, MARKS, PUBLISHED, RERUNS, RHOS, STRONG
from report.rows import BIASED, BIASES, GRIDS, NO_H, SUITE, Row

BESIDE = {"gray_luma": "Gray, on luma", NO_H.name: NO_H.title}  # rows beside the methods'
MEAN, WORST = "metrics.mean_group_accuracy", "metrics.worst_group_accuracy"
UNBIASED = {"unbiased": "metrics.accuracy", "mean over the 100 groups": MEAN, "worst group": WORST}
GROUPS = {"mean over groups": MEAN, "worst group": WORST, "bias, by the probe": "metrics.probe_bias_accuracy"}
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


def by_place(runs, rows, places, columns, digits=4):
    """Lines of a table: of every Row its columns {title: column}, mean ± std (n) and what diverged, a place a cell."""

    def figure(row, place, column):
        found = select(runs, row.name, place)
        lost = int(found.get("diverged", pandas.Series()).notna().sum())
        parts = [spread(found.get(column, []), digits, n=True)] if lost < len(found) else []
        return "; ".join(parts + [f"{lost} of {len(found)} diverged"] * bool(lost)) or "-"

    lines = []
    for row in rows:
        for i, (what, column) in enumerate(columns.items()):
            head = [row.title if i == 0 else "", what][: len(columns)]  # one column alone has no title
            lines.append([*head, *(figure(row, place, column) for place in places)])
    return lines


def make_cells(runs):
    """{(row, σ²): entry of results.json}: the methods first, other readings of their runs, then named settings.

    std: of a sample, None for one run.
    """
    runs = runs.assign(accuracy=runs["last.test_accuracy"])
    luma = runs[runs.row == "gray"].assign(row="gray_luma", accuracy=lambda f: f["last.test_luma_accuracy"])
    everything = pandas.concat([runs, luma]).sort_values("seed", kind="stable")
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


def measured(cell):
    """**mean ± std** of a cell, a dash for none."""
    std = f" ± {cell['std']:.4f}" if cell and cell["n"] > 1 else ""
    return f"**{cell['mean']:.4f}{std}**" if cell else "-"


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


def strong_bias(runs):
    """Ours below σ² = .02, and what others have there."""
    rows = by_place(runs, GRIDS["strong"].rows, STRONG, {"": "last.test_accuracy"})
    rows += [[f"{name}, Li et al. 2023, ± .01", *(f"{of[v]:.2f}" for v in STRONG)] for name, of in MARKS.items()]
    return markdown(["σ²", *STRONG], rows)


def ablation(runs):
    """LNTL+ with and without h."""
    places = GRIDS["ablation"].places
    return markdown(["σ²", *places], by_place(runs, [Row("lntl_plus"), NO_H], places, {"": "last.test_accuracy"}))


def biased_mnist(runs):
    """Our rows, three figures each, and the published ones of another network."""
    rows = by_place(runs, BIASED, RHOS, UNBIASED)
    rows += [[name, "unbiased, SimpleConvNet", *values] for name, values in BIASED_MNIST.items()]
    return markdown(["", "", *(f"ρ = {rho:g}" for rho in RHOS)], rows)


def way(runs):
    """How far LNTL+ comes from the baseline (0 %) to the ceiling (100 %), in the mean over groups, a bias a cell."""
    means = runs.groupby(["place", "row"])[MEAN].mean()
    ends = [[means.get((bias, row), math.nan) for row in ("baseline", "lntl_plus", "fair")] for bias in BIASES]
    return [f"{100 * (ours - low) / (high - low):.0f} %".replace("nan %", "-") for low, ours, high in ends]


def in_short(suite, biased):
    """Baseline, LNTL+ and the ceiling: means over the runs, of the suite and of Biased-MNIST."""
    lines = []
    for row in [row for row in SUITE if row.name in ("baseline", "lntl_plus", "fair")]:
        runs = [select(suite, row.name, bias, MEAN) for bias in BIASES]
        runs.append(select(biased, f"{row.name}_now", 0.99, MEAN))
        lines.append([row.title, *(spread([of.mean()], 3) for of in runs)])
    lines.append(["LNTL+, of the way between", *way(suite), "-"])
    return markdown(["mean over groups", *BIASES, "Biased-MNIST, ρ = .99"], lines)


def suite(runs):
    """A column a bias; of every method the mean over groups, the worst group, and how well a probe finds the bias."""
    chance = runs.groupby("place")["metrics.probe_chance"].first()
    rows = by_place(runs, SUITE, BIASES, GROUPS, 3)
    rows.append(["LNTL+, of the way from the baseline to the ceiling", "mean over groups", *way(runs)])
    rows.append(["chance", [*GROUPS][-1], *(f"{chance[bias]:.3f}" if bias in chance else "-" for bias in BIASES)])
    return markdown(["method", "", *BIASES], rows)
