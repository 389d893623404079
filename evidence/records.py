"""The records of finished runs, and what they say cell by cell: results/runs/NAME to the entries of results.json.

Records are the small files of a run folder (RECORDS). NAME is METHOD_varV.VVV_seedK for run K of a cell of the paper's
table, which has --random_seed K and draws its colours with --data_seed K - 1; and METHOD_varV.VVV_SETTING or
METHOD_varV.VVV_SETTING_seedS for a named setting outside of it.
"""

import filecmp
import json
import re
import shutil
import statistics
from pathlib import Path
from types import SimpleNamespace

from common.errors import UserError, counted
from common.files import read_json_lines, replacing
from dataset.colored_set import ColoredSet
from methods import METHODS
from run.compare import PUBLISHED
from run.folder import RESULT_FREE, read_record
from run.recorded import FROM_BEFORE

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ("options.json", "environment.json", "log.jsonl", "metrics.json")
LUMA = "gray_luma"  # the other reading of Gray: the same runs, tested on the luma of the coloured test images
AVERAGED = "averaged"  # the same runs as those of "lntl", the weights of their last epochs averaged
ONE_DRAW = "draw0"  # further seeds on the draw of run 1, from when all runs were on one; run 1 is of their cell too
USUAL = {"batch_size": 128, "momentum": 0.9, "weight_decay": 0.0005, "lr_decay_rate": 0.1, "holdout": 0}
USUAL |= {"optimizer": "sgd"}
ALIKE = {"float32", "tf32"}  # precisions that may stand in one cell: PyTorch's own convolutions are tf32 on a GPU
BESIDE = {  # rows beside the methods': other readings of their runs, and named settings
    LUMA: "Gray, on luma",
    f"lntl_{AVERAGED}": "LNTL, mean weights of the last 5 epochs",
    "lntl_official": "LNTL, from the authors' network",
    f"baseline_{ONE_DRAW}": "one draw: Baseline, seeds 1 to 3 on draw 0",
    f"lntl_{ONE_DRAW}": "one draw: LNTL, seeds 1 to 3 on draw 0",
    f"lntl_{ONE_DRAW}_{AVERAGED}": "one draw: LNTL, mean weights of the last 5 epochs",
    "lntl_baseline1": "one draw: LNTL, seed 2 from the baseline of seed 1",
    "lntl_baseline2": "one draw: LNTL, seed 1 from the baseline of seed 2 (bfloat16)",
    "lntl_epochs100": "LNTL, the official 100 epochs (bfloat16)",
    "lntl_plus_bins": "LNTL+ of the first list: bins, 20 epochs",
    f"lntl_plus_bins_{ONE_DRAW}": "one draw: LNTL+ of the first list, seeds 1 to 3 on draw 0",
    "lntl_plus_smoothing0": "LNTL+, not smoothed: its first version",
}
TITLES = {name: METHODS[name].title for name in (*PUBLISHED, *(m for m in METHODS if m not in PUBLISHED))} | BESIDE
RENAMED = {  # SHA-256 of weights that runs began with: the run that made them, where the path in the record is older
    "6dd270576f5dada4bc49c34f1a8b95985f6bc002ae5c504307923ff17cd13a8c": "baseline_var0.020_draw0_seed2",
    "9dacb7f6703182aaaa9371002ce075ae0f15626295148a867210776906cac2d2": "baseline_var0.020_draw0_seed3",
    "0d4c73f8f1f7d99b8a19a86bfe53286969eabf57ed456020dacc56536547a749": "baseline_var0.030_draw0_seed2",
    "fa4bb39ef10858e88cd45e0253b92f4af80f4d19bf5f27f9e8b2be0926996158": "baseline_var0.030_draw0_seed3",
}
AUTHORS_NETWORK, AUTHORS_EPOCHS = "the authors' network", 100  # `step` of pretrained_var0.020.pth
NAME = re.compile(rf"({'|'.join(sorted(METHODS, reverse=True))})_var(\d\.\d{{3}})_(?:(?:([\w.]+)_)?seed(\d+)|([\w.]+))")


def in_table(cells):
    """Those of `make_cells` that belong beside the paper's table; the others are the studies'."""
    return [c for c in cells if c["method"] in TITLES]


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
    setting = match[3] or match[5]
    if option.get("deviation") and not setting:
        return f"a run with --deviation {option['deviation']} needs a name of its own"
    if not setting and option["data_dir"] is None and option["data_seed"] != int(match[4]) - 1:
        return (
            f"run {match[4]} of a cell has --data_seed {int(match[4]) - 1}, not {option['data_seed']}; the name of "
            f"another one is METHOD_varV.VVV_SETTING_seedS, such as {ONE_DRAW}"
        )
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
    """Copies the records of every finished run in `save_dir`. Returns the names of those that were new or changed."""
    finished = []
    for folder in sorted(Path(save_dir).glob("*_var*_seed*")):
        if not NAME.fullmatch(folder.name) or not (folder / "metrics.json").exists():
            continue
        run = read_run(folder)
        if run["options"]["data_dir"] is not None:
            raise UserError(f"{folder} was trained on other data (--data_dir); choose another --save_dir")
        if unusual := not_of_a_cell(run):
            raise UserError(
                f"{folder} is named as a cell of the table, and was trained with {unusual}; move it out of {save_dir}, "
                "or rename it to METHOD_varV.VVV_SETTING_seedS"
            )
        finished.append(folder)
    return [f.name for f in finished if copy_records(f, root / "results" / "runs" / f.name)]


def not_of_a_cell(run):
    """What a run has otherwise than its cell of the table; None where nothing, or where it is a named setting."""
    option = run["options"]
    if run["method"] != option["method"]:
        return None
    method = METHODS[option["method"]]
    older = {flag.name: flag.default for flag in method.flags} | FROM_BEFORE  # what a record without a flag means
    usual = older | ColoredSet.settings(None).get(method.name, {}) | USUAL | {"lr": method.lr}
    for name, value in usual.items():
        if (found := option.get(name, older.get(name, value))) != value:
            return f"--{name} {found}"
    precision = option.get("precision", "float32")
    return None if precision in ALIKE else f"--precision {precision}"


def made_on(folder):
    """The GPU or processor of the run whose records are in a folder."""
    option, environment = (read_record(folder / f"{name}.json") for name in ("options", "environment"))
    return (option.get("device") != "cpu" and environment.get("gpu")) or environment.get("processor")


def copy_records(folder, target, names=RECORDS):
    """Copies the records of a run into the folder `target`, those of `names` that it has. Returns whether any changed.

    Raises UserError where those that are there are of a longer run, or of another machine.
    """
    kept, own = (len(read_json_lines(place / "log.jsonl")) for place in (target, folder))
    if (target / "options.json").exists() and made_on(target) != made_on(folder):
        raise UserError(
            f"{folder} was run on {made_on(folder)}, and the records in {target} on {made_on(target)}; remove those "
            "first to have the others in their place"
        )
    if kept > own:
        raise UserError(
            f"{folder} has {counted(own, 'epoch')}, and the records in {target} have {kept}; remove those first"
        )
    target.mkdir(parents=True, exist_ok=True)
    there = [name for name in names if (folder / name).exists()]
    for name in set(names) - {*there}:  # of an earlier try, which ended otherwise
        (target / name).unlink(missing_ok=True)
    if not any(filecmp.cmpfiles(folder, target, there, shallow=False)[1:]):
        return False
    for name in there:
        with replacing(target / name) as temporary:
            shutil.copyfile(folder / name, temporary)
    return True


# -------------------------------------------------------------------------------------------------- cells


def start(option):
    """The run whose weights a run began with: a name, AUTHORS_NETWORK, or None for random weights."""
    if not METHODS[option["method"]].starts_trained(SimpleNamespace(**option)):
        return None
    if (renamed := RENAMED.get(option.get("checkpoint_sha256"))) is not None:
        return renamed
    path = Path(option["checkpoint"] or f"checkpoints/baseline_var{option['color_var']:.3f}.pth")
    if path.name.startswith("pretrained_var"):
        return AUTHORS_NETWORK
    return path.parent.name if path.name == "final.pth" else run_of(path)


def run_of(weights):
    """The name of the run that made a file of checkpoints/: METHOD_varV.VVV.pth is of seed 1, others name theirs."""
    return weights.stem if NAME.fullmatch(weights.stem) else f"{weights.stem}_seed1"


def hardware(run):
    """The GPU, with the precision where it is tf32, or the processor and the number of threads."""
    option, environment = run["options"], run["environment"]
    if environment["gpu"] and option["device"] != "cpu":
        return environment["gpu"] + (", tf32" if option["precision"] == "tf32" else "")
    threads = option["threads"] or environment["threads"]
    return f"{environment['processor']}, {threads} thread{'s' if threads > 1 else ''}"


def start_but_seed(run):
    """`start`, without the seed and draw where they are the run's own: what the runs of one setting have in common."""
    began = start(run["options"])
    return began and began.removesuffix(f"_seed{run['options']['random_seed']}").removesuffix(f"_{ONE_DRAW}")


def make_cell(method, runs, everything, key="test_accuracy"):
    """One entry of results.json: the runs of one method at one variance. `everything`: all runs, for the baselines."""
    options = [FROM_BEFORE | run["options"] for run in runs]
    option = options[0]
    pretrained = {None: 0, AUTHORS_NETWORK: AUTHORS_EPOCHS}
    pretrained |= {name: run["options"]["max_step"] for name, run in everything.items()}
    began = [(start_but_seed(r), pretrained.get(start(r["options"]))) for r in runs]
    free = {"exp_name", "random_seed", "data_seed", "average", "checkpoint", "checkpoint_sha256"}
    free |= RESULT_FREE - {"max_step"}
    for other, its in zip(options, began, strict=True):
        differ = {k for k in option.keys() & other.keys() - free if option[k] != other[k]}  # flags come with time
        if {option["precision"], other["precision"]} == ALIKE:
            differ.discard("precision")
        if differ or its != began[0]:
            raise UserError(
                f"the seeds of {method} at {option['color_var']} were run with different options "
                f"({', '.join(sorted(differ)) or 'start'}); give one setting a name of its own"
            )
    accuracy = [r["log"][-1][key] for r in runs]
    return {
        "method": method,
        "color_var": option["color_var"],
        "seeds": [r["options"]["random_seed"] for r in runs],
        "data_seeds": [r["options"]["data_seed"] for r in runs],
        "accuracy": accuracy,
        "mean": round(statistics.fmean(accuracy), 6),
        "std": round(statistics.stdev(accuracy), 6) if len(runs) > 1 else None,
        "n": len(runs),
        "epochs": option["max_step"],
        "starts": [start(r["options"]) for r in runs],
        "pretrain_epochs": began[0][1],
        "hardware": "; ".join(minutes(runs)),
        "minutes": round(statistics.fmean(sum(r["seconds"] for r in run["log"]) / 60 for run in runs), 1),
        "minutes_on": minutes(runs),
        "precision": ", ".join(sorted({r["options"]["precision"] for r in runs})),
    }


def minutes(runs):
    """{hardware: mean minutes of training one of the runs on it}, without pretraining."""
    found = {}
    for run in runs:
        found.setdefault(hardware(run), []).append(sum(r["seconds"] for r in run["log"]) / 60)
    return {name: round(statistics.fmean(values), 1) for name, values in sorted(found.items())}


def make_cells(runs):
    """All entries of results.json: the paper's methods and other readings of the same runs, then the named settings.

    std: of a sample, None (null) for one run.
    """
    groups = {}
    for run in sorted(runs.values(), key=lambda r: r["options"]["random_seed"]):
        groups.setdefault((run["method"], run["options"]["color_var"]), []).append(run)
    for (method, color_var), group in groups.items():
        if method.endswith(f"_{ONE_DRAW}"):
            first = groups.get((method.removesuffix(f"_{ONE_DRAW}"), color_var), [])
            group[:0] = [r for r in first if r["options"]["random_seed"] == 1]
    cells = [make_cell(method, group, runs) for (method, _), group in groups.items()]
    lumas = [group for (method, _), group in groups.items() if method == "gray"]
    cells += [make_cell(LUMA, group, runs, "test_luma_accuracy") for group in lumas]
    for (method, _), group in groups.items():
        averaged = [r for r in group if "averaged_test_accuracy" in r["log"][-1]]
        if averaged and f"{method}_{AVERAGED}" in TITLES:
            cells.append(make_cell(f"{method}_{AVERAGED}", averaged, runs, "averaged_test_accuracy"))
    order = list(TITLES)
    place = {m: order.index(m) if m in order else len(order) for m in (c["method"] for c in cells)}
    return sorted(cells, key=lambda c: (place[c["method"]], c["method"], c["color_var"]))
