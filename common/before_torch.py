"""What comes before PyTorch is loaded, in every command: is it there, and how do its threads wait for each other?

The threads of OpenMP meet after every operator. By default the first one there spins for milliseconds, which wakes up
fastest, and on a machine that others use too takes the time from the very thread that it waits for: beside one busy
process an iteration takes more than three times as long. `python -m bench --neighbour` measures it (docs/SPEED.md).
"""

import importlib.util
import os
import sys
from pathlib import Path

NEEDED = ("torch", "torchvision", "numpy", "tqdm", "PIL", "matplotlib")
SPIN = "10000"  # rounds that a waiting thread of GNU's OpenMP spins before it sleeps; its own default is 300000
OF_THE_USER = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # any of them, and nothing is set here


def wait_briefly():
    """Sets how threads wait, unless the user has."""
    if not any(name in os.environ for name in OF_THE_USER):
        os.environ["GOMP_SPINCOUNT"] = SPIN


def is_ours():
    """Whether the program that runs is a command of this project, and not somebody's own that imports a part of it."""
    main = getattr(sys.modules["__main__"], "__file__", None)
    root = Path(__file__).resolve().parents[1]
    return sys.argv[:1] == ["-m"] or (main is not None and root in Path(main).resolve().parents)


def require():
    """Ends a command with one line where a package is missing: with the wrong Python, or before the installation."""
    old = sys.version_info < (3, 11)
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not (old or missing):
        return
    root = Path(__file__).resolve().parents[1]
    what = "is older than 3.11" if old else f"has no {', '.join(missing)}"
    made = (root / ".venv" / "installed-requirements.txt").exists()
    how = "`source .venv/bin/activate` first" if made else "`bash train.sh` makes an environment that has all"
    message = f"this Python ({sys.executable}) {what}; {how}, or install requirements.txt"
    if not is_ours():
        raise ImportError(message)  # for somebody's own program
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def be_brief():
    """Ends a command that is interrupted while it loads its parts with one word; later, errors.exits does."""
    usual = sys.excepthook

    def hook(kind, error, trace):
        if issubclass(kind, KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
        else:
            usual(kind, error, trace)

    sys.excepthook = hook


require()
wait_briefly()
if is_ours():
    be_brief()
