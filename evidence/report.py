"""The report: results/ and the tables of the Markdown files, rebuilt from the committed records alone.

`python reproduce.py --report` calls `rebuild`.
"""

import hashlib
import json
import re

from bench import tables
from common.errors import UserError
from common.files import replacing
from dataset.colored_mnist import COLOR_VARS, MEAN_COLORS
from evidence import biased, biased_selection, comparison, demonstration, health_runs, selection, spread, studies
from evidence.records import BESIDE, ROOT, hardware, in_table, load_runs, make_cells, run_of, start, title
from methods import METHODS
from models.shipped import cell_name
from run.compare import PUBLISHED

# ------------------------------------------------------------------------------------------------- tables


def number(value):
    """An accuracy or a difference of two with four decimals; a dash for None."""
    return "-" if value is None else f"{value:.4f}"


def measured(cell):
    """mean, or mean ± std."""
    return number(cell["mean"]) + (f" ± {cell['std']:.4f}" if cell["std"] is not None else "")


def full_table(cells, runs):
    """A row a cell, in Markdown: the published figure, ours, the schedule, and what it cost."""
    rows = [
        "| method | σ² | published | ours (mean ± std) | difference | within two std | n | epochs "
        "| lr, cut to a tenth every | start | hardware, minutes a run |",
        "|" + "---|" * 11,
    ]
    found = {(c["method"], c["color_var"]): c for c in cells}
    options = {(r["method"], r["options"]["color_var"]): r["options"] for r in runs.values()}
    for method, color_var in {**dict.fromkeys((m, v) for m in PUBLISHED for v in COLOR_VARS), **found}:
        published = PUBLISHED.get(paper_method(method), {}).get(color_var)
        head = f"| {title(method)} | {color_var} | {number(published)} |"
        if not (cell := found.get((method, color_var))):
            rows.append(f"{head} not yet run |" + " |" * 7)
            continue
        option = options[method.removesuffix("_luma").removesuffix("_averaged"), color_var]
        difference = "-" if published is None else f"{cell['mean'] - published:+.4f}"
        reproduced = not method.startswith("lntl_plus")
        fits = comparison.said(comparison.within(cell, published if reproduced else None))
        others = cell["starts"][1:] if cell["starts"][0] != cell["starts"][-1] else []
        seeds = "".join(f", {name.split('_', 2)[2]}" for name in others)
        began = f"{cell['starts'][0]}{seeds}, {cell['pretrain_epochs']} epochs" if cell["starts"][0] else "random"
        cost = "; ".join(f"{name}: {minutes:.0f}" for name, minutes in cell["minutes_on"].items())
        rows.append(
            f"{head} **{measured(cell)}** | {difference} | {fits} | {cell['n']} | {cell['epochs']} | {option['lr']:g}, "
            f"{option['lr_decay_period']} epochs | {began} | {cost} |"
        )
    return "\n".join(rows)


def paper_method(method):
    """The paper's method that a row is a reading or setting of, "gray" of "gray_luma"; None of methods of one's own."""
    known = method in PUBLISHED or method in BESIDE or method == "lntl_plus"
    return method.split("_")[0] if known else None


def summary(cells):
    """How many cells have been run, how many came out as published, and how the methods stand to each other."""
    table = [c for c in cells if c["method"] in PUBLISHED]
    differences = [(c["method"], c["mean"] - PUBLISHED[c["method"]][c["color_var"]]) for c in table]
    lntl = [d for m, d in differences if m == "lntl"]
    others = [d for m, d in differences if m != "lntl"]
    means = {method: {c["color_var"]: c["mean"] for c in table if c["method"] == method} for method in PUBLISHED}
    beaten = (
        f"{title(rival)} in {above(means, rival, run)} (published {above(PUBLISHED, rival, run)})"
        for rival in PUBLISHED
        if (run := set(means["lntl"]) & set(means[rival])) and rival != "lntl"
    )
    run_yet = "" if len(table) == 28 else f"{len(table)} of the 28 cells have been run. "
    return (
        f"{run_yet}LNTL is at or above the published figure in "
        f"{sum(d >= 0 for d in lntl)} of {len(lntl)}; the other methods are within .02 of theirs in "
        f"{sum(abs(d) <= 0.02 for d in others)} of {len(others)}. Of the variances, LNTL is above {', '.join(beaten)}."
    )


def above(figures, rival, variances):
    """In how many of some variances LNTL is above a rival; figures: {method: {variance: accuracy}}."""
    return sum(figures["lntl"][v] > figures[rival][v] for v in variances)


def matrix(cells):
    """The paper's table in Markdown: a row a method, published and ours, a column a variance; and the summary.

    The methods of the paper first, then the others of methods/; named settings have docs/REPRODUCTION.md.
    """
    found = {(c["method"], c["color_var"]): f"**{measured(c).replace(' ', '')}**" for c in cells}
    rows = ["|σ²|" + "|".join(map(str, COLOR_VARS)) + "|", "|" + "---|" * (len(COLOR_VARS) + 1)]
    methods = {**PUBLISHED, **dict.fromkeys(c["method"] for c in cells if c["method"] in METHODS)}
    for method in methods:
        if method in PUBLISHED:
            rows.append(f"|{title(method)}, published|" + "|".join(map(number, PUBLISHED[method].values())) + "|")
        rows.append(f"|**{title(method)}**|" + "|".join(found.get((method, v), "-") for v in COLOR_VARS) + "|")
    seeds = sorted({c["n"] for c in cells if c["n"] > 1 and c["method"] in methods})
    legend = (
        f"Bold: ours; ±: std of {' or '.join(map(str, seeds))} runs (seed and colours drawn anew), else one run."
        if seeds
        else "Bold: ours."
    )
    return "\n".join([*rows, "", f"{legend} {summary(cells)}"])


def last_epochs(runs):
    """What the choice of an epoch is worth, in Markdown: every LNTL run's last epoch, last five, and best on test."""
    rows = [
        "| run | last epoch | lowest and highest of the last five | best epoch, chosen on test |",
        "|---|---|---|---|",
    ]
    for name, run in runs.items():
        if run["options"]["method"] == "lntl" and in_table([run]):
            accuracy = [r["test_accuracy"] for r in run["log"]]
            few, best = accuracy[-5:], max(accuracy)
            rows.append(
                f"| {name} | {accuracy[-1]:.4f} | {min(few):.4f} to {max(few):.4f} "
                f"| {best:.4f} (epoch {accuracy.index(best) + 1} of {len(accuracy)}) |"
            )
    return "\n".join(rows)


def speed(root=ROOT):
    """Of all records of `python -m bench`, results/bench_*.json: (in a line, side by side, their tables one by one)."""
    paths = sorted((root / "results").glob("bench_*.json"))
    found = {path.stem.removeprefix("bench_").replace("_", " "): json.loads(path.read_text("utf-8")) for path in paths}

    def faster(method, device):
        records = [f[method] for f in found.values() if f["device"] == device]
        times = [f"{f['reference_ms'] / f['float32_ms']:.1f}" for f in records]
        return " to ".join(sorted({min(times, key=float), max(times, key=float)}, key=float)) + " times"

    processors = sum(f["device"] == "cpu" for f in found.values())
    line = (
        f"In float32 an LNTL iteration is {faster('lntl', 'cpu')} as fast as in a straightforward rewrite of the "
        f"original, a baseline iteration {faster('baseline', 'cpu')}, on {processors} processors; on a GPU "
        f"{faster('lntl', 'cuda')} and {faster('baseline', 'cuda')}: [docs/SPEED.md](docs/SPEED.md)."
    )
    one_by_one = [f"**{name}**: {tables.table(figures)}" for name, figures in found.items()]
    return line, tables.comparison(found), "\n\n".join(one_by_one)


def neighbours(root=ROOT):
    """What a busy neighbour costs, in Markdown: the records of `python -m bench --neighbour`."""
    paths = sorted((root / "results").glob("neighbour_*.json"))
    return "\n\n".join(tables.beside(json.loads(path.read_text("utf-8"))) for path in paths) or "Not yet measured."


def waiting(root=ROOT):
    """How long training waits for images, in Markdown: the records of `python -m bench.waiting`."""
    paths = sorted((root / "results").glob("waiting_*.json"))
    return "\n\n".join(tables.waiting(json.loads(path.read_text("utf-8"))) for path in paths) or "Not yet measured."


def cost(runs):
    """Training time of all runs, in Markdown, by hardware."""
    hours = {}
    for run in runs.values():
        hours.setdefault(hardware(run), []).append(sum(r["seconds"] for r in run["log"]) / 3600)
    rows = [f"| {name} | {len(h)} | {sum(h):.1f} |" for name, h in sorted(hours.items())]
    return "\n".join(["| hardware | runs | hours of training |", "|---|---|---|", *rows])


def weights_table(runs, root=ROOT):
    """One row a file of checkpoints/: the run that made it, its accuracy, and its SHA-256."""
    rows = ["| file | run | accuracy | SHA-256 |", "|---|---|---|---|"]
    for path in sorted((root / "checkpoints").glob("*.pth")):
        if (name := run_of(path)) not in runs:
            raise UserError(f"checkpoints/{path.name} has no records in results/runs/{name}; add them, or remove it")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(f"| {path.name} | {name} | {runs[name]['metrics']['accuracy']:.4f} | `{digest}` |")
    return "\n".join(rows)


# ------------------------------------------------------------------------------------------------ rebuild


def authors_network(root=ROOT):
    """What the authors' own pretrained network scores on our data, a line of Markdown, from its metrics.json."""
    metrics = json.loads((root / "results" / "authors_network" / "metrics.json").read_text("utf-8"))
    return (
        f"- The authors' own pretrained network scores {metrics['accuracy']:.4f} on our data at σ² = 0.02 (published "
        f"{PUBLISHED['baseline'][0.02]:.4f}): data, networks and evaluation agree (`python test.py -e authors_network "
        "--method baseline --color_var 0.02 --checkpoint pretrained_var0.020.pth`)."
    )


def fill(path, parts):
    """The text of a Markdown file with what lies between its generated markers replaced; parts: {name: text}."""
    text = path.read_text("utf-8")
    for name, part in parts.items():
        begin, end = f"<!-- {name}: generated by reproduce.py --report -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise UserError(f"{path.name} has lost its marker {begin!r}; put it back, with {end!r} behind it")
        text = f"{before}{begin}\n{part}\n{end}{after}"
    return text


def texts(root=ROOT):
    """{path: text} of every generated text: results.json, table.md and the Markdown files with markers."""
    runs = load_runs(root)
    cells = make_cells(runs)
    main = in_table(cells)
    table = full_table(main, runs)
    in_a_line, side_by_side, one_by_one = speed(root)
    docs = root / "docs"
    on_biased = biased.load_runs(root)
    listed = biased.of_the_list(on_biased)
    lines = ",\n".join(json.dumps(c, ensure_ascii=False) for c in cells)
    return {
        root / "results" / "results.json": f'{{"cells": [\n{lines}\n]}}\n',
        root / "results" / "table.md": f"{table}\n\n{summary(main)}\n",
        root / "README.md": fill(
            root / "README.md",
            {
                "results": matrix(main),
                "speed": in_a_line,
                "photographs": demonstration.sentence(root / demonstration.RESULTS),
            },
        ),
        docs / "SPEED.md": fill(
            docs / "SPEED.md",
            {"comparison": side_by_side, "speed": one_by_one, "neighbour": neighbours(root), "waiting": waiting(root)},
        ),
        root / "checkpoints" / "README.md": fill(
            root / "checkpoints" / "README.md", {"weights": weights_table(runs, root)}
        ),
        docs / "BIASED_MNIST.md": fill(
            docs / "BIASED_MNIST.md",
            {"biased mnist": biased.table(on_biased), "biased selection": biased_selection.table(listed)},
        ),
        docs / "IMAGES.md": fill(docs / "IMAGES.md", demonstration.tables(root / demonstration.RESULTS)),
        docs / "RELIABILITY.md": fill(
            docs / "RELIABILITY.md", {"health": health_runs.table(root / "results" / "health")}
        ),
        docs / "REPRODUCTION.md": fill(
            docs / "REPRODUCTION.md",
            {
                "results": f"{table}\n\n{summary(main)}",
                "authors' network": authors_network(root),
                "comparison": f"{comparison.table(cells)}\n\n{comparison.sentences(cells)}",
                "goal": comparison.goal(cells),
                "last epochs": last_epochs(runs),
                "spread": spread.page(runs),
                "deviations": studies.deviations_table(runs),
                "selection": selection.first_table(runs),
                "selection2": selection.second_part(runs),
                "not run": comparison.not_run(runs),
                "sensitivity": studies.sensitivity_table(runs),
                "cost": cost(runs),
            },
        ),
    }


def draw(folder, root=ROOT):
    """Draws all pictures of the report in `folder`."""
    from common.picture import draw_confusion  # matplotlib is slow to import
    from evidence import figures

    runs = load_runs(root)
    cells = make_cells(runs)
    figures.draw_glance(folder / "glance.png", PUBLISHED, cells, title)
    figures.draw_accuracy(folder / "accuracy.png", PUBLISHED, cells, title)
    shown = [runs[n] for n in (cell_name(m, 0.02, 1) for m in figures.GLANCE) if n in runs]
    matrices = [
        (f"{title(r['method'])}: accuracy {r['metrics']['accuracy']:.4f}", r["metrics"]["confusion"]) for r in shown
    ]
    draw_confusion(folder / "confusion.png", matrices, colors=MEAN_COLORS)

    at = "at σ² = 0.02"
    everything = [*runs.values()]
    groups = figures.by_method(everything, title, 0.02)
    figures.draw_curves(folder / "curves.png", groups, f"the methods {at}, a line a run", log_loss=True)
    groups = figures.by_variance(everything)
    figures.draw_curves(folder / "curves_variances.png", groups, "LNTL at every variance, a line a run")
    asked = {"method": "lntl", "color_var": 0.02, "data_seed": 0}
    lntl = [r for r in everything if in_table([r]) and asked.items() <= r["options"].items()]
    groups = figures.by_start([(start_in_words(r), r["log"]) for r in lntl])
    figures.draw_curves(
        folder / "curves_starts.png", groups, f"LNTL {at} on draw 0, by the network that it starts from"
    )

    figures.draw_sensitivity(folder / "sensitivity.png", studies.LAMBDAS, studies.MUS, studies.sensitivity(runs))
    logs = {
        f"{METHODS[m].title.split()[0]}: μ {mu}, λ {lambda_}, lr {lr}, smoothing {share}, start: {began}": logs
        for (m, mu, lr, lambda_, share, began), logs in selection.first_list(runs).items()
    }
    figures.draw_selection(folder / "selection.png", logs, selection.JUDGED_BY)
    figures.draw_biased(folder / "biased_mnist.png", biased.RHOS, biased.points(biased.load_runs(root)))
    figures.draw_demonstration(folder / "demonstration.png", demonstration.bars(root / demonstration.RESULTS))
    if second := selection.curves(runs):
        figures.draw_selection(folder / "selection2.png", second, selection.JUDGED_BY)


def start_in_words(run):
    """Whose weights a run began with: "baseline, seed 2" for baseline_var0.020_draw0_seed2."""
    return re.sub(r"_var[\d.]+(_draw0)?_seed", ", seed ", start(run["options"]) or "random weights")


def rebuild(root=ROOT):
    """Writes all texts and figures anew; the same records give the same bytes."""
    for path, text in texts(root).items():
        with replacing(path) as temporary:
            temporary.write_text(text, "utf-8")
    draw(root / "results", root)
