"""Tables of Colored-MNIST in Markdown, results.json, and of speed; from the frames of records.frame."""

import hashlib
import json
from statistics import fmean, stdev

import pandas
from scipy.stats import t as student

from common.errors import UserError
from methods import METHODS
from report import records
from report.published import COLOR_VARS, MARKS, PUBLISHED, RERUNS, ROOT, STRONG
from report.rows import GRIDS, NO_H

DRAW0 = "draw0"  # further seeds on the draw of run 1, from when all runs were on one; run 1 is of their cell too
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
    "lntl_plus_noh": NO_H.title,
    "lntl_plus_bins": "LNTL+ of the first list: bins, 20 epochs",
    "lntl_plus_bins_draw0": "one draw: LNTL+ of the first list, seeds 1 to 3 on draw 0",
    "lntl_plus_smoothing0": "LNTL+, not smoothed: its first version",
}
TITLES = {name: METHODS[name].title for name in (*PUBLISHED, *(m for m in METHODS if m not in PUBLISHED))} | BESIDE
MINE = [name for name in TITLES if name not in BESIDE]  # the methods, in their order
NOT_OF_A_CELL = records.FREE | {"data_seed", "random_seed"}


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
    return found if column is None else found.get(column, [])


# ------------------------------------------------------------------------------------------ Colored-MNIST


def readings(runs):
    """The frame of Colored-MNIST with `accuracy`, and more rows: of one draw, on luma, of averaged weights."""
    runs = runs.assign(accuracy=runs["last.test_accuracy"])
    of_draw = {*zip(runs.row, runs.place, strict=True)}
    first = runs[runs.seed == 1].assign(row=lambda f: f.row + f"_{DRAW0}")
    first = first[[key in of_draw for key in zip(first.row, first.place, strict=True)]]
    runs = pandas.concat([runs, first], ignore_index=True)
    luma = runs[runs.row == "gray"].assign(row="gray_luma", accuracy=lambda f: f["last.test_luma_accuracy"])
    mean = runs.assign(row=runs.row + "_averaged", accuracy=runs["last.averaged_test_accuracy"])
    mean = mean[mean.row.isin(BESIDE)].dropna(subset="accuracy")
    return pandas.concat([runs, luma, mean], ignore_index=True).sort_values("seed", kind="stable")


def make_cells(runs):
    """{(row, σ²): entry of results.json}: the methods first, other readings of their runs, then named settings.

    std: of a sample, None for one run. Raises UserError where the runs of a cell have different options.
    """
    everything = readings(runs)
    lengths = dict(zip(runs.name, runs["options.max_step"], strict=True)) | {"": 0, records.AUTHORS_NETWORK: 100}
    everything["pretrain"] = everything.start.map(lengths)
    check_alike(everything)
    order, made = {row: i for i, row in enumerate(TITLES)}, {}
    for (row, place), runs in everything.groupby(["row", "place"]):
        accuracy, pretrain = runs.accuracy.tolist(), runs.pretrain.iloc[0]
        made[row, place] = {
            "method": row,
            "color_var": place,
            "seeds": runs.seed.tolist(),
            "data_seeds": runs["options.data_seed"].tolist(),
            "accuracy": accuracy,
            "mean": round(fmean(accuracy), 6),
            "std": round(stdev(accuracy), 6) if len(runs) > 1 else None,
            "n": len(runs),
            "epochs": int(runs["options.max_step"].iloc[0]),
            "starts": [start or None for start in runs.start],
            "pretrain_epochs": int(pretrain) if pretrain == pretrain else None,
            "hardware": "; ".join(minutes(runs)),
            "minutes": round(fmean(runs.minutes), 1),
            "minutes_on": minutes(runs),
            "precision": ", ".join(sorted({*runs["options.precision"]})),
        }
    return dict(sorted(made.items(), key=lambda cell: (order.get(cell[0][0], len(order)), cell[0])))


def check_alike(runs):
    """Raises UserError where two runs of a row and place differ in what a result depends on."""
    names = [c for c in runs if c.startswith("options.") and c.removeprefix("options.") not in NOT_OF_A_CELL]
    told = runs[names].map(lambda v: None if v != v else repr(v))  # None: an option that a record does not have yet
    told["options.precision"] = [*map(records.precision_class, runs.row, runs.place, runs["options.precision"])]
    own = zip(runs.start, runs.seed, runs.pretrain, strict=True)  # each from the baseline of its own seed is alike
    told["start"] = [f"{s} {n}".replace(f"_seed{k} ", " ").replace(f"_{DRAW0} ", " ") for s, k, n in own]
    different = told.groupby([runs.row, runs.place]).nunique() > 1
    for (row, place), columns in different[different.any(axis=1)].iterrows():
        what = ", ".join(c.removeprefix("options.") for c in columns.index[columns])
        raise UserError(f"the runs of {row} at {place} have different options ({what}); give one a name of its own")


def measured(cell, missing="-", n=False):
    """**mean ± std** (n) of a cell."""
    if not cell:
        return missing
    std = f" ± {cell['std']:.4f}" if cell["n"] > 1 else ""
    return f"**{cell['mean']:.4f}{std}**" + f" ({cell['n']})" * (n and cell["n"] > 1)


def within(cell, published):
    """Whether a figure lies within two std of ours, "yes" or "no"; "-" where there is none, or one run."""
    if published is None or not cell or cell["n"] == 1:
        return "-"
    return "yes" if abs(cell["mean"] - published) <= 2 * cell["std"] else "no"


def full_table(cells, runs):
    """A row a cell: the published figure, ours, the schedule, and what it cost."""
    rows, lr = [], runs.drop_duplicates(["row", "place"]).set_index(["row", "place"])
    shown = {key: cell for key, cell in cells.items() if key[0] in TITLES}
    for row, place in {**dict.fromkeys((m, v) for m in PUBLISHED for v in COLOR_VARS), **shown}:
        cell = cells.get((row, place))
        known = row in PUBLISHED or row in BESIDE or row == "lntl_plus"  # a reading or a setting of one of the paper's
        published = PUBLISHED[row.split("_")[0]].get(place) if known else None
        line = [TITLES[row], place, f"{published:.4f}" if published else "-", measured(cell, "not yet run")]
        if cell:
            first, *others = cell["starts"]
            seeds = "".join(f", {name.split('_', 2)[2]}" for name in others if first != cell["starts"][-1])
            of = lr.loc[row.removesuffix("_luma").removesuffix("_averaged"), place]
            line += [f"{cell['mean'] - published:+.4f}" if published else "-"]
            line += [within(cell, None if row.startswith("lntl_plus") else published), cell["n"], cell["epochs"]]
            line += [f"{of['options.lr']:g}, {of['options.lr_decay_period']} epochs"]
            line += [f"{first}{seeds}, {cell['pretrain_epochs']} epochs" if first else "random"]
            line += ["; ".join(f"{name}: {mean:.0f}" for name, mean in cell["minutes_on"].items())]
        rows.append(line + [""] * (11 - len(line)))
    header = ["method", "σ²", "published", "ours (mean ± std)", "difference", "within two std", "n", "epochs"]
    return markdown([*header, "lr, cut to a tenth every", "start", "hardware, minutes a run"], rows)


def summary(cells):
    """How LNTL stands to its published figures, to two re-runs and to its rivals; how the others came out."""
    found = {(m, v): cells[m, v]["mean"] for m in PUBLISHED for v in COLOR_VARS if (m, v) in cells}
    off = {(m, v): mean - PUBLISHED[m][v] for (m, v), mean in found.items()}
    lntl = {v: mean for (m, v), mean in found.items() if m == "lntl"}
    others = [abs(difference) <= 0.02 for (m, _), difference in off.items() if m != "lntl"]
    parts = [] if len(found) == 28 else [f"{len(found)} of the 28 cells have been run."]
    if lntl:
        reruns = {v: [of[v] for of in RERUNS.values()] for v in lntl}
        above = ", ".join(str(v) for v in lntl if lntl[v] > max(reruns[v]))
        parts.append(
            f"LNTL is below its published figure at {sum(off['lntl', v] < 0 for v in lntl)} of {len(lntl)} variances "
            f"(mean {fmean(off['lntl', v] for v in lntl):+.4f}), between two independent re-runs at "
            f"{sum(min(reruns[v]) <= lntl[v] <= max(reruns[v]) for v in lntl)}, above both at {above or 'none'}."
        )
    parts.append(f"The other methods are within .02 of theirs in {sum(others)} of {len(others)}.")
    beaten = []
    for rival in (m for m in PUBLISHED if m != "lntl"):
        if both := [v for v in lntl if (rival, v) in found]:
            theirs = sum(PUBLISHED["lntl"][v] > PUBLISHED[rival][v] for v in both)
            ours = sum(lntl[v] > found[rival, v] for v in both)
            beaten.append(f"{TITLES[rival]} in {ours} (published {theirs})")
    return " ".join([*parts, f"Of the variances, LNTL is above {', '.join(beaten)}."] if beaten else parts)


def matrix(cells):
    """The paper's table: a row a method, published and ours, a column a variance; and the summary."""
    rows, shown = [], [m for m in MINE if m in PUBLISHED or any(m == row for row, _ in cells)]
    for method in shown:
        if method in PUBLISHED:
            rows.append([f"{TITLES[method]}, published", *(f"{v:.4f}" for v in PUBLISHED[method].values())])
        rows.append([f"**{TITLES[method]}**", *(measured(cells.get((method, v))) for v in COLOR_VARS)])
    used = {(m, v): cells[m, v] for m in shown for v in COLOR_VARS if (m, v) in cells}
    legend = "Bold: ours."
    if seeds := sorted({cell["n"] for cell in used.values()} - {1}):
        n = " or ".join(map(str, seeds))
        legend = f"Bold: ours; ±: std of {n} runs (seed and colours drawn anew), else one run."
    if low := [f"{TITLES[m]} at {v}" for (m, v), cell in used.items() if "bfloat16" in cell["precision"]]:
        legend += f" There are runs in bfloat16 in {', '.join(low)}."
    return f"{markdown(['σ²', *COLOR_VARS], rows)}\n\n{legend} {summary(cells)}"


def comparison(cells):
    """Published figures beside ours, whether they lie within two std, and what would be expected."""
    rows, told = [], {}
    for method, published in PUBLISHED.items():
        ours = [cells.get((method, v)) for v in COLOR_VARS]
        told[method] = [*map(within, ours, published.values())]
        rows.append([TITLES[method], "published", *(f"{v:.4f}" for v in published.values())])
        rows.append(["", "ours: mean ± std (runs)", *(measured(cell, "not yet run", n=True) for cell in ours)])
        rows.append(["", "published within two std", *told[method]])
        if method == "lntl":
            rows += [["", name, *(f"{v:.4f}" for v in of.values())] for name, of in RERUNS.items()]
    table = markdown(["σ²", "", *COLOR_VARS], rows)
    # Of n runs and one more, |difference| <= 2 std where |t| <= 2 / sqrt(1 + 1/n), t of n - 1 degrees of freedom.
    runs = [cell["n"] for (m, v), cell in cells.items() if m in PUBLISHED and v in COLOR_VARS and cell["n"] > 1]
    if not runs:
        return f"{table}\n\nNo cell has two runs yet, so that nothing is said of a spread."
    expected = sum(1 - 2 * student.sf(2 / (1 + 1 / n) ** 0.5, n - 1) for n in runs)
    yes = {method: fits.count("yes") for method, fits in told.items()}
    parts = (f"{TITLES[m]} {yes[m]} of {yes[m] + fits.count('no')}" for m, fits in told.items() if {*fits} != {"-"})
    return (
        f"{table}\n\nCells with two runs or more: {len(runs)}. The published figure lies within two std of ours in "
        f"{sum(yes.values())} ({', '.join(parts)}); of {expected:.1f} that would be expected if all were of one "
        "distribution, as mean and std of so few runs are uncertain themselves."
    )


def strong_bias(cells):
    """Ours below σ² = .02, and what others have there."""
    places = sorted({*STRONG, *(v for _, v in cells if v < COLOR_VARS[0])})
    methods = [m for m in MINE if m in GRIDS["strong"].methods or any((m, v) in cells for v in places)]
    rows = [
        [f"**{TITLES[m]}**", *(measured(cells.get((m, v)), "not yet run", n=True) for v in places)] for m in methods
    ]
    for name, of in MARKS.items():
        rows.append([f"{name}, Li et al. 2023, ± .01", *(f"{of[v]:.2f}" if v in of else "-" for v in places)])
    return markdown(["σ²", *places], rows)


def ablation(runs):
    """LNTL+ without h beside LNTL+, of the same variances and draws."""
    rows = []
    for v in GRIDS["ablation"].places:
        whole, without = (
            dict(zip(found.seed, found["last.test_accuracy"], strict=True))
            for found in (select(runs, "lntl_plus", v), select(runs, NO_H.name, v))
        )
        both = [k for k in whole if k in without]
        gain = spread([whole[k] - without[k] for k in both])
        rows.append([v, *(spread([of[k] for k in both or of]) for of in (whole, without)), gain, len(both)])
    return markdown(["σ²", TITLES["lntl_plus"], NO_H.title, "what h adds", "runs of both"], rows)


def last_epochs(runs, epochs):
    """What the choice of an epoch is worth: every LNTL run's last epoch, last five, and best on test."""
    rows = []
    for name in runs.name[(runs["options.method"] == "lntl") & runs.row.isin(TITLES)]:
        log = epochs[epochs.name == name].set_index("epoch").test_accuracy
        few, best = log.iloc[-5:], f"{log.max():.4f} (epoch {log.idxmax()} of {len(log)})"
        rows.append([name, f"{log.iloc[-1]:.4f}", f"{few.min():.4f} to {few.max():.4f}", best])
    return markdown(["run", "last epoch", "lowest and highest of the last five", "best epoch, chosen on test"], rows)


def cost(runs):
    """Training time of all runs, by hardware."""
    rows = [[name, len(of), f"{sum(of) / 60:.1f}"] for name, of in runs.groupby("hardware")["minutes"]]
    return markdown(["hardware", "runs", "hours of training"], rows)


def weights(runs, root=ROOT):
    """A row a file of checkpoints/: the run that made it, its accuracy, and its SHA-256."""
    accuracy, rows = dict(zip(runs.name, runs["metrics.accuracy"], strict=True)), []
    for path in sorted((root / "checkpoints").glob("*.pth")):
        if (name := records.run_of(path.name)) not in accuracy:
            raise UserError(f"checkpoints/{path.name} has no record {name} in results/; add it, or remove the file")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append([path.name, name, f"{accuracy[name]:.4f}", f"`{digest}`"])
    return markdown(["file", "run", "accuracy", "SHA-256"], rows)


# -------------------------------------------------------------------------------------------------- speed


def speed(root=ROOT):
    """Of all records of `python -m bench`, results/bench_*.json: (in a line, side by side)."""
    paths = sorted((root / "results").glob("bench_*.json"))
    found = {path.stem.removeprefix("bench_").replace("_", " "): json.loads(path.read_text("utf-8")) for path in paths}

    def faster(method, device):
        own = [f[method] for f in found.values() if f["device"] == device]
        times = sorted(f["reference_ms"] / f["float32_ms"] for f in own)
        return " to ".join(dict.fromkeys(f"{t:.1f}" for t in (times[0], times[-1]))) + " times"

    processors = sum(f["device"] == "cpu" for f in found.values())
    line = (
        f"In float32 an LNTL iteration is {faster('lntl', 'cpu')} as fast as in a straightforward rewrite of the "
        f"original, a baseline iteration {faster('baseline', 'cpu')}, on {processors} processors; on a GPU "
        f"{faster('lntl', 'cuda')} and {faster('baseline', 'cuda')}: [docs/SPEED.md](docs/SPEED.md)."
    )
    rows = []
    for method in ("lntl", "baseline"):
        for precision in ("reference", "float32", "tf32", "bfloat16"):
            took = [(f[method][f"{precision}_ms"], f[method]["reference_ms"]) for f in found.values()]
            cells = [f"{ms:.3g}" + f", **{other / ms:.2f}**" * (ms != other) if ms else "-" for ms, other in took]
            if {*cells} != {"-"}:
                rows.append([f"{method}, {'straightforward' if precision == 'reference' else precision}", *cells])
    return line, markdown(["ms an iteration, times as fast", *found], rows)
