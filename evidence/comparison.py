"""Published figures beside ours: whether they lie within two std, and where LNTL lies; and what is not run yet."""

import math
import statistics

from dataset.colored_mnist import COLOR_VARS
from evidence.records import title
from evidence.studies import STUDIES
from models.shipped import cell_name
from run.compare import PUBLISHED

# An independent re-run of LNL: the official code on the released files, its reversal annealed as 2/(1 + e^-epoch) - 1.
RERUN = dict(zip(COLOR_VARS, (0.8393, 0.8956, 0.9197, 0.9324, 0.9388, 0.9469, 0.9512), strict=True))
RERUN_TITLE = "re-run by others (SZU no. 156)"
# The highest figures that anyone is known, or remembered, to have reached, given as the goal of LNTL+. The first is
# Re-CGN's; the others are Back-MI's (Ragonesi et al., CVPRW 2021), remembered and not verified.
GOAL = dict(zip(COLOR_VARS, (0.959, 0.925, 0.959, 0.973, 0.975, 0.980, 0.982), strict=True))
RUNS = {"baseline": 3, "lntl": 3, "lntl_plus": 3, "gray": 3, "blindeye": 3}  # wanted of every cell


def within(cell, published):
    """Whether a figure lies within two std of ours; None where there is none, or one run."""
    if published is None or cell is None or cell["std"] is None:
        return None
    return abs(cell["mean"] - published) <= 2 * cell["std"]


def said(value):
    return {None: "-", True: "yes", False: "no"}[value]


def table(cells):
    """The paper's table in Markdown: published, ours with std and number of runs, and whether that fits."""
    rows = ["| σ² | | " + " | ".join(map(str, COLOR_VARS)) + " |", "|" + "---|" * (len(COLOR_VARS) + 2)]
    found = {(c["method"], c["color_var"]): c for c in cells}

    def add(name, what, values):
        rows.append(f"| {name} | {what} | " + " | ".join(values) + " |")

    for method, published in PUBLISHED.items():
        ours = {v: found.get((method, v)) for v in COLOR_VARS}
        add(title(method), "published", [f"{figure:.4f}" for figure in published.values()])
        add("", "ours: mean ± std (runs)", [shown(cell) for cell in ours.values()])
        add("", "published within two std", [said(within(ours[v], published[v])) for v in COLOR_VARS])
        if method == "lntl":
            add("", RERUN_TITLE, [f"{figure:.4f}" for figure in RERUN.values()])
    return "\n".join(rows)


def goal(cells):
    """LNTL+ beside GOAL, in Markdown, and at how many variances it is reached."""
    ours = {v: next((c for c in cells if (c["method"], c["color_var"]) == ("lntl_plus", v)), None) for v in COLOR_VARS}
    reached = {v: cell is not None and cell["mean"] >= GOAL[v] for v, cell in ours.items()}
    return "\n".join(
        [
            "| σ² | " + " | ".join(map(str, COLOR_VARS)) + " |",
            "|" + "---|" * (len(COLOR_VARS) + 1),
            "| goal | " + " | ".join(f"{figure:.3f}" for figure in GOAL.values()) + " |",
            "| LNTL+ (ours): mean ± std (runs) | " + " | ".join(map(shown, ours.values())) + " |",
            "| reached | " + " | ".join(said(value) for value in reached.values()) + " |",
            "",
            f"Reached at {sum(reached.values())} of the {len(COLOR_VARS)} variances.",
        ]
    )


def shown(cell):
    """mean, or mean ± std (runs)."""
    if cell is None:
        return "not yet run"
    std = "" if cell["std"] is None else f" ± {cell['std']:.4f}"
    return f"**{cell['mean']:.4f}{std}**" + (f" ({cell['n']})" if std else "")


def sentences(cells):
    """How many published figures lie within two std, and where LNTL lies in the mean; what the runs allow."""
    told = [(c["method"], within(c, PUBLISHED[c["method"]][c["color_var"]])) for c in cells if c["method"] in PUBLISHED]
    told = [(method, value) for method, value in told if value is not None]
    parts = [f"{title(m)} {sum(v for n, v in told if n == m)} of {k}" for m in PUBLISHED if (k := count(told, m))]
    text = "No cell has two runs yet, so that nothing is said of a spread."
    if parts:
        text = (
            f"Cells with two runs or more: {len(told)}. The published figure lies within two std of ours in "
            f"{sum(v for _, v in told)} ({', '.join(parts)}); of {expected(cells):.1f} that would be expected if all "
            "were of one distribution, as mean and std of so few runs are uncertain themselves."
        )
    ours = {c["color_var"]: c for c in cells if c["method"] == "lntl"}
    if ours:
        published = PUBLISHED["lntl"]
        few = "" if len(ours) == len(published) else f"{len(ours)} of "
        text += (
            f" In the mean over {few}the {len(published)} variances LNTL lies "
            f"{side(statistics.fmean(c['mean'] - published[v] for v, c in ours.items()))} the published row, the "
            f"independent re-run {side(statistics.fmean(RERUN[v] - published[v] for v in ours))} it, and ours "
            f"{side(statistics.fmean(c['mean'] - RERUN[v] for v, c in ours.items()))} the re-run."
        )
    return text


def expected(cells):
    """How many published figures would lie within two std, were each one more run of its cell: a sum of probabilities.

    Of n runs and one more, |difference| <= 2 std where |t| <= 2 / sqrt(1 + 1/n), t of n - 1 degrees of freedom.
    """
    runs = [c["n"] for c in cells if c["method"] in PUBLISHED and c["std"] is not None]
    return sum(probability(2 / math.sqrt(1 + 1 / n), n - 1) for n in runs)


def probability(limit, dof):
    """P(|t| <= limit) of Student's t with `dof` degrees of freedom, by the trapezoidal rule on t = sqrt(dof) tan(a)."""
    end, steps = math.atan(limit / math.sqrt(dof)), 1000
    heights = [math.cos(end * i / steps) ** (dof - 1) for i in range(steps + 1)]
    area = (sum(heights) - (heights[0] + heights[-1]) / 2) * end / steps
    return 2 * area / math.sqrt(math.pi) * math.exp(math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2))


def count(told, method):
    return sum(m == method for m, _ in told)


def side(difference):
    """A difference in words: ".0123 below"."""
    return f"{abs(difference):.4f} {'below' if difference < 0 else 'above'}"


def not_run(runs):
    """The commands for what is missing, in Markdown: three runs of every cell, then the studies."""
    rows = ["| command | what it adds |", "|---|---|"]
    for method, number in RUNS.items():
        missing = {}  # {numbers of the runs: variances}
        for color_var in COLOR_VARS:
            seeds = tuple(k for k in range(1, number + 1) if cell_name(method, color_var, k) not in runs)
            missing.setdefault(seeds, []).append(color_var)
        for seeds, variances in missing.items():
            if not seeds:
                continue
            flags = "" if len(variances) == len(COLOR_VARS) else f" --color_vars {' '.join(map(str, variances))}"
            command = f"python reproduce.py --methods {method}{flags} --seeds {' '.join(map(str, seeds))}"
            runs_of = f"{len(seeds) * len(variances)} runs"
            rows.append(f"| `{command}` | {title(method)}: {runs_of}, for {number} of each cell |")
    for study, settings in STUDIES.items():
        names = [cell_name(s.method, s.color_var, s.seed, s.name) for s in settings]
        left = sum(name not in runs for name in names)
        if left:
            rows.append(f"| `python reproduce.py --studies {study}` | {left} of its {len(names)} settings |")
    return "\n".join(rows)
