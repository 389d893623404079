"""The report: results/ and the tables of the Markdown files, rebuilt from the committed records alone.

`python reproduce.py --report` calls `rebuild`, `--add` calls `add`. Records are the small files of a run folder
(RECORDS), kept in results/runs/NAME. NAME is METHOD_varV.VVV_seedS for a cell of the paper's table, and
METHOD_varV.VVV_SETTING or METHOD_varV.VVV_SETTING_seedS for a named setting outside of it.
"""

import hashlib
import json
import re
import shutil
import statistics
from pathlib import Path

import health
from dataset.colored_mnist import COLOR_VARS
from errors import UserError
from files import read_json_lines, replacing
from run_folder import RESULT_FREE

ROOT = Path(__file__).parent
RECORDS = ("options.json", "environment.json", "log.jsonl", "metrics.json")
PUBLISHED = {  # official README, one number each; they replace Fig. 4 of the paper
    "baseline": (0.4055, 0.4813, 0.5996, 0.6626, 0.7333, 0.7973, 0.8450),
    "blindeye": (0.6741, 0.7123, 0.7883, 0.8203, 0.8638, 0.8927, 0.9159),
    "gray": (0.8374, 0.8751, 0.8996, 0.9166, 0.9325, 0.9472, 0.9596),
    "lntl": (0.8185, 0.8854, 0.9137, 0.9306, 0.9406, 0.9555, 0.9618),
}
PUBLISHED = {method: dict(zip(COLOR_VARS, row, strict=True)) for method, row in PUBLISHED.items()}
LUMA = "gray_luma"  # the other reading of Gray: the same runs, tested on the luma of the coloured test images
TITLES = {"baseline": "Baseline", "blindeye": "BlindEye", "gray": "Gray", LUMA: "Gray, on luma", "lntl": "LNTL"}
TITLES["lntl_official"] = "LNTL, from the authors' network"
AUTHORS_NETWORK, AUTHORS_EPOCHS = "the authors' network", 100  # `step` of pretrained_var0.020.pth
NAME = re.compile(rf"({'|'.join(PUBLISHED)})_var(\d\.\d{{3}})_(?:(\w+?)_)?(?:seed(\d+)|(\w+))")


def cell_name(method, color_var, seed):
    """The name of a run of the paper's table."""
    return f"{method}_var{color_var:.3f}_seed{seed}"


def title(method):
    """The method, or METHOD_SETTING, in words."""
    return TITLES.get(method) or TITLES[method.split("_")[0]] + f" ({method.split('_', 1)[1]})"


# ------------------------------------------------------------------------------------------------ records


def read_run(folder):
    """{"method": METHOD or METHOD_SETTING, "options", "environment", "metrics": dict, "log": list} of a run folder.

    Raises UserError where the records are missing, or contradict each other or their folder's name.
    """
    folder = Path(folder)
    if not (match := NAME.fullmatch(folder.name)):
        raise UserError(f"{folder}: the name of a record is METHOD_varV.VVV_seedS or METHOD_varV.VVV_SETTING")
    try:
        run = {n: json.loads((folder / f"{n}.json").read_text("utf-8")) for n in ("options", "environment", "metrics")}
        run["log"] = read_json_lines(folder / "log.jsonl")
        wrong = contradiction(run, match)
    except FileNotFoundError as error:
        raise UserError(f"{folder} has no {Path(error.filename).name}; the run is not finished") from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        wrong = f"they are damaged ({type(error).__name__}: {error})"
    if wrong:
        raise UserError(f"the records in {folder} are not those of a finished run: {wrong}")
    setting = match[3] or match[5]
    return run | {"method": match[1] + (f"_{setting}" if setting else "")}


def contradiction(run, match):
    """What in a run's records does not fit together or to its name (a match of NAME), or None."""
    option, metrics, log = run["options"], run["metrics"], run["log"]
    named = (match[1], float(match[2]), int(match[4]) if match[4] else option["random_seed"])
    if named != (option["method"], option["color_var"], option["random_seed"]):
        return "method, variance or seed are not those of the name"
    if [r["epoch"] for r in log] != list(range(1, option["max_step"] + 1)):
        return f"log.jsonl does not hold each of the {option['max_step']} epochs once"
    confusion = metrics["confusion"]
    correct, n = sum(confusion[i][i] for i in range(10)), sum(map(sum, confusion))
    if (metrics["correct"], metrics["n"], metrics["accuracy"]) != (correct, n, correct / n):
        return "metrics.json does not agree with its confusion matrix"
    if log[-1]["test_accuracy"] != metrics["accuracy"]:
        return "accuracy in metrics.json and in the last epoch of log.jsonl differ"
    if option["data_dir"] is None and n != 10_000:
        return f"tested on {n} images, not 10000"
    return None


def load_runs(root=ROOT):
    """{name: run} (see `read_run`) of all committed records."""
    return {path.name: read_run(path) for path in sorted((root / "results" / "runs").iterdir()) if path.is_dir()}


def add(save_dir, root=ROOT):
    """Copies the records of every finished run of the paper's table in `save_dir`. Returns their names."""
    names = []
    for folder in sorted(Path(save_dir).glob("*_var*_seed*")):
        if not NAME.fullmatch(folder.name) or not (folder / "metrics.json").exists():
            continue
        if read_run(folder)["options"]["data_dir"] is not None:
            raise UserError(f"{folder} was trained on other data (--data_dir); choose another --save_dir")
        target = root / "results" / "runs" / folder.name
        target.mkdir(parents=True, exist_ok=True)
        for name in RECORDS:
            with replacing(target / name) as temporary:
                shutil.copyfile(folder / name, temporary)
        names.append(folder.name)
    return names


# -------------------------------------------------------------------------------------------------- cells


def start(option):
    """The run whose weights a run began with: a name, AUTHORS_NETWORK, or None for random weights."""
    if option["from_scratch"] or option["method"] in ("baseline", "gray"):
        return None
    path = Path(option["checkpoint"] or f"checkpoints/baseline_var{option['color_var']:.3f}.pth")
    if path.name.startswith("pretrained_var"):
        return AUTHORS_NETWORK
    return path.parent.name if path.name == "final.pth" else f"{path.stem}_seed1"


def hardware(run):
    """The GPU, or the processor and the number of threads."""
    option, environment = run["options"], run["environment"]
    if environment["gpu"] and option["device"] != "cpu":
        return environment["gpu"]
    threads = option["threads"] or environment["threads"]
    return f"{environment['processor']}, {threads} thread{'s' if threads > 1 else ''}"


def make_cell(method, runs, everything, key="test_accuracy"):
    """One entry of results.json: the seeds of one method at one variance. `everything`: all runs, for the baselines."""
    option, began = runs[0]["options"], start(runs[0]["options"])
    free = (RESULT_FREE - {"max_step"}) | {"exp_name", "random_seed", "checkpoint", "checkpoint_sha256"}
    for other in (r["options"] for r in runs[1:]):
        differ = {k for k in option.keys() & other.keys() - free if option[k] != other[k]}  # flags come with time
        if differ or start(other) != began:
            raise UserError(
                f"the seeds of {method} at {option['color_var']} were run with different options "
                f"({', '.join(sorted(differ)) or 'start'}); give one setting a name of its own"
            )
    accuracy = [r["log"][-1][key] for r in runs]
    pretrained = {None: 0, AUTHORS_NETWORK: AUTHORS_EPOCHS}
    pretrained |= {name: run["options"]["max_step"] for name, run in everything.items()}
    return {
        "method": method,
        "color_var": option["color_var"],
        "seeds": [r["options"]["random_seed"] for r in runs],
        "accuracy": accuracy,
        "mean": round(statistics.fmean(accuracy), 6),
        "std": round(statistics.stdev(accuracy), 6) if len(runs) > 1 else None,
        "n": len(runs),
        "epochs": option["max_step"],
        "pretrain_epochs": pretrained.get(began),
        "minutes": round(statistics.fmean(sum(e["seconds"] for e in r["log"]) / 60 for r in runs), 1),
        "precision": option["precision"],
        "hardware": "; ".join(sorted({hardware(r) for r in runs})),
    }


def make_cells(runs):
    """All entries of results.json: the paper's methods and the other reading of Gray, then the named settings.

    minutes: the mean training time of one run, without pretraining. std: of a sample, None (null) for one seed.
    """
    groups = {}
    for run in sorted(runs.values(), key=lambda r: r["options"]["random_seed"]):
        groups.setdefault((run["method"], run["options"]["color_var"]), []).append(run)
    cells = [make_cell(method, group, runs) for (method, _), group in groups.items()]
    lumas = [group for (method, _), group in groups.items() if method == "gray"]
    cells += [make_cell(LUMA, group, runs, "test_luma_accuracy") for group in lumas]
    order = list(TITLES)
    place = {m: order.index(m) if m in order else len(order) for m in (c["method"] for c in cells)}
    return sorted(cells, key=lambda c: (place[c["method"]], c["method"], c["color_var"]))


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
        "| method | σ² | published | ours (mean ± std) | difference | n | epochs | lr, cut to a tenth every | start "
        "| minutes | hardware |",
        "|" + "---|" * 11,
    ]
    found = {(c["method"], c["color_var"]): c for c in cells}
    options = {(r["method"], r["options"]["color_var"]): r["options"] for r in runs.values()}
    for method, color_var in {**dict.fromkeys((m, v) for m in PUBLISHED for v in COLOR_VARS), **found}:
        published = PUBLISHED[method.split("_")[0]].get(color_var)
        head = f"| {title(method)} | {color_var} | {number(published)} |"
        if not (cell := found.get((method, color_var))):
            rows.append(f"{head} not yet run |" + " |" * 7)
            continue
        option = options[method.removesuffix("_luma"), color_var]
        difference = "-" if published is None else f"{cell['mean'] - published:+.4f}"
        began = start(option)
        began = "random" if began is None else f"{began}, {cell['pretrain_epochs']} epochs"
        rows.append(
            f"{head} **{measured(cell)}** | {difference} | {cell['n']} | {cell['epochs']} | {option['lr']:g}, "
            f"{option['lr_decay_period']} epochs | {began} | {cell['minutes']:.0f} | {cell['hardware']} |"
        )
    return "\n".join(rows)


def summary(cells):
    """How many cells have been run, and how many came out as published, in two sentences."""
    table = [c for c in cells if c["method"] in PUBLISHED]
    differences = [(c["method"], c["mean"] - PUBLISHED[c["method"]][c["color_var"]]) for c in table]
    lntl = [d for m, d in differences if m == "lntl"]
    others = [d for m, d in differences if m != "lntl"]
    return (
        f"{len(table)} of the 28 cells have been run. LNTL is at or above the published figure in "
        f"{sum(d >= 0 for d in lntl)} of {len(lntl)}; the other methods are within .02 of theirs in "
        f"{sum(abs(d) <= 0.02 for d in others)} of {len(others)}."
    )


def matrix(cells):
    """The paper's table in Markdown: a row a method, published and ours, a column a variance; and the summary."""
    found = {(c["method"], c["color_var"]): measured(c) for c in cells}
    rows = ["| σ² | | " + " | ".join(map(str, COLOR_VARS)) + " |", "|" + "---|" * (len(COLOR_VARS) + 2)]
    for method in {**PUBLISHED, **dict.fromkeys(c["method"] for c in cells)}:
        name = title(method)
        if method in PUBLISHED:
            rows.append(f"| {name} | published | " + " | ".join(map(number, PUBLISHED[method].values())) + " |")
            name = ""
        ours = [f"**{found[method, v]}**" if (method, v) in found else "-" for v in COLOR_VARS]
        rows.append(f"| {name} | ours | " + " | ".join(ours) + " |")
    return "\n".join([*rows, "", f"-: not yet run. {summary(cells)}"])


def last_epochs(runs):
    """What the choice of an epoch is worth, in Markdown: every LNTL run's last epoch, last five, and best on test."""
    rows = [
        "| run | last epoch | lowest and highest of the last five | best epoch, chosen on test |",
        "|---|---|---|---|",
    ]
    for name, run in runs.items():
        if run["options"]["method"] == "lntl":
            accuracy = [r["test_accuracy"] for r in run["log"]]
            few, best = accuracy[-5:], max(accuracy)
            rows.append(
                f"| {name} | {accuracy[-1]:.4f} | {min(few):.4f} to {max(few):.4f} "
                f"| {best:.4f} (epoch {accuracy.index(best) + 1} of {len(accuracy)}) |"
            )
    return "\n".join(rows)


def speed(root=ROOT):
    """The tables of all records of bench.py, results/bench_*.json."""
    from bench import table  # it imports torchvision

    records = sorted((root / "results").glob("bench_*.json"))
    return "\n\n".join(table(json.loads(path.read_text("utf-8"))) for path in records)


def cost(runs):
    """Training time of all runs, in Markdown, by hardware."""
    hours = {}
    for run in runs.values():
        hours.setdefault(hardware(run), []).append(sum(r["seconds"] for r in run["log"]) / 3600)
    rows = [f"| {name} | {len(h)} | {sum(h):.1f} |" for name, h in sorted(hours.items())]
    return "\n".join(["| hardware | runs | hours of training |", "|---|---|---|", *rows])


def weights_table(runs, root=ROOT):
    """One row a file of checkpoints/: accuracy, SHA-256 and the command that made it."""
    rows = ["| file | accuracy | SHA-256 | command |", "|---|---|---|---|"]
    for path in sorted((root / "checkpoints").glob("*.pth")):
        name = f"{path.stem}_seed1"
        if name not in runs:
            raise UserError(f"checkpoints/{path.name} has no records in results/runs/{name}; add them, or remove it")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        accuracy = runs[name]["metrics"]["accuracy"]
        command = f"python train.py -e {name} --from results/runs/{name}/options.json"
        rows.append(f"| {path.name} | {accuracy:.4f} | `{digest}` | `{command}` |")
    return "\n".join(rows)


# ------------------------------------------------------------------------------------------------ rebuild


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
    table = full_table(cells, runs)
    lines = ",\n".join(json.dumps(c, ensure_ascii=False) for c in cells)
    return {
        root / "results" / "results.json": f'{{"cells": [\n{lines}\n]}}\n',
        root / "results" / "table.md": f"{table}\n\n{summary(cells)}\n",
        root / "README.md": fill(
            root / "README.md",
            {"results": matrix(cells), "weights": weights_table(runs, root), "speed": speed(root)},
        ),
        root / "RELIABILITY.md": fill(root / "RELIABILITY.md", {"health": health.table(root / "results" / "health")}),
        root / "REPRODUCTION.md": fill(
            root / "REPRODUCTION.md",
            {"results": f"{table}\n\n{summary(cells)}", "last epochs": last_epochs(runs), "cost": cost(runs)},
        ),
    }


def draw(folder, root=ROOT):
    """Draws accuracy.png, confusion.png, curves.png and sketch.png in `folder`."""
    import figures  # matplotlib is slow to import

    runs = load_runs(root)
    figures.draw_accuracy(folder / "accuracy.png", PUBLISHED, make_cells(runs), title)
    shown = [runs[n] for n in (cell_name("baseline", 0.02, 1), cell_name("lntl", 0.02, 1)) if n in runs]
    matrices = [(f"{title(r['method'])}: {r['metrics']['accuracy']:.4f}", r["metrics"]["confusion"]) for r in shown]
    figures.draw_confusion(folder / "confusion.png", matrices)
    figures.draw_curves(folder / "curves.png", runs, title)
    figures.draw_sketch(folder / "sketch.png")


def rebuild(root=ROOT):
    """Writes all texts and figures anew; the same records give the same bytes."""
    for path, text in texts(root).items():
        with replacing(path) as temporary:
            temporary.write_text(text, "utf-8")
    draw(root / "results", root)
