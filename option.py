"""Options of train.py and test.py: the official names and defaults, and what methods and data sets add to them."""

import argparse

from common import Parser, count, name, number, path, pattern, seed, switch
from common.errors import UserError
from dataset import data_sets
from methods import METHODS, method_class, owners
from run.recorded import OR_START

DATA_SPLITS = ("train", "test")
ADAM_LR = 0.001
TRAIN_USAGE = """
  python train.py -e lntl_var0.020 --color_var 0.02       the paper's method, from the shipped baseline
  python train.py -e base --method baseline --color_var 0.02
  python train.py -e lntl_var0.020 --resume               after any interruption"""
TEST_USAGE = """
  python test.py -e lntl_var0.020
  python test.py checkpoints/lntl_var0.020.pth            method, variance and data are those of the weights
  python test.py unnamed.pth --method baseline --color_var 0.02      where neither the file nor its name tells"""
IN_HELP = "Defaults in []; (official): a flag of the\nauthors' code."
NOTHING_LEFT = {  # official flags
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


def flags_of_data():
    """{flag's name: {name of each data set that has it: Flag}}."""
    found = {}
    for data_set in data_sets().values():
        for flag in data_set.flags:
            found.setdefault(flag.name, {})[data_set.name] = flag
    return found


def add_owned(group, owned):
    """Adds flags of methods or data sets to an argparse group, each once, with the names of its owners."""
    for owners_of_one in owned.values():
        next(iter(owners_of_one.values())).add_to(group, owners_of_one)


def add_common(parser):
    """Flags that train.py and test.py share."""
    group = parser.add_argument_group("experiment")
    group.add_argument("-e", "--exp_name", type=name, metavar="NAME", help="name of the experiment (official)")
    group.add_argument(
        "--save_dir", type=path, default="./checkpoint/", help="folder of the experiments (official) [./checkpoint/]"
    )
    methods = "; ".join(f"{m.name}: {m.help}" for m in METHODS.values())
    group.add_argument("--method", choices=tuple(METHODS), help=f"{methods} [lntl]")
    group.add_argument("--train_baseline", action="store_true", help="the official name of --method baseline")

    group = parser.add_argument_group("data")
    sets = "; ".join(f"{d.name}: {d.help}" for d in data_sets().values())
    group.add_argument("--dataset", choices=tuple(data_sets()), default="colored_mnist", help=f"{sets} [colored_mnist]")
    networks = tuple(dict.fromkeys(n for d in data_sets().values() for n in d.networks))
    first = "; ".join(f"{d.name}: {d.networks[0]}" for d in data_sets().values())
    group.add_argument("--network", choices=networks, help=f"f and g, and the h that fits [{first}]")
    add_owned(group, flags_of_data())


def add_machine(parser):
    """Flags that say where the arithmetic is done."""
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), help="where to compute; cuda is an error without a GPU [auto]"
    )
    group.add_argument("--cuda", action="store_true", help="the GPU if there is one, else a warning (official)")
    group.add_argument("--threads", type=number(int, 1, 1024), help="CPU threads [PyTorch's own choice]")
    group.add_argument("--cudnn_benchmark", type=switch, default=True, help="cuDNN tries algorithms (official) [true]")


def add_nothing_left(parser, *, is_training):
    """The original's flags that have nothing left to do; last, as nobody needs them."""
    group = parser.add_argument_group("official flags that have nothing left to do; they are accepted and say so")
    group.add_argument("--n_class", type=number(int, 10, 10), help="has to be 10")
    group.add_argument("--input_size", type=number(int, 28, 28), help="has to be 28")
    for flag in ("--depth", "--seed", "--num_workers"):
        group.add_argument(flag, type=number(int, 0, 2**32 - 1))
    for flags in (["-d", "--debug"], ["--is_train"], ["--use_pretrain"]):
        group.add_argument(*flags, action="store_true")
    if is_training:
        group.add_argument("--data_split", choices=DATA_SPLITS)


def add_optimisation(parser):
    """Flags of the schedule and the optimiser."""
    group = parser.add_argument_group("optimisation")
    group.add_argument("--max_step", type=count, default=100, metavar="N", help="epochs (official) [100]")
    group.add_argument("--batch_size", type=number(int, 2, 60000), default=128, help="images a batch (official) [128]")
    group.add_argument(
        "--lr",
        type=number(float, 0, 100, open_low=True),
        help="initial learning rate; the official default is 0.01 for everything "
        f"[{', '.join(f'{m.name} {m.lr:g}' for m in METHODS.values())}; with adam {ADAM_LR:g}]",
    )
    group.add_argument(
        "--lr_decay_period",
        type=count,
        default=40,
        metavar="N",
        help="epochs between two cuts of the learning rate (official) [40]",
    )
    group.add_argument(
        "--lr_decay_rate", type=number(float, 0, 1, open_low=True), default=0.1, help="factor of a cut (official) [0.1]"
    )
    group.add_argument("--optimizer", choices=("sgd", "adam"), default="sgd", help="sgd is the official one [sgd]")
    group.add_argument("--momentum", type=number(float, 0, 0.9999), default=0.9, help="of SGD (official) [0.9]")
    group.add_argument("--weight_decay", type=number(float, 0, 10), default=0.0005, help="(official) [0.0005]")
    group.add_argument(
        "--random_seed", type=seed, help="seed of weights and order (official) [drawn from 1..10000, and recorded]"
    )
    group.add_argument(
        "--precision",
        choices=("float32", "tf32", "bfloat16"),
        default="float32",
        help="of the arithmetic; tf32: float32 whose products a GPU rounds to 10 bits [float32]",
    )


def add_start_and_stop(parser):
    """Flags that say what a run begins with, and whether it goes on."""
    group = parser.add_argument_group("start and stop")
    group.add_argument(
        "--checkpoint",
        type=path,
        metavar="FILE",
        help="weights to start from, official ones too [where one is needed: the shipped baseline of the variance]",
    )
    sha256 = pattern(r"[0-9a-f]{64}", "SHA-256 in lower case")
    group.add_argument("--checkpoint_sha256", type=sha256, metavar="HEX", help="start from this very file [recorded]")
    group.add_argument("--data_sha256", type=sha256, metavar="HEX", help="train on this very data [recorded]")
    group.add_argument("--from_scratch", action="store_true", help="start from random weights")
    group.add_argument(
        "--pretrain",
        type=number(int, 0, 10**6),
        default=0,
        metavar="N",
        help="train a baseline of N epochs first, in the run's folder with _baseline behind it, and start from it [0]",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on with the experiment; its flags need not be given again",
    )
    group.add_argument(
        "--continue",
        action="store_const",
        dest="resume",
        const=OR_START,
        help="--resume where the experiment has begun, and where it has not, begin it (for scripts)",
    )
    add_from(group)
    group.add_argument("--dry-run", action="store_true", help="one batch of everything; leaves nothing behind")


def add_records(parser):
    """Flags that say what is measured and kept beside the training."""
    group = parser.add_argument_group("records")
    group.add_argument(
        "--holdout",
        type=number(int, 0, 59000),
        default=0,
        metavar="N",
        help="training images that are kept out, to choose settings by [0]",
    )
    group.add_argument(
        "--average",
        type=number(int, 0, 10**6),
        default=0,
        metavar="N",
        help="average the weights of the last N epochs and evaluate them beside the others (averaged.pth) [0]",
    )
    group.add_argument(
        "--save_step", type=count, default=10, metavar="N", help="epochs between two kept weights (official) [10]"
    )
    group.add_argument(
        "--log_step", type=count, default=50, metavar="N", help="iterations between two reports (official) [50]"
    )


def train_parser():
    """The parser of train.py."""
    parser = Parser(prog="train.py", usage=TRAIN_USAGE, description=f"Trains one method on one data set. {IN_HELP}")
    add_common(parser)
    add_owned(parser.add_argument_group("method"), owners())
    add_optimisation(parser)
    add_start_and_stop(parser)
    add_records(parser)
    add_machine(parser)
    add_nothing_left(parser, is_training=True)
    return parser


def add_from(group):
    """--from: no option of a run, but where its options come from (run.recorded)."""
    group.add_argument(
        "--from",
        dest="from_",
        type=path,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="repeat a run from its options.json (and the environment.json beside it), or from the folder that has "
        "both; flags that are given override",
    )


def test_parser():
    """The parser of test.py."""
    parser = Parser(
        prog="test.py",
        usage=TEST_USAGE,
        description="Evaluates weights on the test images. Method, data and their flags are those the weights were\n"
        f"trained with; give them only where nothing tells. {IN_HELP}",
    )
    add_common(parser)
    group = parser.add_argument_group("what is evaluated")
    group.add_argument("file", nargs="?", type=path, metavar="FILE", help="weights, as --checkpoint")
    group.add_argument(
        "--checkpoint", type=path, metavar="FILE", help="weights, official ones too [the last ones of the experiment]"
    )
    group.add_argument(
        "--anyway",
        action="store_true",
        help="evaluate on other data, or as another method, than the weights were trained with: without it that is an "
        "error",
    )
    group.add_argument(
        "--data_split", choices=DATA_SPLITS, default="test", help="the official default, train, tested nothing [test]"
    )
    group = parser.add_argument_group("instead: predictions for new images")
    group.add_argument(
        "--images", type=path, metavar="PATH", default=argparse.SUPPRESS, help="a folder, a table (.csv) or an image"
    )
    group.add_argument(
        "--out", type=path, metavar="FILE", default=argparse.SUPPRESS, help="the CSV to write [predictions.csv]"
    )
    add_machine(parser)
    add_nothing_left(parser, is_training=False)
    training_only = parser.add_argument_group("official flags of training, accepted and ignored here")
    numbers = ("batch_size", "lr", "lr_decay_rate", "lr_decay_period", "momentum", "weight_decay", "max_step")
    for flag in numbers:
        training_only.add_argument(f"--{flag}", type=number(float, 0, 10**6))
    for flag in ("log_step", "save_step", "random_seed"):
        training_only.add_argument(f"--{flag}", type=number(int, 0, 2**32 - 1))
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
    option.device = option.device or "auto"
    if option.cuda and option.device == "cpu":
        raise UserError("--cuda and --device cpu contradict each other; give one of them")
    for flag, owned in flags_of_data().items():
        if option.dataset not in owned and getattr(option, flag) is not None:
            raise UserError(f"--{flag} belongs to --dataset {' or '.join(owned)}, not {option.dataset}; leave it out")
    data_set = data_sets()[option.dataset]
    option.network = option.network or data_set.networks[0]
    if option.network not in data_set.networks:
        wanted = ", ".join(data_set.networks)
        raise UserError(f"--network {option.network} does not fit --dataset {option.dataset}; choose one of {wanted}")
    if METHODS[option.method].grey and not data_set.has_grey:
        raise UserError(f"--method {option.method} is for --dataset colored_mnist; choose another")
    data_set.resolve(option)
    return option


def resolve_training(option):
    """`resolve`, and what only train.py needs."""
    resolve(option)
    of_the_data = data_sets()[option.dataset].settings(option).get(option.method, {})
    for flag, owned in owners().items():
        value, default = getattr(option, flag), of_the_data.get(flag, default_of(owned, option.method))
        if option.method not in owned and value not in (None, default):
            raise UserError(f"--{flag} belongs to --method {' or '.join(owned)}, not {option.method}; leave it out")
        setattr(option, flag, default if value is None else value)
    if option.lr is None:
        option.lr = usual_lr(option.optimizer, option.method)
    if option.optimizer != "sgd" and (option.momentum != 0.9 or option.deviation):
        raise UserError("--momentum and --deviation are of --optimizer sgd; leave one out")
    if option.checkpoint and option.from_scratch:
        raise UserError("--checkpoint and --from_scratch contradict each other; give one of them")
    if option.pretrain and (option.from_scratch or (option.checkpoint and not option.resume)):
        raise UserError("--pretrain trains the start itself; leave out --checkpoint and --from_scratch")
    if option.pretrain and (option.method == "baseline" or METHODS[option.method].grey):
        raise UserError(f"--pretrain trains a baseline to start from, which is nothing for --method {option.method}")
    if option.use_pretrain and option.from_scratch:
        raise UserError("--use_pretrain and --from_scratch contradict each other; give one of them")
    method_class(option).resolve(option)
    if option.average > option.max_step:
        raise UserError(f"--average {option.average} is more than --max_step {option.max_step}")
    if option.resume and option.dry_run:
        flag = "--continue" if option.resume == OR_START else "--resume"
        raise UserError(f"{flag} and --dry-run contradict each other; give one of them")
    return option


def usual_lr(optimizer, method):
    """The learning rate of a method where none is given."""
    return ADAM_LR if optimizer == "adam" else METHODS[method].lr


def default_of(owned, method):
    """The default of a flag for a method: its own, else that of the first that has it, which is what is recorded."""
    return owned[method].default if method in owned else next(iter(owned.values())).default


def defaults(method="lntl", dataset="colored_mnist"):
    """{option: value} where nothing else is given: what a record that is older than a flag stands for."""
    data_set = data_sets()[dataset]
    found = vars(train_parser().parse_args([])) | {"dataset": dataset, "network": data_set.networks[0]}
    found |= {flag.name: False if flag.action else flag.default for flag in data_set.flags}
    return found | {flag: default_of(owned, method) for flag, owned in owners().items()}


def notes(option):
    """One line for every given official flag that has nothing left to do; `option` is of train.py or test.py."""
    return [
        f"note: --{flag} has nothing left to do: {why}"
        for flag, why in NOTHING_LEFT.items()
        if getattr(option, flag, None) not in (None, False)
    ]
