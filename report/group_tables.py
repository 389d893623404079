"""Tables where a bias belongs to an image: Biased-MNIST, photographs, the suite; from the frames of records.frame."""

import pandas

from methods import METHODS
from report.published import BIASED_MNIST, RHOS
from report.rows import BIASED, BIASES, CHOSEN, GRIDS, IMAGES, SUITE, THEIRS
from report.tables import markdown, minutes, select, spread

GROUPS = {"mean over groups": "metrics.mean_group_accuracy", "worst group": "metrics.worst_group_accuracy"}
UNBIASED = {"unbiased": "metrics.accuracy"}
OTHERS = {
    "conflicting": "metrics.conflicting_accuracy",
    "aligned": "metrics.aligned_accuracy",
    "plain": "metrics.accuracy",
    "h on validation": "last.holdout_bias_accuracy",
}
PROBE = {"bias, by the probe": "metrics.probe_bias_accuracy"}


def by_place(runs, rows, places, columns, digits=4):
    """Lines of a table: of every Row those of its columns {title: column}, mean ± std (n) at every place."""

    def shown(found, column):
        lost = int(found.get("diverged", pandas.Series()).notna().sum())
        parts = [spread(found.get(column, []), digits, n=True)] if lost < len(found) else []
        return "; ".join(parts + [f"{lost} of {len(found)} diverged"] * bool(lost)) or "-"

    return [
        ["" if i else row.title, what, *(shown(select(runs, row.name, place), column) for place in places)]
        for row in rows
        for i, (what, column) in enumerate(columns.items())
    ]


def biased_mnist(runs):
    """Our rows, three figures each, and the published rows of another network."""
    mean, worst = GROUPS.values()
    rows = by_place(runs, BIASED, RHOS, UNBIASED | {"mean over the 100 groups": mean, "worst group": worst})
    rows += by_place(runs, THEIRS, RHOS, {"unbiased, SimpleConvNet, 80 epochs": "metrics.accuracy"})
    rows += [[name, "unbiased, SimpleConvNet", *values] for name, values in BIASED_MNIST.items()]
    ended = runs[runs.row.isin([row.name for row in BIASED]) & runs.place.isin(RHOS)]
    seeds = len(GRIDS["biased_mnist"].seeds)
    whole = ended[ended.diverged.isna()] if "diverged" in ended else ended
    cost = "; ".join(f"{name}: {mean:.1f}" for name, mean in minutes(whole).items()) or "not known yet"
    return (
        f"{markdown(['', '', *(f'ρ = {rho:g}' for rho in RHOS)], rows)}\n\n{len(ended)} of "
        f"{len(BIASED) * len(RHOS) * seeds} runs with the paper's network are done ({len(BIASED)} rows, {len(RHOS)} ρ, "
        f"{seeds} runs). Minutes of training a run: {cost}."
    )


def photographs(runs):
    """A row a method: mean ± std over the seeds."""
    columns, rows = GROUPS | OTHERS, []
    for row in IMAGES:
        figures = [spread(select(runs, row.name, column=column), 3) for column in columns.values()]
        n = len(select(runs, row.name))
        rows.append([row.title, *(figures if n else ["not yet run"] + [""] * (len(columns) - 1)), n or ""])
    return markdown(["method", *columns, "n"], rows)


def photographs_in_a_line(runs):
    """The mean over groups of the settings that were chosen, for the README."""
    parts = []
    for row in (row for name in CHOSEN for row in IMAGES if row.name == name):
        figure = spread(select(runs, row.name, column=GROUPS["mean over groups"]), 3).replace(" ", "")
        parts.append(f"{METHODS[row.method].title} {figure}" + ", trained without the bias" * (row.name == "fair"))
    return f"Mean over groups there: {'; '.join(parts)}."


def photographs_by_group(runs):
    """A row a group, a column a method: mean ± std over the seeds."""
    done = [row for row in IMAGES if len(select(runs, row.name))]
    found = [[*select(runs, row.name, column="metrics.groups")] for row in done]
    rows = [
        [f"{g['y']} / {g['b']}", g["n"], *(spread([run[i]["accuracy"] for run in seeds], 3) for seeds in found)]
        for i, g in enumerate(found[0][0] if found else [])
    ]
    return markdown(["group", "images", *(row.title for row in done)], rows)


def suite_places(runs):
    return [*BIASES, *sorted({*runs.place} - {*BIASES})]


def suite(runs):
    """A column a bias; of every method the mean over groups, the worst group, and how well a probe finds the bias."""
    places = suite_places(runs)
    rows = by_place(runs, SUITE, places, GROUPS | PROBE, 3)
    chance = runs.get("metrics.probe_chance", pandas.Series(dtype=float)).groupby(runs.place).first()
    rows.append(["chance", *PROBE, *(f"{chance[place]:.3f}" if place in chance else "-" for place in places)])
    return markdown(["method", "", *places], rows)
