"""What the accuracy of a finished run is compared with: the published figure, and ours of results/results.json."""

import json

from evidence.records import PUBLISHED, ROOT


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
            seeds = f"{ours['n']} seed{'s' if ours['n'] > 1 else ''}"
            shown.append(f"this repository {ours['mean']:.4f}{spread} ({seeds}, {ours['epochs']} epochs)")
    except (OSError, ValueError, KeyError, TypeError):
        return elsewhere
    if not shown:
        return elsewhere
    other = f"; this run had {option.max_step}" if ours and option.max_step != ours["epochs"] else ""
    return [f"compare with: {', '.join(shown)}{other}"]
