"""DFR: Kirichenko, Izmailov and Wilson, "Last Layer Re-Training is Sufficient for Robustness to Spurious Correlations"
(ICLR 2023): a trained baseline's last layer is fitted anew to validation images, as many of each group of label and
bias. Logistic regression with L1 on standardised features, the mean of twenty fits to random balanced parts.
"""

import numpy as np
import torch

from common.errors import UserError
from methods.baseline import Baseline
from methods.group_dro import group_index
from models.networks import last_linear
from run.probe import features

C, REFITS = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01), 20


def balanced(groups, rng):
    """Indices of as many random members of each group as the smallest has. groups: int (N,)."""
    members = [rng.permutation(np.flatnonzero(groups == group)) for group in np.unique(groups)]
    return np.concatenate([m[: min(map(len, members))] for m in members])


def fit(features, y, c):
    """(weight (classes, D), bias (classes,)): a logistic regression with L1 for each class against the others."""
    from sklearn.linear_model import LogisticRegression  # slow to import, needed here only

    how = {"l1_ratio": 1, "C": c, "solver": "liblinear", "random_state": 0, "max_iter": 1000}  # 100 may not be enough
    models = [LogisticRegression(**how) for _ in np.unique(y)]
    fitted = [model.fit(features, y == label) for label, model in enumerate(models)]
    return np.concatenate([m.coef_ for m in fitted]), np.concatenate([m.intercept_ for m in fitted])


def last_layer(features, y, groups, train_features, classes, seed=0):
    """(weight (classes, D), bias (classes,)), float64, for features as they are.

    features: float64 (N, D) of the validation images; y: int (N,), 0..classes-1; groups: int (N,). train_features:
    float64 (M, D), by which all is standardised; while C is chosen, by the fitted half. Raises UserError.
    """
    from sklearn.preprocessing import StandardScaler

    rng = np.random.RandomState(seed)
    rest, half = np.array_split(rng.permutation(len(y)), 2)
    half = half[balanced(groups[half], rng)]
    if len(np.unique(y[half])) < classes:
        raise UserError("half of the validation images lacks a class, so that dfr cannot choose C; give more of them")
    scaled = StandardScaler().fit(features[half]).transform(features)

    def worst_group(c):
        weight, bias = fit(scaled[half], y[half], c)
        right = (scaled[rest] @ weight.T + bias).argmax(1) == y[rest]
        return min(right[groups[rest] == group].mean() for group in np.unique(groups[rest]))

    c = max(C, key=worst_group)  # the first of equals
    scaler = StandardScaler().fit(train_features)
    scaled = scaler.transform(features)
    fits = [fit(scaled[part], y[part], c) for part in (balanced(groups, rng) for _ in range(REFITS))]
    weight, bias = (np.mean(parts, axis=0) for parts in zip(*fits, strict=True))
    return weight / scaler.scale_, bias - weight @ (scaler.mean_ / scaler.scale_)


class DFR(Baseline):
    """A trained baseline whose last layer is fitted anew: a run of one epoch without updates."""

    name = "dfr"
    title = "DFR"
    help = "the baseline with a last layer fitted anew to validation images (Kirichenko et al. 2023)"
    from_baseline = True
    always = {"max_step": 1}  # noqa: RUF012
    updates = False
    metrics = ()

    @torch.no_grad()
    def finish(self, train, held_out):
        """Fits g anew to validation images. Raises UserError where there are none."""
        if held_out is None or held_out.image_bias is None:
            raise UserError("dfr needs validation images with bias labels; give --holdout N, or a set that has some")
        groups = group_index(held_out.label, held_out.image_bias, self.h.num_values).cpu().numpy()
        given, of_train = (features(self.f, part).astype("float64") for part in (held_out, train))
        _, linear = last_linear(self.g)
        if linear.in_features != given.shape[1]:
            raise UserError("dfr fits the last layer alone, so that f is all before it; give --split_at last")
        y, classes = held_out.label.cpu().numpy(), linear.out_features
        layer = last_layer(given, y, groups, of_train, classes, self.option.random_seed)
        for parameter, value in zip((linear.weight, linear.bias), layer, strict=True):
            parameter.copy_(torch.from_numpy(value))
