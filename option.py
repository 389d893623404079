"""Options of train.py and test.py: the official names and defaults, and what the original had as constants."""

import argparse
import math
import re
from pathlib import Path

from dataset.colored_mnist import COLOR_VARS, DATA_SEED
from errors import UserError

METHODS = ("lntl", "baseline", "gray", "blindeye", "lntl_plus")
FROM_BASELINE = ("lntl", "blindeye")  # start from the baseline of their variance, the others from random weights
LR = {m: 0.001 if m in FROM_BASELINE else 0.01 for m in METHODS}  # protocol, section 4; lntl_plus: REPRODUCTION.md
DATA_SPLITS = ("train", "test")
MISTAKES = ("clipped", "any_grey", "uniform_test", "shaded")  # in the data: dataset/mistakes.py
DEVIATIONS = ("still_g", "uniform_batchnorm", "foreground_entropy", "one_pass", "restored_optimizer", *MISTAKES)
BELONGS_TO = {  # the methods that a flag changes
    "lambda_": ("lntl", "lntl_plus"), "mu": ("lntl", "lntl_plus"), "detach_h": ("lntl", "lntl_plus"),
    "deviation": ("lntl",), "alpha": ("blindeye",), "smoothing": ("lntl_plus",),
}  # fmt: skip


class Parser(argparse.ArgumentParser):
    """Reports a wrong flag in one line that says where help is."""

    def __init__(self, **how):
        super().__init__(allow_abbrev=False, **how)  # the scripts read the flags too, and know no abbreviations

    def error(self, message):
        raise UserError(f"{message} (see `python {self.prog} --help`)")


def number(kind, low, high, *, open_low=False):
    """An argparse type: a finite number of `kind` within [low, high], or (low, high] with `open_low`."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (low < value if open_low else low <= value) or not value <= high:
            what = "a whole number" if kind is int else "a number"
            bound = f"above {low}" if open_low else f"from {low}"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} {bound} to {high}")
        return value

    return parse


def pattern(regex, what):
    """An argparse type: a text that matches; `what`, in an error, is what it should have been."""

    def parse(text):
        if not re.fullmatch(regex, text):
            raise argparse.ArgumentTypeError(f"{text!r} is no {what}")
        return text

    return parse


def switch(text):
    """An argparse type: true or false."""
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1")


count = number(int, 1, 10**6)
seed = number(int, 0, 2**32 - 1)
name = pattern(
    r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,99}",
    "experiment name; use up to 100 letters, digits and _ . + = - (no path)",
)


def add_common(parser):
    """Flags that train.py and test.py share."""
    group = parser.add_argument_group("experiment")
    group.add_argument("-e", "--exp_name", type=name, help="name of the experiment (official; required)")
    group.add_argument(
        "--save_dir", default="./checkpoint/", help="folder of the experiments [./checkpoint/, official]"
    )
    group.add_argument(
        "--method",
        choices=METHODS,
        help="lntl: the paper's; baseline: f and g alone; gray: baseline on grey images; blindeye: Alvi et al. 2018; "
        "lntl_plus: lntl that learns only what the bias does not tell (ours) [lntl, or baseline with --train_baseline]",
    )
    group.add_argument("--train_baseline", action="store_true", help="the official name of --method baseline")

    group = parser.add_argument_group("data")
    group.add_argument(
        "--color_var",
        type=number(float, 0, 1, open_low=True),
        help=f"sigma^2 of the colours: {', '.join(map(str, COLOR_VARS))}; 1 for data of dataset.own [0.03, official]",
    )
    group.add_argument(
        "--data_dir",
        help="folder that holds the released file of that variance; unset, the data is built from MNIST "
        "(the official default ./dataset/ is not used, as the file is not part of this repository)",
    )
    group.add_argument("--data_seed", type=seed, help=f"seed of the colours when the data is built [{DATA_SEED}, new]")

    group = parser.add_argument_group("machine")
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), help="cuda is an error without a GPU [auto, new]")
    group.add_argument("--cuda", action="store_true", help="the GPU if there is one, else a warning (official)")
    group.add_argument("--threads", type=number(int, 1, 1024), help="CPU threads [PyTorch's own choice, new]")
    group.add_argument("--cudnn_benchmark", type=switch, default=True, help="[true, official]")

    group = parser.add_argument_group("official flags that have nothing left to do; they are accepted and say so")
    group.add_argument("--n_class", type=number(int, 10, 10), help="10")
    group.add_argument("--input_size", type=number(int, 28, 28), help="28")
    for flag in ("--depth", "--seed", "--num_workers"):
        group.add_argument(flag, type=number(int, 0, 2**32 - 1))
    if parser.prog == "train.py":
        group.add_argument("--data_split", choices=DATA_SPLITS)
    for flags in (["-d", "--debug"], ["--is_train"]):
        group.add_argument(*flags, action="store_true")


NOTHING_LEFT = {
    "data_split": "training uses the training images; test.py takes the flag",
    "n_class": "there are ten digits",
    "input_size": "images are 28x28",
    "depth": "the network has one depth (the original did not use it either)",
    "seed": "use --random_seed and --data_seed (the original did not use it either)",
    "num_workers": "there is no data loader; the data is in memory",
    "debug": "the log is always written",
    "is_train": "train.py trains and test.py tests",
    "use_pretrain": "weights given with --checkpoint are always used",
}


def train_parser():
    """The parser of train.py."""
    parser = Parser(prog="train.py", description="Trains one method at one variance. Defaults in [brackets].")
    add_common(parser)
    group = parser.add_argument_group("optimisation")
    group.add_argument("--batch_size", type=number(int, 2, 60000), default=128, help="[128, official]")
    group.add_argument(
        "--lr",
        type=number(float, 0, 100, open_low=True),
        help="initial learning rate [0.001 for lntl and blindeye, which start from a trained baseline, "
        "0.01 for the others (protocol, section 4); the official default is 0.01 for everything]",
    )
    group.add_argument("--lr_decay_rate", type=number(float, 0, 1, open_low=True), default=0.1, help="[0.1, official]")
    group.add_argument("--lr_decay_period", type=count, default=40, help="epochs between two decays [40, official]")
    group.add_argument("--momentum", type=number(float, 0, 0.9999), default=0.9, help="[0.9, official]")
    group.add_argument("--weight_decay", type=number(float, 0, 10), default=0.0005, help="[0.0005, official]")
    group.add_argument("--max_step", type=count, default=100, help="epochs [100, official]")
    group.add_argument(
        "--random_seed",
        type=seed,
        help="seed of weights and order [drawn from 1..10000 and recorded, official]",
    )

    group = parser.add_argument_group("method (constants in the original)")
    group.add_argument("--lambda_", type=number(float, 0, 1000), default=0.01, help="weight of the entropy [0.01]")
    group.add_argument("--mu", type=number(float, 0, 1000), default=0.1, help="strength of the reversal [0.1]")
    group.add_argument(
        "--alpha",
        type=number(float, 0, 1000),
        default=0.1,
        help="BlindEye's weight of the confusion [0.1, ours]",
    )
    group.add_argument(
        "--smoothing",
        type=number(float, 0, 1),
        default=0.03,
        help="of what the bias tells in lntl_plus: share of the uniform distribution [0.03]",
    )
    group.add_argument(
        "--detach_h",
        type=number(int, 0, 10**6),
        default=0,
        metavar="N",
        help="for the first N epochs h learns from detached features (official README, note 3) [0]",
    )
    group.add_argument(
        "--deviation",
        choices=DEVIATIONS,
        help="one thing done otherwise on purpose, to measure it (REPRODUCTION.md) [none]",
    )

    group = parser.add_argument_group("start, stop and record")
    group.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="weights to start from, official ones too [where one is needed: the shipped baseline of the variance]",
    )
    sha256 = pattern(r"[0-9a-f]{64}", "SHA-256 in lower case")
    group.add_argument("--checkpoint_sha256", type=sha256, metavar="HEX", help="start from this very file [recorded]")
    group.add_argument("--from_scratch", action="store_true", help="start from random weights")
    group.add_argument("--use_pretrain", action="store_true", help="official; implied by --checkpoint")
    group.add_argument(
        "--resume",
        action="store_true",
        help="continue the experiment, if it has begun; its flags need not be given again",
    )
    group.add_argument(
        "--from",
        dest="from_",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="repeat a run from its options.json (and the environment.json beside it); flags that are given override",
    )
    group.add_argument(
        "--average",
        type=number(int, 0, 10**6),
        default=0,
        metavar="N",
        help="average the weights of the last N epochs and evaluate them beside the others (averaged.pth) [0, new]",
    )
    group.add_argument("--save_step", type=count, default=10, help="epochs between two kept weights [10, official]")
    group.add_argument("--log_step", type=count, default=50, help="iterations between two reports [50, official]")
    group.add_argument(
        "--holdout",
        type=number(int, 0, 59000),
        default=0,
        metavar="N",
        help="training images kept out [0, new]",
    )
    group.add_argument(
        "--precision",
        choices=("float32", "tf32", "bfloat16"),
        default="float32",
        help="of the arithmetic; tf32: float32 whose products a GPU rounds to 10 bits [float32, new]",
    )
    group.add_argument("--dry-run", action="store_true", help="one batch of everything; leaves nothing behind")
    return parser


def test_parser():
    """The parser of test.py."""
    parser = Parser(prog="test.py", description="Evaluates weights on the test images. Defaults in [brackets].")
    add_common(parser)
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="weights, official ones too [the last ones of the experiment]"
    )
    parser.add_argument(
        "--data_split",
        choices=DATA_SPLITS,
        default="test",
        help="the official default, train, tested nothing [test]",
    )
    training_only = parser.add_argument_group("official flags of training, accepted and ignored here")
    for flag in (
        "batch_size",
        "lr",
        "lr_decay_rate",
        "lr_decay_period",
        "momentum",
        "weight_decay",
        "max_step",
    ):
        training_only.add_argument(f"--{flag}", type=number(float, 0, 10**6))
    for flag in ("log_step", "save_step", "random_seed"):
        training_only.add_argument(f"--{flag}", type=number(int, 0, 2**32 - 1))
    training_only.add_argument("--use_pretrain", action="store_true")
    return parser


def resolve(option):
    """Fills in what depends on other flags and refuses what cannot go together. Raises UserError."""
    if option.exp_name is None:
        raise UserError("an experiment needs a name: -e NAME")
    for flag, value in vars(option).items():
        if isinstance(value, str) and not (value and value.isprintable()):
            raise UserError(f"--{flag} {value!r} is empty or has characters that cannot be shown; give another")
    if option.train_baseline and option.method not in (None, "baseline"):
        raise UserError(f"--train_baseline and --method {option.method} contradict each other; give one of them")
    option.method = option.method or ("baseline" if option.train_baseline else "lntl")
    option.color_var = 0.03 if option.color_var is None else option.color_var
    option.device = option.device or "auto"
    if option.cuda and option.device == "cpu":
        raise UserError("--cuda and --device cpu contradict each other; give one of them")
    if option.data_dir is None and option.color_var not in COLOR_VARS:
        raise UserError(
            f"--color_var {option.color_var}: data is built for the paper's {', '.join(map(str, COLOR_VARS))} alone; "
            "give one of them, or a released file of your own with --data_dir"
        )
    if option.data_dir is not None and option.data_seed is not None:
        raise UserError("--data_seed is for data that is built, --data_dir for data that is read; give one of them")
    option.data_seed = DATA_SEED if option.data_seed is None else option.data_seed
    if option.data_dir is not None and not Path(option.data_dir).is_dir():
        raise UserError(f"--data_dir {option.data_dir} is not a folder; unset it to build the data from MNIST")
    return option


def resolve_training(option):
    """`resolve`, and what only train.py needs."""
    resolve(option)
    if option.lr is None:
        option.lr = LR[option.method]
    if option.checkpoint and option.from_scratch:
        raise UserError("--checkpoint and --from_scratch contradict each other; give one of them")
    if option.use_pretrain and option.from_scratch:
        raise UserError("--use_pretrain and --from_scratch contradict each other; give one of them")
    for flag, methods in BELONGS_TO.items():
        if option.method not in methods and getattr(option, flag) != train_parser().get_default(flag):
            wanted = " or ".join(methods)
            raise UserError(f"--{flag} belongs to --method {wanted}, not {option.method}; leave it out")
    if option.deviation in MISTAKES and option.data_dir is not None:
        raise UserError(f"--deviation {option.deviation} is one of the data that is built; unset --data_dir")
    if option.deviation == "one_pass" and option.detach_h:
        raise UserError("--deviation one_pass has no step of h alone; leave --detach_h out")
    if option.detach_h > option.max_step:
        raise UserError(f"--detach_h {option.detach_h} is more than --max_step {option.max_step}")
    if option.average > option.max_step:
        raise UserError(f"--average {option.average} is more than --max_step {option.max_step}")
    if option.resume and option.dry_run:
        raise UserError("--resume and --dry-run contradict each other; give one of them")
    return option


def starts_trained(method, checkpoint, from_scratch):
    """Whether a run with these options begins with trained weights of f and g; if not, with random ones."""
    return bool(checkpoint) or (method in FROM_BASELINE and not from_scratch)


def notes(option):
    """One line for every given official flag that has nothing left to do; `option` is of train.py or test.py."""
    return [
        f"note: --{flag} has nothing left to do: {why}"
        for flag, why in NOTHING_LEFT.items()
        if getattr(option, flag, None) not in (None, False)
    ]
