"""The weights that are part of this repository, checkpoints/, by the name of the run that made them."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "checkpoints"


def cell_name(method, color_var, seed, setting=None):
    """The name of a run of the paper's table, or of a named setting. A variance of more decimals keeps them."""
    number = f"{color_var:.3f}" if round(color_var, 3) == color_var else str(color_var)
    return f"{method}_var{number}_{f'{setting}_' if setting else ''}seed{seed}"


def weights_of(name):
    """Where the shipped weights of a run lie, if it has any: METHOD_varV.VVV.pth is of seed 1, others name theirs."""
    return FOLDER / f"{name.removesuffix('_seed1')}.pth"
