"""Studies beside the paper's table: named settings of LNTL at one variance, and the tables that come of them.

`python reproduce.py --studies selection deviations sensitivity starts long` runs them, `--report` makes the tables from
the records METHOD_varV.VVV_SETTING_seedS. Every setting and its number of epochs was fixed before its first run.
"""

import math
import statistics
from typing import NamedTuple

COLOR_VAR = 0.02
EPOCHS = 10  # of the short runs, all at the first learning rate
LAMBDAS, MUS = (0, 0.001, 0.01, 0.1, 1), (0, 0.01, 0.1, 1)
REFERENCE = "lntl"  # the run of the paper's table: in its first epochs it is the short run of the paper's setting
LAST = 3  # epochs whose mean is shown beside the last one


class Setting(NamedTuple):
    """One named setting."""

    name: str  # SETTING in the name of its record
    flags: str = ""  # of train.py
    method: str = "lntl"
    color_var: float = COLOR_VAR
    epochs: int = EPOCHS
    period: int = 40  # epochs between two cuts of the learning rate
    start: str | None = None  # of STARTS: whose weights it starts from, instead of the shipped baseline
    title: str = ""
    seed: int = 1  # where --seeds asks for no other


# bfloat16 is nearly twice as fast where a processor has it, and its reference is the same run in it: BFLOAT16.
IN_BFLOAT16 = "--precision bfloat16"
BFLOAT16 = Setting("bfloat16", IN_BFLOAT16, title="bfloat16 instead of float32")
FLOAT32_LAMBDAS = (0.001, 0.01)  # rows of the heat map that were run on a processor without it, the paper's among them


def of_lambda_and_mu(lambda_, mu):
    """The setting of one cell of the heat map; None: the paper's, which is that of the table's run."""
    if (lambda_, mu) == (0.01, 0.1):
        return None
    precision = "" if lambda_ in FLOAT32_LAMBDAS else f" {IN_BFLOAT16}"
    return Setting(f"lambda{lambda_:g}_mu{mu:g}", f"--lambda_ {lambda_:g} --mu {mu:g}{precision}")


def deviation(name, title, start=None):
    """The setting of one row of the table of deviations; `--deviation NAME`, but where it begins with other weights."""
    flags = IN_BFLOAT16 if start else f"{IN_BFLOAT16} --deviation {name}"
    return Setting(name, flags, start=start, title=title)


DEVIATIONS = (
    deviation("still_g", "g stands still in B (today's `zero_grad`)"),
    deviation("one_pass", "one forward pass, one step for A and B together"),
    deviation("foreground_entropy", "entropy over labelled positions alone"),
    deviation("uniform_batchnorm", "h's BatchNorm weights from U(0, 1)"),
    deviation("epochs12", "from a baseline of 12 epochs instead of 100", start="epochs12"),
    deviation("clipped", "data: colours clipped instead of drawn again"),
    deviation("uniform_test", "data: test colours uniform over all colours"),
    deviation("any_grey", "data: foreground above 0 instead of above 128"),
    deviation("shaded", "data: grey shading kept"),
)
RESTORED = Setting("restored_optimizer", title="the pretrained checkpoint's optimiser too (both from its network)")


def baseline(seed):
    """The baseline of the paper's table, as a start."""
    return Setting("", method="baseline", epochs=100, seed=seed)


STARTS = {
    "epochs12": Setting("epochs12", method="baseline", epochs=12),
    "holdout100": Setting("holdout100", "--holdout 5000", method="baseline", epochs=100),
    "baseline1": baseline(1),
    "baseline2": baseline(2),
}


def candidate(method, mu, lr, lambda_=0.01, smoothing=None, period=4, start=None):
    """A setting of the selection of LNTL+, judged by 5,000 training images held out of training and pretraining.

    start: None for random weights.
    """
    flags = f"--holdout 5000 --mu {mu:g} --lr {lr:g} --lambda_ {lambda_:g}" + ("" if start else " --from_scratch")
    name = f"{start or 'holdout'}_mu{mu:g}_lr{lr:g}_lambda{lambda_:g}"
    if method == "lntl_plus":
        flags += f" --smoothing {smoothing or 0:g}"
        name += f"_smoothing{smoothing:g}" if smoothing else ""
    return Setting(name, flags, method, period=period, start=start)


SELECTION = (
    candidate("lntl_plus", 0.1, 0.01),
    candidate("lntl_plus", 0.03, 0.01),
    candidate("lntl_plus", 0.3, 0.01),
    candidate("lntl_plus", 0, 0.01, lambda_=0),  # its label loss alone
    candidate("lntl_plus", 0.1, 0.01, smoothing=0.03),
    candidate("lntl_plus", 0.1, 0.01, smoothing=0.1),
    candidate("lntl_plus", 0.1, 0.01, smoothing=0.3),
    candidate("lntl_plus", 0.3, 0.01, smoothing=0.1),
    candidate("lntl", 0.1, 0.01),  # all but its label loss
    candidate("lntl_plus", 0.1, 0.01, start="holdout100"),
    candidate("lntl", 0.1, 0.001, period=40, start="holdout100"),  # the paper's
)
JUDGED_BY = {
    "held-out images, recoloured": "holdout_recolored_accuracy",
    "as they are": "holdout_accuracy",
    "accuracy of h on them": "holdout_bias_accuracy",
}
STUDIES = {
    "sensitivity": [s for a in LAMBDAS for b in MUS if (s := of_lambda_and_mu(a, b))],
    "deviations": [BFLOAT16, *DEVIATIONS],
    "selection": [*SELECTION],
    "starts": [
        Setting("baseline1", "--average 5", epochs=20, start="baseline1", seed=2),
        Setting("baseline1", color_var=0.03, epochs=20, start="baseline1", seed=2),
        Setting("baseline2", f"{IN_BFLOAT16} --average 5", epochs=20, start="baseline2"),
    ],
    "long": [Setting("epochs100", IN_BFLOAT16, color_var=v, epochs=100) for v in (0.02, 0.05)],
}


# ------------------------------------------------------------------------------------------------- tables


def by_setting(runs, setting):
    """The logs of a named setting of LNTL at the studies' variance, one a seed; None: those of the table's run.

    Of the table's run only the seeds that the short runs have: those of one seed see the images in the same order, and
    their accuracies move together.
    """

    def found(names):
        runs_of = (r for r in runs.values() if r["method"] in names and r["options"]["color_var"] == COLOR_VAR)
        return {r["options"]["random_seed"]: r["log"] for r in runs_of}

    if setting:
        return [*found({f"{REFERENCE}_{setting}"}).values()]
    seeds = found({f"{REFERENCE}_{s.name}" for name in ("deviations", "sensitivity") for s in STUDIES[name]})
    return [log for seed, log in found({REFERENCE}).items() if seed in seeds or not seeds]


def short(log, key="test_accuracy"):
    """(value after the short run's last epoch, mean over its last ones)."""
    values = [record[key] for record in log[:EPOCHS]]
    return values[-1], statistics.fmean(values[-LAST:])


def row(title, logs, reference=()):
    """A row of the table of deviations: the mean over the seeds, and its difference to that of the reference."""
    if not logs:
        return f"| {title} | not yet run | | | |"
    last, few = (statistics.fmean(v) for v in zip(*map(short, logs), strict=True))
    bias = statistics.fmean(short(log, "bias_accuracy")[0] for log in logs)
    difference = f"{few - statistics.fmean(short(log)[1] for log in reference):+.4f}" if reference else ""
    return f"| {title} | {last:.4f} | {few:.4f} | {difference} | {bias:.4f} |"


def deviations_table(runs):
    """What each deviation is worth, in Markdown: under each bold row, what is compared with it."""
    float32, bfloat16, official = (by_setting(runs, name) for name in (None, BFLOAT16.name, "official"))
    rows = [
        f"| LNTL at σ² = {COLOR_VAR}, {EPOCHS} epochs | accuracy | mean of the last {LAST} epochs | difference of it "
        "| accuracy of h |",
        "|---|---|---|---|---|",
        row("**as in the table**", float32),
        row(BFLOAT16.title, bfloat16, float32),
        row("**in bfloat16**", bfloat16),
    ]
    rows += [row(s.title, by_setting(runs, s.name), bfloat16) for s in DEVIATIONS]
    rows += [row("**from the authors' network**", official)]
    return "\n".join([*rows, row(RESTORED.title, by_setting(runs, RESTORED.name), official)])


def sensitivity(runs):
    """{panel: 2-d list, λ by μ} of accuracy, accuracy of h and entropy after the short run, NaN where not run."""

    def cell(lambda_, mu, key):
        setting = of_lambda_and_mu(lambda_, mu)
        logs = by_setting(runs, setting and setting.name)
        sign = -1 if key == "neg_entropy" else 1
        return statistics.fmean(sign * short(log, key)[0] for log in logs) if logs else math.nan

    panels = {"test accuracy": "test_accuracy", "accuracy of h": "bias_accuracy"}
    panels["entropy of h's prediction"] = "neg_entropy"
    return {name: [[cell(a, b, key) for b in MUS] for a in LAMBDAS] for name, key in panels.items()}


def sensitivity_table(runs):
    """The accuracies of the heat map in Markdown."""
    rows = ["| λ \\ μ | " + " | ".join(f"{mu:g}" for mu in MUS) + " |", "|" + "---|" * (len(MUS) + 1)]
    for lambda_, values in zip(LAMBDAS, sensitivity(runs)["test accuracy"], strict=True):
        rows.append(f"| {lambda_:g} | " + " | ".join("-" if math.isnan(v) else f"{v:.4f}" for v in values) + " |")
    return "\n".join(rows)


def selection(runs):
    """{(method, μ, lr, λ, smoothing, start): the logs of all seeds}, as far as a setting of the selection was run."""
    found = {}
    for setting in SELECTION:
        flags = dict(pair.split() for pair in setting.flags.replace(" --from_scratch", "").strip("-").split(" --"))
        start = f"baseline, {STARTS[setting.start].epochs} epochs" if setting.start else "random"
        logs = [r["log"] for r in runs.values() if r["method"] == f"{setting.method}_{setting.name}"]
        found[setting.method, flags["mu"], flags["lr"], flags["lambda_"], flags.get("smoothing", "-"), start] = logs
    return found


def selection_table(runs):
    """What the settings of LNTL+ were judged by, in Markdown: the held-out images in random colours, and no test."""
    rows = ["| method | μ | lr | λ | smoothing | start | " + " | ".join(JUDGED_BY) + " |"]
    rows.append("|" + "---|" * (6 + len(JUDGED_BY)))
    for setting, logs in selection(runs).items():
        values = [
            f"{statistics.fmean(log[-1][key] for log in logs):.4f}" if logs else "-" for key in JUDGED_BY.values()
        ]
        rows.append("| " + " | ".join([*setting, *values]) + " |")
    return "\n".join(rows)
