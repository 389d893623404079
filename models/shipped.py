"""The weights that are part of this repository, checkpoints/, by the name of the run that made them or by SHA-256."""

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "checkpoints"


def cell_name(method, color_var, seed, setting=None):
    """The name of a run of the paper's table, or of a named setting. A variance of more decimals keeps them."""
    color_var = float(color_var)
    number = f"{color_var:.3f}" if round(color_var, 3) == color_var else str(color_var)
    return f"{method}_var{number}_{f'{setting}_' if setting else ''}seed{seed}"


def weights_of(name):
    """Where the shipped weights of a run lie, if it has any: METHOD_varV.VVV.pth is of seed 1, others name theirs."""
    return FOLDER / f"{name.removesuffix('_seed1')}.pth"


def sha256_of(path):
    """SHA-256 (hex) of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
