"""Options of train.py and test.py: every flag, every default, and the one function that resolves them.

A value is the first that there is of: the flag as given; the record of the run (--resume, --from); what the data set
says of the method, and of all methods; what the method says of itself; the flag's own default.
"""

import argparse
import os
import random
import re
from pathlib import Path

from common import Flag, Parser, count, name, number, path, pattern, seed, switch
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
MAIN_COLOR_VAR = 0.02  # of the main job; the official default, 0.03, is that of a run with a name
SHA256 = pattern(r"[0-9a-f]{64}", "SHA-256 in lower case")
SPLITS = ("conv2", "block2", *LAYERS, "last")  # models.networks.CUTS
SAMPLING = ("plain", "half", "balanced")
SELECT = ("worst_group", "mean_group", "accuracy")
EXPERIMENT = (
    Flag("exp_name", name, help="name of the experiment (official)", metavar="NAME", short=("-e",)),
    Flag("save_dir", path, "./checkpoint/", "folder of the experiments (official)"),
    Flag("method", help="the method", choices=tuple(METHODS)),
    Flag("train_baseline", action="store_true", help="the official name of --method baseline"),
)
DATA = (
    Flag("dataset", default="colored_mnist", help="the data", choices=tuple(data_sets())),
    Flag("network", not_empty, help="paper, simple_conv, a torchvision name, FILE.py:FUNCTION or package:function"),
    Flag("split_at", help="the layer that f ends with, of those that the network has", choices=SPLITS),
)
OPTIMISATION = (
    Flag("max_step", count, 100, "epochs (official)", metavar="N"),
    Flag("batch_size", number(int, 0, 60000), 128, "images a batch (official); 0: so few that an epoch has 40 batches"),
    Flag("lr", number(float, 0, 100, open_low=True), None, "initial learning rate (official: 0.01)"),
    Flag("lr_decay_period", number(int, 0, 10**6), 40, "epochs between cuts (official); 0: one cycle", metavar="N"),
    Flag("lr_decay_rate", number(float, 0, 1, open_low=True), 0.1, "factor of a cut (official)"),
    Flag("optimizer", default="sgd", help="sgd is the official one", choices=("sgd", "adam")),
    Flag("momentum", number(float, 0, 0.9999), 0.9, "of SGD (official)"),
    Flag("weight_decay", number(float, 0, 10), 0.0005, "(official)"),
    Flag("sampling", default="plain", help="draws by n(label, bias)^-1 (balanced), ^-1/2 (half)", choices=SAMPLING),
    Flag("random_seed", seed, help="seed of weights and order (official) [drawn, and recorded]"),
    Flag("precision", default="float32", help="tf32 is for a GPU", choices=("float32", "tf32", "bfloat16")),
)
START_AND_STOP = (
    Flag("checkpoint", path, help="weights to start from [the shipped baseline, where needed]", metavar="FILE"),
    Flag("checkpoint_sha256", SHA256, help="start from this very file [recorded]", metavar="HEX"),
    Flag("data_sha256", SHA256, help="train on this very data [recorded]", metavar="HEX"),
    Flag("from_scratch", action="store_true", help="start from random weights"),
    Flag("pretrain", number(int, 0, 10**6), 0, "train a baseline of N epochs first, and start from it", metavar="N"),
    Flag("resume", action="store_true", help="go on with the experiment; its flags need not be given again"),
    Flag("continue", action="store_true", help="--resume where the experiment has begun, else begin it (for scripts)"),
    Flag("from", path, help="repeat the run of this options.json; flags that are given override", metavar="FILE"),
    Flag("dry_run", action="store_true", help="one batch of everything; leaves nothing behind"),
)
RECORDS = (
    Flag("holdout", number(int, 0, 59000), 0, "training images that are kept out, to choose settings by", metavar="N"),
    Flag("select", help="rule that picks an epoch on validation images, beside the last one", choices=SELECT),
    Flag("save_step", count, 10, "epochs between two kept weights (official)", metavar="N"),
    Flag("log_step", count, 50, "iterations between two looks at a GPU's losses (official)", metavar="N"),
)
MACHINE = (
    Flag("device", default="auto", help="where to compute", choices=("auto", "cpu", "cuda")),
    Flag("cuda", action="store_true", help="the GPU if there is one, else a warning (official)"),
    Flag("threads", number(int, 1, 1024), help="CPU threads [PyTorch's own choice]"),
    Flag("cudnn_benchmark", switch, True, "cuDNN tries algorithms (official)"),
)
NOTHING_LEFT = (  # official flags that have nothing left to do
    Flag("data_split", help="train.py trains on the training images; for test.py it says what is evaluated"),
    *(Flag(what, help="the data and the network have one") for what in ("n_class", "input_size", "depth")),
    Flag("seed", help="use --random_seed and --data_seed"),
    Flag("num_workers", help="images are decoded once, in threads"),
    Flag("debug", help="the log is always written", action="store_true", short=("-d",)),
    Flag("is_train", help="train.py trains and test.py tests", action="store_true"),
    Flag("use_pretrain", help="weights given with --checkpoint are always used", action="store_true"),
)
TESTED = (
    Flag("checkpoint", path, help="weights, official ones too [the last ones of the experiment]", metavar="FILE"),
    Flag("anyway", action="store_true", help="evaluate on other data, or as another method, than they were trained on"),
    Flag("data_split", default="test", help="what is evaluated", choices=("train", "test")),
    Flag("images", path, help="instead: predictions for the images in a folder or a table", metavar="PATH"),
    Flag("out", path, help="CSV of the predictions, of the test images without --images", metavar="FILE"),
)
COMMON = (*EXPERIMENT, *DATA, *OPTIMISATION, *START_AND_STOP, *RECORDS, *MACHINE)
NOT_RECORDED = {"resume", "continue", "from", "dry_run", "train_baseline"}
FREE = {  # options that may differ between the parts of one run
    "exp_name", "save_dir", "device", "cuda", "threads", "cudnn_benchmark", "log_step", "save_step", "max_step",
    "data_dir", "checkpoint_sha256", "data_sha256",
}  # fmt: skip
OF_THE_START = ("checkpoint", "checkpoint_sha256", "from_scratch")


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


def flags_of_data():
    return by_owner(data_sets().values())


def owned_flags():
    """{flag's name: {method or data set: Flag}} of all that are not everybody's."""
    return flags_of_data() | by_owner(METHODS.values())


def make_parser(prog, description, groups):
    """groups: {title: flags}; an entry {flag: owners} in place of flags for those that have owners."""
    parser = Parser(prog=prog, usage=f"python {prog} [FLAGS]", description=description)
    parser.epilog = "Defaults stand in []; (official) is a flag of the authors. docs/USE.md has examples."
    for title, flags in groups.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            own = flags[flag] if isinstance(flags, dict) else None
            (next(iter(own.values())) if own else flag).add_to(group, own)
    group = parser.add_argument_group("official flags that have nothing left to do; they are accepted and say so")
    taken = {flag.name for flags in groups.values() for flag in flags if isinstance(flag, Flag)}
    for flag in NOTHING_LEFT:
        if flag.name not in taken:
            flag.add_to(group)
    return parser


def train_parser():
    """The parser of train.py."""
    groups = {"experiment": EXPERIMENT, "data": DATA, "of a data set": flags_of_data()}
    groups |= {"of a method": by_owner(METHODS.values()), "optimisation": OPTIMISATION}
    groups |= {"start and stop": START_AND_STOP, "records": RECORDS, "machine": MACHINE}
    return make_parser("train.py", "Trains one method on one data set.", groups)


def test_parser():
    """The parser of test.py."""
    groups = {"experiment": EXPERIMENT, "data": DATA, "of a data set": flags_of_data(), "evaluation": TESTED}
    groups |= {"machine": MACHINE, "official flags of training, accepted and ignored": OPTIMISATION + RECORDS}
    parser = make_parser("test.py", "Evaluates weights on the test images.", groups)
    parser.add_argument("file", nargs="?", type=path, default=argparse.SUPPRESS, metavar="FILE", help="weights")
    return parser


def train_options(arguments=None):
    """The Options of train.py. arguments: list of str [those of the command line]. Raises UserError; prints notes."""
    given = vars(train_parser().parse_args(arguments))
    for flag in NOTHING_LEFT:
        if given.pop(flag.name, None) is not None:
            print(f"note: --{flag.name} has nothing left to do: {flag.help}")
    if given.pop("train_baseline", False) and given.setdefault("method", "baseline") != "baseline":
        raise UserError(f"--train_baseline and --method {given['method']} contradict each other; give one of them")
    if "exp_name" not in given:
        given = main_job(given)
    recorded, going_on = recorded_options(given)
    option = resolve(given, recorded)
    check(option, given)
    return option if going_on else with_start(option)


def main_job(given):
    """The flags of a run without a name: run 1 of a cell of the paper's table. Raises UserError on other data."""
    if given.get("dataset", "colored_mnist") != "colored_mnist":
        raise UserError("an experiment needs a name: -e NAME")
    method, color_var = given.get("method", "lntl"), given.get("color_var", MAIN_COLOR_VAR)
    run = {"exp_name": cell_name(method, color_var, 1).removesuffix("_seed1"), "method": method}
    run |= {"color_var": color_var, "random_seed": 1}
    if "max_step" not in given and "resume" not in given and method in SCHEDULES:
        import torch

        on_gpu = given.get("device") != "cpu" and torch.cuda.is_available()
        run["max_step"], run["lr_decay_period"] = SCHEDULES[method]["cuda" if on_gpu else "cpu"]
        print(f"{run['max_step']} epochs, as in the table; --max_step N trains another number")
    return run | given


def recorded_options(given):
    """({option: value} of the run that goes on, or is repeated; whether it goes on). Raises UserError."""
    folder = Path(given.get("save_dir", "./checkpoint/"), given["exp_name"])
    if "from" in given:
        if given.get("resume"):
            raise UserError("--from repeats a run, --resume goes on with one; give one of them")
        source = Path(given["from"])
        return repeated(read_record(source / "options.json" if source.is_dir() else source), given), False
    if given.keys() & {"resume", "continue"} and (folder / "options.json").exists():
        return known(read_options(folder), folder / "options.json"), True
    if given.get("resume") and not (folder / "last.pt").exists():
        raise UserError(f"there is no run {folder} to resume; check -e and --save_dir")
    return {}, False


def known(record, source):
    """The options of a record that have a meaning here, checked as flags are. Raises UserError."""
    parser = train_parser()
    switches = {action.dest: action.nargs == 0 for action in parser._actions}
    flags = []
    for option, value in record.items():
        if option not in switches or option in NOT_RECORDED | {flag.name for flag in NOTHING_LEFT} or value is None:
            continue
        if switches[option]:
            flags += [f"--{option}"] if value else []
        else:
            flags += [f"--{option}", *map(str, value)] if isinstance(value, list) else [f"--{option}={value}"]
    try:
        return vars(parser.parse_args(flags))
    except UserError as error:
        raise UserError(f"{source} is damaged, or of another version: {one_line(error)}") from None


def repeated(record, given):
    """The options of a run that --from repeats, without those that a given flag makes another matter."""
    record = known(record, given["from"])
    gone = {"save_dir", "exp_name"}
    other = {flag for flag in given if given[flag] != record.get(flag)}
    if other & {"method", "dataset", "network", "optimizer"}:
        gone |= {"lr", *by_owner(METHODS.values()), *OF_THE_START}
    if "dataset" in other:
        gone |= {flag.name for flag in OPTIMISATION}
    if other & {"checkpoint", "from_scratch", "pretrain", "color_var"}:
        gone |= {*OF_THE_START, "pretrain"}
    if other & {"dataset", *flags_of_data()}:
        gone |= {"data_sha256"} | (flags_of_data().keys() if "dataset" in other else set())
    gone |= {"data_seed"} if "data_dir" in other else {"data_dir"} if "data_seed" in other else set()
    return {option: value for option, value in record.items() if option not in gone}


def resolve(given, recorded=()):
    """Options with every value filled in. given, recorded: {option: value}. Raises UserError."""
    said = {"dataset": "colored_mnist"} | dict(recorded) | given
    data_set = data_sets()[said["dataset"]]
    method = said.setdefault("method", data_set.usual_method)
    flags = {flag.name: flag for flag in COMMON}
    for flag, its in owned_flags().items():
        own = its.get(data_set.name) or its.get(method)
        if flag in given and not own:
            kind, name = ("dataset", data_set.name) if flag in flags_of_data() else ("method", method)
            raise UserError(f"--{flag} belongs to --{kind} {' or '.join(its)}, not {name}; leave it out")
        if not own:
            said.pop(flag, None)  # records of before have every flag, with a value that nobody looked at
        flags[flag] = own or next(iter(its.values()))._replace(default=None)
    view = argparse.Namespace(**{flag: said.get(flag) for flag in flags})
    layers = [said, data_set.method_defaults(view).get(method, {}), METHODS[method].always, data_set.defaults(view)]
    layers += [METHODS[method].defaults, {flag.name: flag.default for flag in flags.values()}]
    found = {flag: next((layer[flag] for layer in layers if layer.get(flag) is not None), None) for flag in flags}
    found |= {flag: bool(said.get(flag)) for flag in flags if flags[flag].action}
    found["network"] = found["network"] or data_set.networks[0]
    if said.get("optimizer") == "adam" and said.get("lr") is None:
        found["lr"] = ADAM_LR
    return Options(**found)


def check(option, given):
    """Refuses options that cannot go together. Raises UserError."""
    method, data_set = METHODS[option.method], data_sets()[option.dataset]
    clashes = (
        (option.cuda and option.device == "cpu", "--cuda and --device cpu"),
        (option.checkpoint and option.from_scratch, "--checkpoint and --from_scratch"),
        (option.pretrain and option.from_scratch, "--pretrain and --from_scratch"),
        (option.pretrain and given.get("checkpoint"), "--pretrain and --checkpoint"),
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
    found = sha256_of(start)
    if option.checkpoint_sha256 not in (None, found):
        raise UserError(f"{start} is not the file of --checkpoint_sha256; put that one back, or give --checkpoint")
    return option.replace(checkpoint=str(start), checkpoint_sha256=found)


def of_pretraining(option):
    """The Options of the baseline that --pretrain asks for; it lies beside the run, with _baseline behind its name."""
    mine = {flag.name for flag in (*DATA, *MACHINE)} | {"save_dir", "batch_size", "optimizer", "weight_decay"}
    mine |= {"random_seed", "precision", "holdout", "dry_run", "lr_decay_rate", "lr_decay_period", *flags_of_data()}
    given = {"exp_name": f"{option.exp_name}_baseline", "method": "baseline", "max_step": option.pretrain}
    given |= {"continue": True} | ({"lr": option.lr} if option.optimizer == "adam" else {})
    return resolve(given, {flag: value for flag, value in vars(option).items() if flag in mine})


def check_resumed(option, record, source):
    """Raises UserError where options would change the result of a run. record: its options; source: their file."""
    free = FREE if option.lr_decay_period else FREE - {"max_step"}  # then the cuts follow the length
    free = free | {"checkpoint"} if option.pretrain else free  # which lies beside the run, wherever that is
    if gone := next((flag for flag in ("deviation", "average") if record.get(flag)), None):
        raise UserError(f"{source.parent} was begun with --{gone}, which is no more; go on with it at its own commit")
    before = vars(resolve({}, known(record, source)))
    for flag, value in vars(option).items():
        if flag not in free | NOT_RECORDED and before[flag] != value:
            what = f"--{flag} {before[flag]}, not {value}"
            raise UserError(f"{source.parent} was begun with {what}; resume with the same, or choose another -e")


def evaluated_options(given, said):
    """The Options of an evaluation. given: the flags of test.py; said: the options in a weights file or beside it."""
    here = {flag.name for flag in MACHINE} | {"exp_name", "save_dir"}
    seen = {flag.name for flag in DATA} | {"method", *flags_of_data()}
    said = {flag: value for flag, value in known(said, "the weights file").items() if flag not in here | {"checkpoint"}}
    option = resolve({flag: value for flag, value in given.items() if flag in here | seen}, said)
    data_sets()[option.dataset].check(option)
    return option


def named(file):
    """{"method", "color_var"} as far as the name of a weights file tells them, such as lntl_var0.020.pth."""
    found = re.match(rf"({'|'.join(METHODS)}|pretrained)_var(0\.\d+)", file.name)
    method = {"pretrained": "baseline"}  # of the authors
    return {"method": method.get(found[1], found[1]), "color_var": float(found[2])} if found else {}
