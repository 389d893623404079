"""Evaluates the weights of an experiment, or any weights file, on the test images.

python test.py -e lntl_var0.020
python test.py -e official --method baseline --color_var 0.02 --checkpoint pretrained_var0.020.pth
"""

import sys
from pathlib import Path

import common.before_torch  # noqa: F401

# isort: split
import methods
import option as options
from dataset import data_sets
from errors import UserError, exits
from models import FeatureExtractor, LabelClassifier
from models.checkpoint import load_weights
from run.device import choose_device
from run.evaluate import report
from run.folder import read_options


def adopt_recorded(option, run):
    """Takes method and data from the experiment's own options where the command line does not give them."""
    recorded = read_options(run)
    if option.train_baseline:
        option.method = "baseline"
    names = ["method", "color_var"]
    if option.data_dir is None and option.data_seed is None:  # a folder or a seed: what is recorded may be both
        names.append("data_seed" if recorded.get("data_dir") is None else "data_dir")
    for name in names:
        if getattr(option, name) is None:
            setattr(option, name, recorded.get(name))


@exits
def main(arguments=None):
    option = options.test_parser().parse_args(arguments)
    if option.exp_name is None:
        raise UserError("an experiment needs a name: -e NAME")
    run = Path(option.save_dir, option.exp_name)
    adopt_recorded(option, run)
    options.resolve(option)
    for note in options.notes(option):
        if "--data_split" not in note:  # it has its meaning here
            print(note)
    weights = Path(option.checkpoint) if option.checkpoint else run / "final.pth"
    if not weights.exists():
        what = "does not exist" if option.checkpoint else f"does not exist: {run} has not been trained to its end"
        raise UserError(f"{weights} {what}; train first (train.py -e {option.exp_name}), or give --checkpoint FILE")
    device = choose_device(option)
    f, g = FeatureExtractor(), LabelClassifier()
    load_weights(weights, f, g)
    f.to(device), g.to(device)
    data = data_sets()[option.dataset](option, device, grey=methods.METHODS[option.method].grey)
    run.mkdir(parents=True, exist_ok=True)
    tests = data.test if option.data_split == "test" else {"train": data.train}
    report(option, run, f, g, data, weights, tests=tests)
    return 0


if __name__ == "__main__":
    sys.exit(main())
