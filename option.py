"""Options of train.py and test.py: every flag, every default, and the one function that resolves them.

A value is the first that there is of: the flag as given; the record of the run (--resume, --from); what the data set
says of the method, and of all methods; what the method says of itself; the flag's own default.
"""

import argparse
import os
import random
from pathlib import Path

import torch

from common import Flag, Parser, count, name, number, path, seed, switch
from common import given as not_empty
from common.errors import UserError, one_line
from common.flags import LAYERS
from common.plugins import by_owner
from dataset import data_sets
from methods import METHODS
from models.shipped import cell_name, sha256_of, weights_of
from run.folder import read_options, read_record

ADAM_LR = 0.001
SCHEDULES = {  # of a run of the paper's table: epochs, and epochs between two cuts of the learning rate
    "baseline": {"cpu": (100, 40), "cuda": (100, 40)},
    "gray": {"cpu": (40, 16), "cuda": (100, 40)},
    "blindeye": {"cpu": (20, 40), "cuda": (100, 40)},
    "lntl": {"cpu": (20, 40), "cuda": (100, 40)},
    "lntl_plus": {"cpu": (40, 16), "cuda": (40, 16)},
}
SPLITS = ("conv2", "block2", *LAYERS, "last")  # models.networks.CUTS
SAMPLING = ("plain", "half", "balanced")
SELECT = ("worst_group", "mean_group", "accuracy")
EXPERIMENT = (
    Flag("exp_name", name, help="name of the experiment (official)", metavar="NAME", short=("-e",)),
    Flag("save_dir", path, "./checkpoint/", "folder of the experiments (official)"),
)
TRAINED = (
    Flag("method", help="the method", choices=tuple(METHODS)),
    Flag("train_baseline", action="store_true", help="the official name of --method baseline"),
    Flag("dataset", default="colored_mnist", help="the data", choices=tuple(data_sets())),
    Flag("network", not_empty, help="paper, simple_conv, a torchvision name, FILE.py:FUNCTION or package:function"),
    Flag("split_at", help="the layer that f ends with, of those that the network has", choices=SPLITS),
)
TRAINING = (
    Flag("max_step", count, 100, "epochs (official)", metavar="N"),
    Flag("batch_size", number(int, 1, 60000), 128, "images a batch (official)"),
    Flag("lr", number(float, 0, 100, open_low=True), None, "initial learning rate (official: 0.01)"),
    Flag("lr_decay_period", number(int, 0, 10**6), 40, "epochs between cuts (official); 0: one cycle", metavar="N"),
    Flag("lr_decay_rate", number(float, 0, 1, open_low=True), 0.1, "factor of a cut (official)"),
    Flag("optimizer", default="sgd", help="sgd is the official one", choices=("sgd", "adam")),
    Flag("momentum", number(float, 0, 0.9999), 0.9, "of SGD (official)"),
    Flag("weight_decay", number(float, 0, 10), 0.0005, "(official)"),
    Flag("sampling", default="plain", help="draws by n(label, bias)^-1 (balanced), ^-1/2 (half)", choices=SAMPLING),
    Flag("random_seed", seed, help="seed of weights and order (official) [drawn, and recorded]"),
    Flag("precision", default="float32", help="tf32 is for a GPU", choices=("float32", "tf32", "bfloat16")),
    Flag("holdout", number(int, 0, 59000), 0, "training images that are kept out, to choose settings by", metavar="N"),
    Flag("select", help="rule that picks an epoch on validation images, beside the last one", choices=SELECT),
    Flag("save_step", count, 10, "epochs between two kept weights (official)", metavar="N"),
    Flag("log_step", count, 50, "iterations between two looks at a GPU's losses (official)", metavar="N"),
)
START_AND_STOP = (
    Flag("checkpoint", path, help="weights to start from [the shipped baseline, where needed]", metavar="FILE"),
    Flag("from", path, help="repeat the run of this options.json; flags that are given override", metavar="FILE"),
    *(Flag(f"{what}_sha256", not_empty, help="of the file, of the data [recorded]") for what in ("checkpoint", "data")),
    Flag("from_scratch", action="store_true", help="start from random weights"),
    Flag("pretrain", number(int, 0, 10**6), 0, "train a baseline of N epochs first, and start from it", metavar="N"),
    Flag("resume", action="store_true", help="go on with the experiment; its flags need not be given again"),
    Flag("continue", action="store_true", help="--resume where the experiment has begun, else begin it (for scripts)"),
    Flag("dry_run", action="store_true", help="one batch of everything; leaves nothing behind"),
)
MACHINE = (
    Flag("device", default="auto", help="where to compute", choices=("auto", "cpu", "cuda")),
    Flag("cuda", action="store_true", help="the GPU if there is one, else a warning (official)"),
    Flag("threads", number(int, 1, 1024), help="CPU threads [PyTorch's own choice]"),
    Flag("cudnn_benchmark", switch, True, "cuDNN tries algorithms (official)"),
)
SPLIT = Flag("data_split", default="test", help="what test.py evaluates (official)", choices=("train", "test"))
NOTHING_LEFT = (  # official flags that have nothing left to do
    *(Flag(what, help="the data and the network have one") for what in ("n_class", "input_size", "depth")),
    Flag("seed", help="use --random_seed and --data_seed"),
    Flag("num_workers", help="images are decoded once, in threads"),
    Flag("debug", help="the log is always written", action="store_true", short=("-d",)),
    *(Flag(what, help="it is always so", action="store_true") for what in ("is_train", "use_pretrain")),
)
TESTED = (
    Flag("checkpoint", path, help="weights, official ones too [the last ones of the experiment]", metavar="FILE"),
    Flag("anyway", action="store_true", help="evaluate on other data, or as another method, than they were trained on"),
    SPLIT,
    Flag("images", path, help="instead: predictions for the images in a folder or a table", metavar="PATH"),
    Flag("out", path, help="CSV of the predictions, of the test images without --images", metavar="FILE"),
)
COMMON = (*EXPERIMENT, *TRAINED, *TRAINING, *START_AND_STOP, *MACHINE)
NOT_RECORDED = {"resume", "continue", "from", "dry_run", "train_baseline"}
FREE = {  # options that may differ between the parts of one run
    "exp_name", "save_dir", "device", "cuda", "threads", "cudnn_benchmark", "log_step", "save_step", "max_step",
    "data_dir", "checkpoint_sha256", "data_sha256",
}  # fmt: skip
FOUND = {"target", "bias"}  # columns that are looked for in the data where none is given
DATA_FLAGS = by_owner(data_sets().values())  # {flag's name: {method or data set: Flag}}
OWNED = DATA_FLAGS | by_owner(METHODS.values())  # all that are not everybody's


class Options(argparse.Namespace):
    """Every option of a run, resolved. Nothing changes it; `replace` gives another one."""

    def __init__(self, **values):
        vars(self).update(values)

    def __setattr__(self, name, value):
        raise AttributeError(f"options are resolved once; take option.replace({name}=...)")

    def replace(self, **changes):
        return Options(**vars(self) | changes)

    def record(self):
        """{option: value} as it is written: what says how the run is begun, or gone on with, is left out."""
        return {name: value for name, value in vars(self).items() if name not in NOT_RECORDED}


def names(*groups):
    return {flag.name for group in groups for flag in group}


def make_parser(prog, description, groups):
    """groups: {title: flags}; an entry {flag: owners} in place of flags for those that have owners."""
    parser = Parser(prog=prog, usage=f"python {prog} [FLAGS]", description=description)
    parser.epilog = "Defaults stand in []; (official) is a flag of the authors. docs/USE.md has examples."
    for title, flags in groups.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            own = flags[flag] if isinstance(flags, dict) else None
            (next(iter(own.values())) if own else flag).add_to(group, own)
    return parser


def train_parser():
    """The parser of train.py."""
    groups = {"experiment": EXPERIMENT, "what is trained": TRAINED, "of a method or a data set": OWNED}
    groups |= {"training": TRAINING, "start and stop": START_AND_STOP, "machine": MACHINE}
    groups["official flags that have nothing left to do; they are accepted and say so"] = (SPLIT, *NOTHING_LEFT)
    return make_parser("train.py", "Trains one method on one data set.", groups)


def test_parser():
    """The parser of test.py."""
    groups = {"experiment": EXPERIMENT, "what was trained": TRAINED, "of a data set": DATA_FLAGS}
    groups |= {"evaluation": TESTED, "machine": MACHINE}
    groups["official flags of training, accepted and ignored"] = TRAINING + NOTHING_LEFT
    return make_parser("test.py", "Evaluates weights on the test images.", groups)


def train_options(arguments=None):
    """The Options of train.py. arguments: list of str [those of the command line]. Raises UserError; prints notes."""
    given = vars(train_parser().parse_args(arguments))
    for flag in (SPLIT, *NOTHING_LEFT):
        if given.pop(flag.name, None) is not None:
            print(f"note: --{flag.name} has nothing left to do: {flag.help}")
    if given.pop("train_baseline", False) and given.setdefault("method", "baseline") != "baseline":
        raise UserError(f"--train_baseline and --method {given['method']} contradict each other; give one of them")
    if "exp_name" not in given:
        given = main_job(given)
    if "resume" in given and "from" in given:
        raise UserError("--from repeats a run, --resume goes on with one; give one of them")
    folder = Path(given.setdefault("save_dir", "./checkpoint/"), given["exp_name"])
    goes_on = given.keys() & {"resume", "continue"} and (folder / "options.json").exists()
    if "resume" in given and not goes_on and not (folder / "last.pt").exists():
        raise UserError(f"there is no run {folder} to resume; check -e and --save_dir")
    recorded = known(read_options(folder), folder / "options.json") if goes_on else repeated(given)
    option = resolve(given, recorded)
    check(option, given)
    return option if goes_on else with_start(option)


def main_job(given):
    """The flags of a run without a name: run 1 of a cell of the paper's table, σ² = 0.02. Raises UserError."""
    if given.get("dataset", "colored_mnist") != "colored_mnist":
        raise UserError("an experiment needs a name: -e NAME")
    method, color_var = given.get("method", "lntl"), given.get("color_var", 0.02)
    run = {"exp_name": cell_name(method, color_var, 1).removesuffix("_seed1"), "method": method}
    run |= {"color_var": color_var, "random_seed": 1}
    if not given.keys() & {"max_step", "resume"} and method in SCHEDULES:
        on_gpu = given.get("device") != "cpu" and torch.cuda.is_available()
        run["max_step"], run["lr_decay_period"] = SCHEDULES[method]["cuda" if on_gpu else "cpu"]
        print(f"{run['max_step']} epochs, as in the table; --max_step N trains another number")
    return run | given


def known(record, source):
    """The options of a record that have a meaning here, checked as flags are. Raises UserError."""
    words = []
    for flag in (*COMMON, *(next(iter(own.values())) for own in OWNED.values())):
        value = record.get(flag.name)
        if flag.name not in NOT_RECORDED and value is not None and not (flag.action and value is False):
            values = [] if flag.action else value if isinstance(value, list) else [value]
            words += [f"--{flag.name}", *map(str, values)]
    try:
        return vars(train_parser().parse_args(words))
    except UserError as error:
        raise UserError(f"{source} is damaged, or of another version: {one_line(error)}") from None


def repeated(given):
    """The options of the run that --from repeats, {} without it; not those that a given flag makes another matter."""
    if "from" not in given:
        return {}
    source = Path(given["from"], "options.json") if Path(given["from"]).is_dir() else Path(given["from"])
    record, gone = known(read_record(source), source), {"exp_name", "save_dir"}
    other = {flag for flag, value in given.items() if value != record.get(flag)}
    if other & {"method", "dataset", "network"}:
        gone |= {"lr", *OWNED}
    if other & {"method", "dataset", "network", "checkpoint", "pretrain", "from_scratch", "color_var"}:
        gone |= {"checkpoint", "checkpoint_sha256", "from_scratch", "pretrain"}
    if other & {"dataset", *DATA_FLAGS}:
        gone |= {"data_sha256"}
    return {flag: value for flag, value in record.items() if flag not in gone}


def resolve(given, recorded=()):
    """Options with every value filled in. given, recorded: {option: value}. Raises UserError."""
    said = {"dataset": "colored_mnist"} | dict(recorded) | given
    data_set = data_sets()[said["dataset"]]
    method = said.setdefault("method", data_set.usual_method)
    flags = {flag.name: flag for flag in COMMON}
    for flag, its in OWNED.items():
        own = its.get(data_set.name) or its.get(method)
        if flag in given and not own:
            kind, name = ("dataset", data_set.name) if flag in DATA_FLAGS else ("method", method)
            raise UserError(f"--{flag} belongs to --{kind} {' or '.join(its)}, not {name}; leave it out")
        if not own:
            said.pop(flag, None)  # records of before have every flag, with a value that nobody looked at
        flags[flag] = own or next(iter(its.values()))._replace(default=None)
    view = argparse.Namespace(**{flag: said.get(flag) for flag in flags})
    layers = [said, {"lr": ADAM_LR} if said.get("optimizer") == "adam" else {}]
    layers += [data_set.method_defaults(view).get(method, {}), METHODS[method].always, data_set.defaults(view)]
    layers += [METHODS[method].defaults, {flag.name: flag.default for flag in flags.values()}]
    layers += [{"network": data_set.networks[0]}]
    found = {flag: next((layer[flag] for layer in layers if layer.get(flag) is not None), None) for flag in flags}
    found |= {flag: bool(said.get(flag)) for flag in flags if flags[flag].action}
    return Options(**found)


def check(option, given):
    """Refuses options that cannot go together. Raises UserError."""
    method, data_set = METHODS[option.method], data_sets()[option.dataset]
    starts = [f"--{flag}" for flag in ("checkpoint", "pretrain", "from_scratch") if given.get(flag)]
    clashes = (
        (len(starts) > 1, " and ".join(starts)),
        (option.pretrain and (option.method == "baseline" or method.grey), f"--pretrain and --method {option.method}"),
        (method.grey and not data_set.has_grey, f"--method {option.method} and --dataset {option.dataset}"),
        (option.optimizer != "sgd" and "momentum" in given, "--optimizer adam and --momentum"),
    )
    if clash := next((what for wrong, what in clashes if wrong), None):
        raise UserError(f"{clash} contradict each other; give one of them")
    data_set.check(option)
    method.check(option)


def with_start(option):
    """The options of a new run: a seed is drawn where none was given, its start is found. Raises UserError."""
    if option.random_seed is None:
        option = option.replace(random_seed=random.randint(1, 10000))
    method = METHODS[option.method]
    if option.pretrain or not method.starts_trained(option):
        return option
    start = Path(option.checkpoint or os.path.relpath(weights_of(cell_name("baseline", option.color_var or 0, 1))))
    if not option.checkpoint and (option.dataset != "colored_mnist" or not start.exists()):
        begin = "--pretrain 100 trains one first, --checkpoint FILE gives one, --from_scratch does without"
        raise UserError(f"--method {option.method} starts from a baseline, and none is shipped for this data; {begin}")
    return option.replace(checkpoint=str(start), checkpoint_sha256=option.checkpoint_sha256 or sha256_of(start))


def of_pretraining(option):
    """The Options of the baseline that --pretrain asks for; it lies beside the run, with _baseline behind its name."""
    mine = names(TRAINED, TRAINING, MACHINE) - {"lr", "momentum", "sampling", "select"}
    mine |= {"save_dir", "dry_run", *DATA_FLAGS}
    given = {"exp_name": f"{option.exp_name}_baseline", "method": "baseline", "max_step": option.pretrain}
    given |= {"continue": True} | ({"lr": option.lr} if option.optimizer == "adam" else {})
    return resolve(given, {flag: value for flag, value in vars(option).items() if flag in mine})


def check_resumed(option, record, source):
    """Raises UserError where options would change the result of a run. record: its options; source: their file.

    Columns that are still to be found are left out: ask again when they are.
    """
    free = FREE if option.lr_decay_period else FREE - {"max_step"}  # then the cuts follow the length
    free = free | {"checkpoint"} if option.pretrain else free  # which lies beside the run, wherever that is
    before = vars(resolve({}, known(record, source)))
    for flag, value in vars(option).items():
        to_be_found = flag in FOUND and value is None
        if flag not in free | NOT_RECORDED and before[flag] != value and not to_be_found:
            what = f"--{flag} {before[flag]}, not {value}"
            raise UserError(f"{source.parent} was begun with {what}; resume with the same, or choose another -e")


def evaluated_options(given, said):
    """The Options of an evaluation. given: the flags of test.py; said: the options in a weights file or beside it."""
    here, seen = names(EXPERIMENT, MACHINE), names(TRAINED) | DATA_FLAGS.keys()
    said = {flag: value for flag, value in known(said, "the weights file").items() if flag not in here | {"checkpoint"}}
    option = resolve({flag: value for flag, value in given.items() if flag in here | seen}, said)
    data_sets()[option.dataset].check(option)
    return option
