"""The runs by which the limits of run/health.py were set, as the table of docs/RELIABILITY.md."""

import json

from common.files import read_json_lines


def table(folder):
    """A row in Markdown for each run in `folder`, which has its options.json, log.jsonl and log.txt."""
    rows = ["| flags | label accuracy on the training batches, by epoch | loss of h | warnings |", "|---|---|---|---|"]
    for run in sorted(folder.iterdir()):
        option, log = json.loads((run / "options.json").read_text("utf-8")), read_json_lines(run / "log.jsonl")
        defaults = {"lambda_": 0.01, "mu": 0.1, "lr": 0.001, "detach_h": 0}
        flags = " ".join(f"--{k} {option[k]:g}" for k, v in defaults.items() if option[k] != v)
        said = [line.partition("WARNING: ")[2] for line in (run / "log.txt").read_text("utf-8").splitlines()]
        said = "; ".join(": ".join(line.split(": ")[:2]) for line in said if line)
        if len(log) < option["max_step"]:
            said += f"stopped in epoch {len(log) + 1}: not finite"
        accuracy, loss = (" ".join(f"{r[k]:.3f}" for r in log) for k in ("accuracy", "bias_loss"))
        rows.append(f"| {f'`{flags}`' if flags else 'none'} | {accuracy} | {loss} | {said} |")
    return "\n".join(rows)
