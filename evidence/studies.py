"""Studies beside the paper's table: named settings of LNTL at one variance, and the tables that come of them.

`python reproduce.py --studies NAME ...` runs those of STUDIES, `--report` makes the tables from
the records METHOD_varV.VVV_SETTING_seedS. Every setting and its number of epochs was fixed before its first run.
"""

import math
import statistics

from dataset.colored_mnist import COLOR_VARS
from evidence.selection import LONGER, SECOND, SELECTION
from evidence.settings import COLOR_VAR, EPOCHS, ON_DRAW_0, Setting

LAMBDAS, MUS = (0, 0.001, 0.01, 0.1, 1), (0, 0.01, 0.1, 1)
REFERENCE = "lntl"  # the run of the paper's table: in its first epochs it is the short run of the paper's setting
LAST = 3  # epochs whose mean is shown beside the last one


# bfloat16 is nearly twice as fast where a processor has it, and its reference is the same run in it: BFLOAT16. A cell
# of the heat map may be in float32 as well, as where a processor has no bfloat16; the table says it of each row.
IN_BFLOAT16 = "--precision bfloat16"
BFLOAT16 = Setting("bfloat16", IN_BFLOAT16, title="bfloat16 instead of float32")


def of_lambda_and_mu(lambda_, mu):
    """The setting of one cell of the heat map; None: the paper's, which is that of the table's run."""
    if (lambda_, mu) == (0.01, 0.1):
        return None
    flags = f"--lambda_ {lambda_:g} --mu {mu:g} {IN_BFLOAT16}"
    return Setting(f"lambda{lambda_:g}_mu{mu:g}", flags, precisions=frozenset({"float32", "bfloat16"}))


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


def of_bins(name, color_var, seed=1, more=""):
    """LNTL+ as its first list chose it: p(y | b) from the bias labels, 20 epochs."""
    return Setting(name, f"--prior bins{more}", "lntl_plus", color_var, epochs=20, period=8, seed=seed)


RESTORED = Setting("restored_optimizer", title="the pretrained checkpoint's optimiser too (both from its network)")


STUDIES = {
    "sensitivity": [s for a in LAMBDAS for b in MUS if (s := of_lambda_and_mu(a, b))],
    "deviations": [BFLOAT16, *DEVIATIONS],
    "selection": [*SELECTION],
    "selection2": [*SECOND],
    "longer": [*LONGER],
    "draw0": [
        *(
            Setting("draw0", f"{ON_DRAW_0} --average 5", color_var=v, epochs=20, start="draw0", seed=s)
            for v in (0.02, 0.03)
            for s in (2, 3)
        ),
        *(of_bins("bins_draw0", COLOR_VAR, s, f" {ON_DRAW_0}") for s in (2, 3)),
    ],
    "bins": [of_bins("bins", v) for v in COLOR_VARS],
    "starts": [
        Setting("baseline1", f"{ON_DRAW_0} --average 5", epochs=20, start="baseline1", seed=2),
        Setting("baseline1", ON_DRAW_0, color_var=0.03, epochs=20, start="baseline1", seed=2),
        Setting("baseline2", f"{IN_BFLOAT16} --average 5", epochs=20, start="baseline2"),
    ],
    "long": [Setting("epochs100", IN_BFLOAT16, color_var=v, epochs=100) for v in (0.02, 0.05)],
}


# ------------------------------------------------------------------------------------------------- tables


def runs_of(runs, setting):
    """The runs of a named setting of LNTL at the studies' variance, one a seed; None: those of the paper's table.

    Of the table's only the seeds that the short runs have: runs of one seed see the images in the same order, and
    their accuracies move together.
    """

    def found(names):
        chosen = (r for r in runs.values() if r["method"] in names and r["options"]["color_var"] == COLOR_VAR)
        return {r["options"]["random_seed"]: r for r in chosen}

    if setting:
        return [*found({f"{REFERENCE}_{setting}"}).values()]
    seeds = found({f"{REFERENCE}_{s.name}" for name in ("deviations", "sensitivity") for s in STUDIES[name]})
    return [run for seed, run in found({REFERENCE}).items() if seed in seeds or not seeds]


def by_setting(runs, setting):
    """The logs of `runs_of`."""
    return [run["log"] for run in runs_of(runs, setting)]


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


def precisions(runs, lambda_):
    """The precisions in which a row of the heat map was run, as its records have them."""
    settings = [of_lambda_and_mu(lambda_, mu) for mu in MUS]
    row = [run for setting in settings for run in runs_of(runs, setting and setting.name)]
    return ", ".join(sorted({run["options"]["precision"] for run in row})) or "-"


def sensitivity_table(runs):
    """The accuracies of the heat map in Markdown."""
    rows = ["| λ \\ μ | " + " | ".join(f"{mu:g}" for mu in MUS) + " | precision |", "|" + "---|" * (len(MUS) + 2)]
    for lambda_, values in zip(LAMBDAS, sensitivity(runs)["test accuracy"], strict=True):
        cells = ["-" if math.isnan(v) else f"{v:.4f}" for v in values]
        rows.append("| " + " | ".join([f"{lambda_:g}", *cells, precisions(runs, lambda_)]) + " |")
    return "\n".join(rows)
