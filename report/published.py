"""What others have published, as data, and what the accuracy of a finished run is compared with. Needs no pandas."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COLOR_VARS = (0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05)  # the paper's σ²
STRONG = (0.005, 0.01, 0.015)  # the strong-bias region, which Li et al. 2023 added
RHOS = (0.999, 0.997, 0.995, 0.99)  # of Biased-MNIST


def row(*figures, at=COLOR_VARS):
    return dict(zip(at, figures, strict=True))


PUBLISHED = {  # official README, one number each; they replace Fig. 4 of the paper
    "baseline": row(0.4055, 0.4813, 0.5996, 0.6626, 0.7333, 0.7973, 0.8450),
    "blindeye": row(0.6741, 0.7123, 0.7883, 0.8203, 0.8638, 0.8927, 0.9159),
    "gray": row(0.8374, 0.8751, 0.8996, 0.9166, 0.9325, 0.9472, 0.9596),
    "lntl": row(0.8185, 0.8854, 0.9137, 0.9306, 0.9406, 0.9555, 0.9618),
}
MARKS = {  # all run by Li et al. 2023 (SABAF, arXiv 2311.07141); read from the figure of their repository, ± .01
    "Baseline": row(0.32, 0.43, 0.53, at=STRONG),
    "LNL": row(0.30, 0.48, 0.70, at=STRONG) | row(0.77, 0.79, 0.88, 0.89, 0.92, 0.935, 0.945),
    "Back-MI": row(0.34, 0.57, 0.66, at=STRONG),
    "CSAD": row(0.65, 0.81, 0.86, at=STRONG),
    "SABAF": row(0.53, 0.82, 0.86, at=STRONG),
}
RERUNS = {  # of LNTL, independent of us
    # the official code on the released files, its reversal annealed as 2/(1 + e^-epoch) - 1
    "re-run by others (SZU no. 156)": row(0.8393, 0.8956, 0.9197, 0.9324, 0.9388, 0.9469, 0.9512),
    "re-run by others (Li et al. 2023, ± .01)": {v: MARKS["LNL"][v] for v in COLOR_VARS},
}
LNL = "LNL, Hong & Yang 2021"
BIASED_MNIST = {  # unbiased accuracy of SimpleConvNet at RHOS
    "Vanilla, Bahng et al. 2020": (".104", ".334", ".721", ".891"),
    "Vanilla, Hong & Yang 2021": (".118 ± .007", ".625 ± .029", ".795 ± .001", ".908 ± .003"),
    LNL: (".182 ± .012", ".572 ± .022", ".725 ± .009", ".860 ± .002"),
    "ReBias, Bahng et al. 2020": (".227", ".642", ".760", ".881"),
    "EnD, Tartaglione et al. 2021": (".523 ± .024", ".837 ± .010", ".939 ± .004", ".960 ± .001"),
    "BiasBal, Hong & Yang 2021": (".768 ± .016", ".912 ± .002", ".939 ± .001", ".963 ± .002"),
    "FairKL, Barbano et al. 2023": (".896 ± .014", ".941 ± .001", ".970 ± .001", ".979 ± .001"),
    "BiasCon+BiasBal, Hong & Yang 2021": (".940", ".973", ".977", ".981"),
}


def compare_lines(option):
    """What to compare a finished run with, a list of at most one line. option: of the run."""
    if option.dataset != "colored_mnist" or option.data_dir is not None:
        return ["compare with: docs/BIASED_MNIST.md"] if option.dataset == "biased_mnist" else []
    published = PUBLISHED.get(option.method, {}).get(option.color_var)
    return [f"compare with: {f'published {published:.4f}, ours in ' if published else ''}results/table.md"]
