"""Options from a record: `--from options.json` repeats a run, `--resume` goes on with one without its flags again."""

import argparse
import difflib
from pathlib import Path

from common.errors import UserError, one_line
from dataset import data_sets
from run.folder import environment, read_options, read_record

OR_START = "or start"  # the value of option.resume by --continue: go on with the run, or begin it
NOT_REPEATED = {"resume", "dry_run", "train_baseline"}  # the last one is in `method` too
OF_DATA = ("lambda_", "mu", "prior", "prior_width")  # whose defaults are other ones for other methods and data
OF_NETWORK = {"network", "split_at", "bias_predictor", "init", "init_sha256"}  # that say nothing of the data
FROM_BEFORE = {"prior": "bins"}  # flags whose default has changed: what a record without them means
SAY_NOTHING = {"exp_name", "save_dir", "resume", "device", "cuda", "threads", "cudnn_benchmark"}  # of what is trained
OF_A_FILE = {"checkpoint", "init"}  # given once more, they ask for the file as it is now
OVERRIDDEN = {  # a flag that is given: what it ends of the record beside its own value
    "checkpoint": ("from_scratch", "checkpoint_sha256"),
    "from_scratch": ("checkpoint", "checkpoint_sha256"),
    "color_var": ("checkpoint", "checkpoint_sha256"),
    "method": ("lr", "checkpoint", "checkpoint_sha256", *OF_DATA),
    "train_baseline": ("method", "lr", "checkpoint", "checkpoint_sha256", *OF_DATA),
    "pretrain": ("checkpoint", "checkpoint_sha256", "from_scratch"),
    "dataset": ("network", *OF_DATA),
    "bias": OF_DATA,
    "optimizer": ("lr",),
    "init": ("init_sha256",),
    "prior": ("prior_width",),
    "data_dir": ("data_seed",),
    "data_seed": ("data_dir",),
    "device": ("cuda",),
    "cuda": ("device",),
}


def parse(make_parser, arguments=None):
    """The options of train.py: those given, else those of the record (--from, --resume), else the defaults.

    make_parser(): the parser of train.py. Raises UserError where a flag or the record is wrong.
    """
    defaults = vars(make_parser().parse_args([]))
    given = parse_alone(make_parser, arguments)
    recorded = {}
    if (source := given.pop("from_", None)) is not None:
        recorded = repeated(make_parser, Path(source, "options.json") if Path(source).is_dir() else Path(source))
        recorded.pop("save_dir", None)  # it may be somebody else's
        if set(given) & names_of_data():  # other data, on purpose
            recorded.pop("data_sha256", None)
    if given.get("resume") and "exp_name" in given:
        folder = Path(given.get("save_dir", defaults["save_dir"]), given["exp_name"])
        if given["resume"] != OR_START or (given.keys() <= SAY_NOTHING and in_its_baseline(folder)):
            check_exists(folder)
    if given.get("resume") and "exp_name" in given and source is None:
        recorded = from_record(make_parser, read_options(folder), folder / "options.json")
        recorded.pop("save_dir", None)  # the folder may have been moved
    if given.get("train_baseline") and recorded.get("method") == "baseline":
        del given["train_baseline"]
        given["method"] = "baseline"
    meant = defaults | FROM_BEFORE | recorded
    for flag in [flag for flag, value in given.items() if value != meant.get(flag) or flag in OF_A_FILE]:
        if flag == "pretrain" and source is None:
            continue  # the run goes on, and its start is the one that was trained
        for name in ended_by(flag, recorded.get("dataset")):
            recorded.pop(name, None)
    option = argparse.Namespace(**defaults | recorded | given)
    if recorded.get("data_dir") == option.data_dir is not None and not Path(option.data_dir).exists():
        raise UserError(f"the run was begun with --data_dir {option.data_dir}, which is not here; give where it is now")
    return option


def names_of_data():
    """The options that decide which data a run sees."""
    own = {flag.name for data_set in data_sets().values() for flag in data_set.flags}
    return (own | {"dataset", "method", "train_baseline", "deviation"}) - OF_NETWORK


def in_its_baseline(folder):
    """Whether a run seems to have been stopped while the baseline of --pretrain was trained."""
    return not (folder / "options.json").exists() and folder.with_name(f"{folder.name}_baseline").is_dir()


def check_exists(folder):
    """Raises UserError where the folder of a run that is to go on holds none."""
    if any((folder / name).exists() for name in ("options.json", "last.pt", "previous.pt")):
        return
    runs = [p.parent.name for p in folder.parent.glob("*/options.json")]
    near = difflib.get_close_matches(folder.name, runs, 1)
    meant = f"; did you mean -e {near[0]}?" if near else "; check -e and --save_dir,"
    if in_its_baseline(folder):
        raise UserError(f"{folder} was stopped in its baseline; give its whole command again, with --continue")
    raise UserError(
        f"there is no run {folder} to resume{meant} or start it: the same command without --resume, or with --continue"
    )


def parse_alone(make_parser, arguments):
    """The options that `arguments` name, without defaults, as a dict."""
    parser = make_parser()
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    return vars(parser.parse_args(arguments))


def repeated(make_parser, path):
    """The options with which the run of the record `path` is repeated. Prints what differs between there and here."""
    record = read_record(path)
    if not (beside := path.with_name("environment.json")).exists():
        print(f"note: there is no {beside}; threads and device are chosen here")
        return from_record(make_parser, record, path)
    here, there = environment(), read_record(beside)
    if record.get("threads") is None:
        record["threads"] = there.get("threads")  # what PyTorch chose there
    if record.get("device", "auto") == "auto":
        record["device"] = "cuda" if there.get("gpu") else "cpu"
    for name in ("torch", "gpu" if record["device"] == "cuda" else "processor"):
        if there.get(name) != here[name]:
            print(f"note: {name} was {there.get(name)}, here it is {here[name]}; the last bits of weights may differ")
    return from_record(make_parser, record, path)


def from_record(make_parser, record, path):
    """The options of a record, checked as if they had been given as flags."""
    flags = []
    actions = {action.dest: action for action in make_parser()._actions}
    for name, value in (record and FROM_BEFORE | record).items():
        if name in NOT_REPEATED or value is None:
            continue
        action = actions.get(name)
        kind = bool if action and action.nargs == 0 else list if action and action.nargs else (str, int, float)
        if not action or not isinstance(value, kind):
            raise UserError(f"{path} is damaged, or of another version: {name} = {one_line(repr(value))[:80]}")
        flag = max(action.option_strings, key=len)
        if kind is list:
            flags += [flag, *map(str, value)]
        elif action.nargs != 0:
            flags.append(f"{flag}={value}")
        elif value:
            flags.append(flag)
    try:
        checked = parse_alone(make_parser, flags)
    except UserError as error:
        raise UserError(f"{path} is damaged, or of another version: {error}") from None
    return usable(checked)


def sound(make_parser, record, path):
    """The options in a record of weights that have a meaning here. Raises UserError for an impossible value."""
    actions = {action.dest: action for action in make_parser()._actions}
    kept = {name: value for name, value in record.items() if name in actions}
    choices = actions["method"].choices
    if isinstance(kept.get("method"), str) and kept["method"] not in choices:
        raise UserError(
            f"{path} is of --method {one_line(kept['method'])}, which is not here ({', '.join(choices)}); put its file "
            "into methods/"
        )
    from_record(make_parser, kept, path)
    return kept


def usable(record):
    """A record without what its run did not use: recorded, it would be taken for given."""
    unused = record.get("data_dir") and "data_seed" in ended_by("data_dir", record.get("dataset"))
    return {k: v for k, v in record.items() if k != "data_seed" or not unused}


def ended_by(flag, dataset):
    """The options that a flag which is given ends. Only Colored-MNIST is either read or made by a seed."""
    if flag in ("data_dir", "data_seed") and dataset not in (None, "colored_mnist"):
        return ()
    if flag == "dataset":
        return (*OVERRIDDEN[flag], *{own.name for data_set in data_sets().values() for own in data_set.flags})
    return OVERRIDDEN.get(flag, ())
