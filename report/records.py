"""Records of finished runs: a line of JSON each in results/TABLE.jsonl; read, checked, added to, and as frames.

A line is {"name", "options", "environment", "log": [an object an epoch], "metrics"}. A run whose losses became infinite
or NaN has "diverged", the epoch, and no metrics. The files of a run folder hold the same. Names:

    colored_mnist   METHOD_varV.VVV_seedK, run K of a cell of the paper's table; METHOD_varV.VVV_SETTING[_seedK]
    biased_mnist    ROW_rhoR_seedK        suite   BIAS_ROW_seedK
"""

import json
import re
from pathlib import Path

import pandas

from common.errors import UserError
from common.files import read_json_lines, replacing
from report.published import ROOT
from report.rows import SUITE

NAMES = {
    "colored_mnist": r"(?P<method>\w+?)_var(?P<place>0\.\d{3,})(?:_(?P<setting>[\w.]+?))??(?:_seed(?P<seed>\d+))?",
    "biased_mnist": r"(?P<row>[\w.]+)_rho(?P<place>[\d.]+)_seed(?P<seed>\d+)",
    "suite": rf"(?P<place>[a-z]+)_(?P<row>{'|'.join(row.name for row in SUITE)})_seed(?P<seed>\d+)",
}
PLACE = {"colored_mnist": "color_var", "biased_mnist": "rho"}  # the option that the place in a name is
AUTHORS_NETWORK = "the authors' network"


def named(name, table):
    """{"row", "place", "seed"} that the name of a run says, {} where it is no name of the table."""
    if not (match := re.fullmatch(NAMES[table], name)):
        return {}
    found = match.groupdict()
    if table == "colored_mnist":
        found["row"] = "_".join(filter(None, (found["method"], found["setting"])))
    found["place"] = float(found["place"]) if table in PLACE else found["place"]
    return found | {"seed": int(found["seed"]) if found["seed"] else None}


def wrong(record, table):
    """What in a record contradicts itself or its name, in words, or None."""
    if not (parts := named(record["name"], table)):
        return f"its name {record['name']} is none of {table} (report/records.py has them)"
    option, metrics, log = record["options"], record["metrics"], record["log"]
    told = {"method": parts.get("method"), "random_seed": parts["seed"], PLACE.get(table): parts["place"]}
    if table == "colored_mnist" and not parts["setting"] and option["data_dir"] is None:
        told["data_seed"] = parts["seed"] - 1
    for key, value in told.items():
        if key and value is not None and option[key] != value:
            return f"it is of --{key} {option[key]}, and its name says {value}"
    if [epoch["epoch"] for epoch in log] != [*range(1, (record.get("diverged") or option["max_step"]) + 1)]:
        return "its log does not hold each of its epochs once"
    if metrics:
        correct, n = sum(row[i] for i, row in enumerate(metrics["confusion"])), sum(map(sum, metrics["confusion"]))
        if (metrics["accuracy"], correct) != (log[-1]["test_accuracy"], round(metrics["accuracy"] * n)):
            return "its accuracy is not that of its confusion matrix, or of its last epoch"
    return None


def path_of(table, root=ROOT):
    return root / "results" / f"{table}.jsonl"


def read(table, root=ROOT):
    """{name: record} of a table, in the order of the names. Raises UserError."""
    path = path_of(table, root)
    lines = enumerate(path.read_text("utf-8").splitlines(), 1)
    found = [checked(lambda line=line: json.loads(line), table, f"{path}, line {i}") for i, line in lines]
    return {record["name"]: record for record in sorted(found, key=lambda record: record["name"])}


def checked(load, table, where):
    """The record that `load` returns. Raises UserError where it cannot be read, or contradicts itself."""
    try:
        record = load()
        reason = wrong(record, table)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        reason = f"the record is damaged ({type(error).__name__}: {error})"
    if reason:
        raise UserError(f"{where}: {reason}; put it right, or remove it")
    return record


def read_folder(folder):
    """The record of a run folder that has ended; of an absolute path it keeps the last two parts, as others read it."""
    lost = (folder / "diverged.json").exists()
    names = ("options", "environment", "diverged" if lost else "metrics")
    option, environment, end = (json.loads((folder / f"{name}.json").read_text("utf-8")) for name in names)
    absolute = {k: Path(v) for k, v in option.items() if isinstance(v, str) and Path(v).is_absolute()}
    option |= {k: "/".join(path.parts[-2:]) for k, path in absolute.items()}
    record = {"name": folder.name, "options": option, "environment": environment}
    record |= {"log": read_json_lines(folder / "log.jsonl"), "metrics": None}
    metrics = {k: v for k, v in end.items() if k not in ("option", "environment")}
    return record | ({"diverged": end["epoch"]} if lost else {"metrics": metrics})


def add(save_dir, table, differing, root=ROOT):
    """Adds every run in `save_dir` that has ended to a table. Returns the names of those that are new or changed.

    differing: (record) -> what is otherwise than in its cell of the grid, in words, or None. Raises UserError, and adds
    nothing, where a record is damaged, or another's.
    """
    records = read(table, root)
    ended = sorted({end.parent for name in ("metrics", "diverged") for end in save_dir.glob(f"*/{name}.json")})
    found = [checked(lambda folder=f: read_folder(folder), table, f) for f in ended if named(f.name, table)]
    for record in found:
        if reason := differing(record):
            raise UserError(f"{save_dir / record['name']} has {reason}; move it out, or give it a name of its own")
    new = {record["name"]: record for record in found if records.get(record["name"]) != record}
    if new:
        with replacing(path_of(table, root)) as temporary:
            lines = (json.dumps(record, ensure_ascii=False) + "\n" for _, record in sorted((records | new).items()))
            temporary.write_text("".join(lines), "utf-8")
    return [*new]


def hardware(record):
    """The GPU, or the processor with its number of threads; and the precision where it is not float32."""
    option, environment = record["options"], record["environment"]
    precision = f", {option['precision']}" if option["precision"] != "float32" else ""
    if environment["gpu"] and option["device"] != "cpu":
        return environment["gpu"] + precision
    threads = option["threads"] or environment["threads"]
    return f"{environment['processor']}, {threads} thread{'s' if threads > 1 else ''}{precision}"


def start(option):
    """The run whose weights a run began with: a name, AUTHORS_NETWORK, or "" for random weights."""
    if not (option["checkpoint"] or option.get("checkpoint_sha256")):
        return ""
    path = option["checkpoint"] or f"checkpoints/baseline_var{option['color_var']:.3f}.pth"  # the shipped one
    if "pretrained_var" in path:
        return AUTHORS_NETWORK
    folder, _, file = path.rpartition("/")
    name = file.removesuffix(".pth")  # in checkpoints/, METHOD_varV.VVV.pth is of seed 1, others name theirs
    return folder.rpartition("/")[2] if name == "final" else name if "_seed" in name else f"{name}_seed1"


def frame(records, table):
    """A row a run: name, row, place, seed, hardware, start, minutes of training, and the columns options.*, metrics.*,
    last.* (the last epoch's log), environment.*; NaN or None where a record has none.
    """
    return pandas.json_normalize(
        record
        | named(record["name"], table)
        | {"seed": record["options"]["random_seed"], "last": (record["log"] or [{}])[-1]}
        | {"hardware": hardware(record), "start": start(record["options"])}
        | {"minutes": sum(epoch["seconds"] for epoch in record["log"]) / 60}
        for record in records.values()
    )
