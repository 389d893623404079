"""What the accuracy of a finished run is compared with: the published figure, and ours of results/results.json."""

import json
from pathlib import Path

from common.errors import counted
from dataset.colored_mnist import COLOR_VARS

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = {  # official README, one number each; they replace Fig. 4 of the paper
    "baseline": (0.4055, 0.4813, 0.5996, 0.6626, 0.7333, 0.7973, 0.8450),
    "blindeye": (0.6741, 0.7123, 0.7883, 0.8203, 0.8638, 0.8927, 0.9159),
    "gray": (0.8374, 0.8751, 0.8996, 0.9166, 0.9325, 0.9472, 0.9596),
    "lntl": (0.8185, 0.8854, 0.9137, 0.9306, 0.9406, 0.9555, 0.9618),
}
PUBLISHED = {method: dict(zip(COLOR_VARS, row, strict=True)) for method, row in PUBLISHED.items()}


def lines(option, root=ROOT):
    """One line: both figures of a run's method and variance, else where there are some, as far as there are any."""
    if option.dry_run:
        return []
    if option.dataset != "colored_mnist":
        page = ["compare with: docs/BIASED_MNIST.md"] if option.dataset == "biased_mnist" else []
        own = [f"compare with: what it started from, {option.checkpoint}"] if option.checkpoint else []
        return own or page
    elsewhere = ["compare with: the tables in README.md, and results/table.md"]
    if option.data_dir is not None or option.deviation:
        return elsewhere
    try:
        cells = json.loads((root / "results/results.json").read_text("utf-8"))["cells"]
        ours = next((c for c in cells if (c["method"], c["color_var"]) == (option.method, option.color_var)), None)
        shown = []
        if published := PUBLISHED.get(option.method, {}).get(option.color_var):
            shown.append(f"published {published:.4f}")
        if ours:
            spread = "" if ours["std"] is None else f" ± {ours['std']:.4f}"
            runs = f"{counted(ours['n'], 'run')}, {counted(ours['epochs'], 'epoch')}"
            shown.append(f"this repository {ours['mean']:.4f}{spread} ({runs})")
    except (OSError, ValueError, KeyError, TypeError):
        return elsewhere
    if not shown:
        return elsewhere
    other = f"; this one had {counted(option.max_step, 'epoch')}" if ours and option.max_step != ours["epochs"] else ""
    return [f"compare with: {', '.join(shown)}{other}"]
