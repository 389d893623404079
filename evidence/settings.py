"""A named setting outside the paper's table, and the weights that such settings start from."""

from typing import NamedTuple

COLOR_VAR = 0.02
EPOCHS = 10  # of the short runs, all at the first learning rate


class Setting(NamedTuple):
    """One named setting."""

    name: str  # SETTING in the name of its record
    flags: str = ""  # of train.py
    method: str = "lntl"
    color_var: float = COLOR_VAR
    epochs: int = EPOCHS
    period: int = 40  # epochs between two cuts of the learning rate
    start: str | None = None  # of STARTS: whose weights it starts from, instead of the baseline of its own run
    title: str = ""
    seed: int | None = 1  # where --seeds asks for no other; of a start, None: that of the run that starts from it
    precisions: frozenset = frozenset({"float32", "tf32"})  # that may stand for each other in its record


NOTATION = {"lambda_": "λ", "mu": "μ", "lr": "learning rate", "split_at": "f up to", "smoothing": "smoothing"}
NOTATION["bias_predictor"] = "h"
NOTATION["from_scratch"] = "from random weights"


def in_words(flags):
    """Flags as a reader knows them: "--lambda_ 1 --mu 1" as ["λ = 1", "μ = 1"]."""
    pairs = [flag.split() for flag in f" {flags}".split(" --")[1:]]
    return [f"{NOTATION[flag]} = {value[0]}" if value else NOTATION[flag] for flag, *value in pairs]


def baseline(seed=None):
    """The baseline of the paper's table, as a start."""
    return Setting("", method="baseline", epochs=100, seed=seed)


ON_DRAW_0 = "--data_seed 0"  # whatever the seed: from when all runs were on one draw of the colours
STARTS = {
    "epochs12": Setting("epochs12", method="baseline", epochs=12, seed=None),
    "holdout100": Setting("holdout100", "--holdout 5000", method="baseline", epochs=100, seed=None),
    "baseline1": baseline(1),
    "draw0": Setting("draw0", ON_DRAW_0, method="baseline", epochs=100, seed=None),
    "baseline2": Setting("draw0", ON_DRAW_0, method="baseline", epochs=100, seed=2),
}
