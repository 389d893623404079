"""Tables where a bias belongs to an image: Biased-MNIST, photographs, the suite; from the frames of records.frame."""

import pandas

from report.published import BIASED_MNIST, RHOS
from report.rows import BIASED, BIASED_BEFORE, BIASES, IMAGES, SUITE
from report.tables import markdown, minutes, select, spread

MEAN, WORST = "metrics.mean_group_accuracy", "metrics.worst_group_accuracy"
UNBIASED = {"unbiased": "metrics.accuracy", "mean over the 100 groups": MEAN, "worst group": WORST}
GROUPS = {"mean over groups": MEAN, "worst group": WORST}
PROBE = "bias, by the probe"
OTHERS = {what: f"metrics.{what}_accuracy" for what in ("conflicting", "aligned")}
OTHERS |= {"plain": "metrics.accuracy", "h on validation": "last.holdout_bias_accuracy"}


def by_place(runs, rows, places, columns, digits=4):
    """Lines of a table: of every Row those of its columns {title: column}, mean ± std (n) and what diverged a place."""

    def figure(row, place, column):
        found = select(runs, row.name, place)
        lost = int(found.get("diverged", pandas.Series()).notna().sum())
        parts = [spread(found.get(column, []), digits, n=True)] if lost < len(found) else []
        return "; ".join(parts + [f"{lost} of {len(found)} diverged"] * bool(lost)) or "-"

    lines = [(row, what, column) for row in rows for what, column in columns.items()]
    return [
        [row.title if what == next(iter(columns)) else "", what, *(figure(row, place, column) for place in places)]
        for row, what, column in lines
    ]


def biased_mnist(runs):
    """Our rows, today's before the first recipe's, three figures each; and the published rows of another network."""
    rows = by_place(runs, [*BIASED, *BIASED_BEFORE], RHOS, UNBIASED)
    rows += [[name, "unbiased, SimpleConvNet", *values] for name, values in BIASED_MNIST.items()]
    now = runs[runs.row.isin([row.name for row in BIASED])]
    epochs = " or ".join(f"{n:g}" for n in sorted(set(now.get("options.max_step", []))))
    cost = "; ".join(f"{name}: {mean:.1f}" for name, mean in minutes(now).items())
    told = f"{epochs} epochs at the defaults, minutes of training a run: {cost}" if cost else "not yet run"
    return (
        f"{markdown(['', '', *(f'ρ = {rho:g}' for rho in RHOS)], rows)}\n\nThe first rows: {told}. First recipe: 10 "
        "epochs of SGD with two cuts of the learning rate, made at commit 3bf2ffc."
    )


def photographs(runs):
    """A row a method: mean ± std over the seeds."""
    rows, columns = [], GROUPS | OTHERS
    for row in IMAGES:
        figures = [spread(select(runs, row.name, column=column), 3) for column in columns.values()]
        rows.append([row.title, *figures, len(select(runs, row.name))])
    return markdown(["method", *columns, "n"], rows)


def in_short(suite, biased):
    """Baseline, LNTL+ and the ceiling in the mean over groups, on the suite and on Biased-MNIST."""
    rows = [row for row in SUITE if row.name in ("baseline", "lntl_plus", "fair")]
    now = [row._replace(name=f"{row.name}_now", words=row.title) for row in rows]
    both = zip(by_place(suite, rows, BIASES, {"": MEAN}, 3), by_place(biased, now, [0.99], {"": MEAN}, 3), strict=True)
    lines = [[title, *figures, other] for (title, _, *figures), (*_, other) in both]
    return markdown(["mean over groups", *BIASES, "Biased-MNIST, ρ = .99"], lines)


def suite(runs):
    """A column a bias; of every method the mean over groups, the worst group, and how well a probe finds the bias."""
    rows = by_place(runs, SUITE, BIASES, GROUPS | {PROBE: "metrics.probe_bias_accuracy"}, 3)
    chance = runs.get("metrics.probe_chance", pandas.Series(dtype=float)).groupby(runs.place).first()
    rows.append(["chance", PROBE, *(f"{chance[bias]:.3f}" if bias in chance else "-" for bias in BIASES)])
    return markdown(["method", "", *BIASES], rows)
