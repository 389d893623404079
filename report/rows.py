"""What is run for the report, as data: the rows of every table, their flags, places, seeds and schedules.

A row of a table is run once a place (a variance, a ρ, a bias) and seed. To add one, add a line to its list.
"""

from typing import NamedTuple

from methods import METHODS
from report.published import COLOR_VARS, PUBLISHED, RHOS, STRONG

NOTATION = {"--lambda_": "λ", "--mu": "μ", "--lr": "learning rate", "--bias_predictor": "h"}


class Row(NamedTuple):
    """A method with flags of its own."""

    name: str  # of its runs
    flags: str = ""  # of train.py; without --method, the name is that of the method
    words: str = ""  # its title, where the method and the flags do not say it
    start: str = "final.pth"  # what it begins with of the baseline's run, where its method begins with trained weights

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

    @property
    def methods(self):
        return [row.method for row in self.rows]


# Colored-MNIST: epochs, and epochs between two cuts of the learning rate; the official ones, or what a CPU can afford.
SCHEDULES = {
    "baseline": {"cpu": (100, 40), "cuda": (100, 40)},
    "gray": {"cpu": (40, 16), "cuda": (100, 40)},
    "blindeye": {"cpu": (20, 40), "cuda": (100, 40)},
    "lntl": {"cpu": (20, 40), "cuda": (100, 40)},
    "lntl_plus": {"cpu": (40, 16), "cuda": (40, 16)},
}
AVERAGE = {"lntl": 5}  # epochs whose mean weights are evaluated beside the last ones
NO_H = Row("lntl_plus_noh", "--method lntl_plus --lambda_ 0 --mu 0", "LNTL+ (ours) without h (λ = μ = 0)")
NO_BIAS = "Baseline, trained without the bias"

# Biased-MNIST. The published network and schedule are for a GPU; which λ they used is not stated, 1 is their default.
OF_THEIRS = "--network simple_conv --optimizer adam --lr 0.001 --weight_decay 0.0001 --max_step 80 --lr_decay_period 27"
BIASED = [
    Row("baseline"),
    Row("lntl", "--lambda_ 0.01 --mu 0.1"),  # as on Colored-MNIST
    Row("blindeye"),
    Row("lntl_plus", "--lambda_ 0.01 --mu 0.1"),
    Row("lntl_chosen", "--method lntl --lambda_ 1 --mu 1"),  # on held-out images
    Row("lntl_plus_chosen", "--method lntl_plus --lambda_ 0.01 --mu 0.03"),
]
THEIRS = [
    Row("baseline_published", f"--method baseline {OF_THEIRS}", "Baseline"),
    Row(
        "lntl_published_lambda0.01",
        f"--method lntl {OF_THEIRS} --from_scratch --lambda_ 0.01 --mu 0.1",
        "LNTL, λ = 0.01",
    ),
    Row("lntl_published_lambda1", f"--method lntl {OF_THEIRS} --from_scratch --lambda_ 1 --mu 0.1", "LNTL, λ = 1"),
]

# Photographs: cut-outs in DATA_DIR, and without the bias in DATA_DIR_fair. LNTL starts from half of the baseline.
HALF = {"start": "checkpoint_step_0005.pth"}
IMAGES = [
    Row("baseline"),
    Row("fair", "--method baseline", NO_BIAS),
    Row("lntl_default", "--method lntl --max_step 5 --lambda_ 0.01 --mu 0.1", **HALF),
    Row("lntl_lambda1_mu1", "--method lntl --max_step 5 --lambda_ 1 --mu 1", **HALF),
    Row("lntl_conv_lambda1_mu1", "--method lntl --max_step 5 --bias_predictor conv --lambda_ 1 --mu 1", **HALF),
    Row("lntl_plus", "--mu 0.1"),
    Row("lntl_plus_mu0.01", "--method lntl_plus --mu 0.01"),
]
CHOSEN = ("baseline", "lntl_conv_lambda1_mu1", "lntl_plus_mu0.01", "fair")  # by validation images

# The suite of scripts/biases.py: DATA_DIR/BIAS, and without the bias DATA_DIR/BIAS_fair. The last row is the ceiling.
BIASES = ("texture", "place", "mark", "brightness", "blur")
SUITE = [
    Row("baseline"),
    Row("lntl"),
    Row("lntl_plus"),
    NO_H,
    Row("fair", "--method baseline", NO_BIAS),
]

GRIDS = {  # of --dataset and of --studies
    "colored_mnist": Grid("colored_mnist", [Row(method) for method in PUBLISHED], COLOR_VARS, (1,)),
    "biased_mnist": Grid("biased_mnist", BIASED, RHOS, (1, 2, 3)),
    "images": Grid("images", IMAGES, ("",), (1, 2, 3)),
    "suite": Grid("suite", SUITE, BIASES, (1, 2, 3)),
    "ablation": Grid("colored_mnist", [NO_H], (0.02, 0.035, 0.05), (1, 2, 3)),
    "strong": Grid("colored_mnist", [Row(m) for m in ("baseline", "lntl", "lntl_plus")], STRONG, (1,)),
    "published": Grid("biased_mnist", THEIRS, RHOS, (1, 2, 3)),
}
DATASETS = [*dict.fromkeys(grid.table for grid in GRIDS.values())]
STUDIES = [name for name in GRIDS if name not in DATASETS]
