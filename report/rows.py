"""What is run for the report, as data: the rows of every table, their flags, places and seeds.

A row is run once a place (a variance, a ρ, a bias) and seed. To add one, add a line to its list.
"""

from typing import NamedTuple

from dataset.base import BY_IMAGE
from methods import METHODS
from report.published import COLOR_VARS, PUBLISHED, RHOS, STRONG


class Row(NamedTuple):
    """A method with flags of its own."""

    name: str  # of its runs
    flags: str = ""  # of train.py; without --method, the name is that of the method
    words: str = ""  # its title, if not that of the method

    @property
    def method(self):
        words = self.flags.split()
        return words[words.index("--method") + 1] if "--method" in words else self.name

    @property
    def title(self):
        return self.words or METHODS[self.method].title


class Grid(NamedTuple):
    """Rows x places x seeds, the records of which are results/`table`.jsonl."""

    table: str
    rows: list
    places: tuple
    seeds: tuple


NO_H = Row("lntl_plus_noh", "--method lntl_plus --lambda_ 0 --mu 0", "LNTL+ (ours) without h (λ = μ = 0)")
STRONG_PLUS = Row("lntl_plus_strong", "--method lntl_plus --smoothing 0.003 --max_step 20 --lr_decay_period 8")
FAIR = Row("fair", "--method baseline", "Baseline, trained without the bias")

# The suite, the methods at their defaults: DATA_DIR/BIAS, and DATA_DIR/BIAS_fair of the last row. By scripts/biases.py
# and, the last two, scripts/cutouts.py.
BIASES = dict.fromkeys(("texture", "place", "mark", "brightness", "blur"), "--image_size 32")  # flags of the place
BIASES |= {"photographs": "--image_size 64"}
BIASES |= {"pretrained": "--image_size 128 --network efficientnet_lite0 --init imagenet"}
EPOCHS = dict.fromkeys(BIASES, BY_IMAGE["max_step"]) | {"pretrained": 6}
SUITE = [Row(method) for method in ("baseline", "resample", "group_dro", "biasbal", "lisa")]
SUITE += [Row("lntl", "--from_scratch"), Row("lntl_plus"), Row("dfr", "--pretrain {epochs} --max_step 1"), FAIR]

# Biased-MNIST at the defaults.
RIVALS = ("baseline", "resample", "group_dro", "biasbal", "lisa", "lntl", "lntl_plus")
BIASED = [Row(f"{method}_now", f"--method {method}") for method in RIVALS]

GRIDS = {  # of --dataset and of --studies
    "colored_mnist": Grid("colored_mnist", [Row(method) for method in PUBLISHED], COLOR_VARS, (1,)),
    "biased_mnist": Grid("biased_mnist", BIASED, RHOS, (1, 2, 3)),
    "suite": Grid("suite", SUITE, tuple(BIASES), (1, 2, 3)),
    "ablation": Grid("colored_mnist", [NO_H], (0.02, 0.035, 0.05), (1, 2, 3)),
    "strong": Grid("colored_mnist", [Row("baseline"), Row("lntl"), STRONG_PLUS], STRONG, (1,)),
}
DATASETS = [*dict.fromkeys(grid.table for grid in GRIDS.values())]
STUDIES = [name for name in GRIDS if name not in DATASETS]
