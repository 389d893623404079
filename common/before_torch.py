"""Before PyTorch is loaded, in every command: are the packages here, and how do threads wait for each other?"""

import importlib.util
import os
import sys

NEEDED = ("torch", "torchvision", "numpy", "tqdm", "PIL", "matplotlib", "pandas", "sklearn", "tabulate")

root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
main = os.path.realpath(getattr(sys.modules["__main__"], "__file__", None) or "")
if sys.argv[:1] == ["-m"] or main.startswith(root + os.sep):  # a command of this project, not a program that imports it
    old = sys.version_info < (3, 11)
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if old or missing:
        what = "is older than 3.11" if old else f"has no {', '.join(missing)}"
        how = "`bash train.sh` makes an environment that has all, .venv; or install requirements.txt"
        print(f"error: this Python ({sys.executable}) {what}; {how}", file=sys.stderr)
        raise SystemExit(2)
    if not os.environ.get("TQDM_NCOLS", "0").isdigit():
        print(f"error: TQDM_NCOLS={os.environ['TQDM_NCOLS']} is no number of columns; unset it", file=sys.stderr)
        raise SystemExit(2)

# A thread of OpenMP that waits spins 300,000 rounds by default, and takes the time from the thread that it waits for:
# beside one busy process, an iteration takes more than three times as long.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "10000"
