"""What is run for the report, as data: the rows of every table, their flags, places and seeds.

A row is run once a place (a variance, a ρ, a bias) and seed. To add one, add a line to its list.
"""

from typing import NamedTuple

from dataset.base import BY_IMAGE
from methods import METHODS
from report.published import COLOR_VARS, PUBLISHED, RHOS, STRONG

NOTATION = {"--lambda_": "λ", "--mu": "μ", "--bias_predictor": "h"}


class Row(NamedTuple):
    """A method with flags of its own."""

    name: str  # of its runs
    flags: str = ""  # of train.py; without --method, the name is that of the method
    words: str = ""  # its title, where the method and the flags do not say it

    @property
    def method(self):
        words = self.flags.split()
        return words[words.index("--method") + 1] if "--method" in words else self.name

    @property
    def title(self):
        words = self.flags.split()
        said = [f"{NOTATION[w]} = {words[i + 1]}" for i, w in enumerate(words) if w in NOTATION]
        return self.words or ", ".join([METHODS[self.method].title, *said])


class Grid(NamedTuple):
    """Rows x places x seeds, the records of which are results/`table`.jsonl."""

    table: str
    rows: list
    places: tuple
    seeds: tuple


NO_H = Row("lntl_plus_noh", "--method lntl_plus --lambda_ 0 --mu 0", "LNTL+ (ours) without h (λ = μ = 0)")
FAIR = Row("fair", "--method baseline", "Baseline, trained without the bias")

# The suite of scripts/biases.py, the methods at their defaults: DATA_DIR/BIAS, and DATA_DIR/BIAS_fair of the last row.
BIASES = ("texture", "place", "mark", "brightness", "blur")
SUITE = [
    Row("baseline"),
    Row("resample"),
    Row("group_dro"),
    Row("biasbal"),
    Row("lisa"),
    Row("lntl", "--from_scratch"),
    Row("lntl_plus"),
    Row("dfr", f"--pretrain {BY_IMAGE['max_step']}"),
    FAIR,
]

# Biased-MNIST at the defaults, then what was run by the first recipe at commit 3bf2ffc and is in the records alone.
BIASED = [
    Row("baseline_now", "--method baseline"),
    Row("resample_now", "--method resample"),
    Row("group_dro_now", "--method group_dro"),
    Row("biasbal_now", "--method biasbal"),
    Row("lisa_now", "--method lisa"),
    Row("lntl_now", "--method lntl"),
    Row("lntl_plus_now", "--method lntl_plus"),
]
BIASED_BEFORE = [
    Row("baseline"),
    Row("lntl", "--lambda_ 0.01 --mu 0.1"),
    Row("blindeye"),
    Row("lntl_plus", "--lambda_ 0.01 --mu 0.1"),
    Row("lntl_chosen", "--method lntl --lambda_ 1 --mu 1"),
    Row("lntl_plus_chosen", "--method lntl_plus --lambda_ 0.01 --mu 0.03"),
]

# Photographs, by the first recipe too.
IMAGES = [
    Row("baseline"),
    FAIR,
    Row("lntl_default", "--method lntl --lambda_ 0.01 --mu 0.1"),
    Row("lntl_lambda1_mu1", "--method lntl --lambda_ 1 --mu 1"),
    Row("lntl_conv_lambda1_mu1", "--method lntl --bias_predictor conv --lambda_ 1 --mu 1"),
    Row("lntl_plus", "--mu 0.1"),
    Row("lntl_plus_mu0.01", "--method lntl_plus --mu 0.01"),
]
CHOSEN = ("baseline", "lntl_conv_lambda1_mu1", "lntl_plus_mu0.01", "fair")  # by validation images

GRIDS = {  # of --dataset and of --studies
    "colored_mnist": Grid("colored_mnist", [Row(method) for method in PUBLISHED], COLOR_VARS, (1,)),
    "biased_mnist": Grid("biased_mnist", BIASED, RHOS, (1, 2, 3)),
    "suite": Grid("suite", SUITE, BIASES, (1, 2, 3)),
    "ablation": Grid("colored_mnist", [NO_H], (0.02, 0.035, 0.05), (1, 2, 3)),
    "strong": Grid("colored_mnist", [Row(m) for m in ("baseline", "lntl", "lntl_plus")], STRONG, (1,)),
}
DATASETS = [*dict.fromkeys(grid.table for grid in GRIDS.values())]
STUDIES = [name for name in GRIDS if name not in DATASETS]
