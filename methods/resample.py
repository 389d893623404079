"""Resampling: images drawn so that every pair of label and bias is equally frequent, and cross-entropy.

The plainest remedy, and a strong one: Idrissi et al., "Simple data balancing achieves competitive worst-group-accuracy"
(CLeaR 2022), as "RWG" beside "SUBG".
"""

from methods.baseline import Baseline


class Resample(Baseline):
    """The baseline on balanced draws: in what it sees, b tells nothing of y."""

    name = "resample"
    title = "Resampling"
    help = "the baseline on images drawn so that label and bias are independent"
    always = {"sampling": "balanced"}  # noqa: RUF012
