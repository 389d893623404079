"""The probe: is the bias gone from f, or is h weak? A fresh linear classifier of b on f's frozen features tells."""

import numpy as np
import torch

from dataset.batches import IGNORE_INDEX
from run.evaluate import batches, running_statistics
from run.groups import group_sizes

MOST = 5000  # training images that it learns from, and test images that it is asked about


def probe(f, train, test, seed=0):
    """{"probe_bias_accuracy": ..., "probe_chance": ...}, of the first bias; {} where images have no labels of it.

    Logistic regression on the features of the training images, standardised and averaged over positions. In training
    and test, each image weighs 1 / n(label, bias), so that b tells nothing of y and a classifier that reads y alone is
    at chance, 1 / (number of values in the test).
    """
    if train.image_bias is None or test.image_bias is None:
        return {}
    from sklearn.linear_model import LogisticRegression  # slow to import, needed at the end alone
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(seed)
    parts = []
    for part in (train, test):
        bias = part.image_bias[:, 0].cpu().numpy()
        known = np.flatnonzero(bias != IGNORE_INDEX)
        chosen = np.sort(rng.permutation(known)[:MOST])
        if not len(chosen):
            return {}
        weight = 1 / group_sizes(part.label.cpu().numpy()[chosen], bias[chosen])
        chosen_part = part.subset(torch.from_numpy(chosen))
        parts.append((features(f, chosen_part), bias[chosen], weight * len(weight) / weight.sum()))
    (x, b, weight), (x_test, b_test, weight_test) = parts
    if len(np.unique(b)) < 2 or len(np.unique(b_test)) < 2:
        return {}
    scaler = StandardScaler().fit(x)
    classifier = LogisticRegression(max_iter=5000).fit(scaler.transform(x), b, sample_weight=weight)
    right = classifier.predict(scaler.transform(x_test)) == b_test
    accuracy = float(np.average(right, weights=weight_test))
    return {"probe_bias_accuracy": accuracy, "probe_chance": 1 / len(np.unique(b_test))}


def features(f, data):
    """f's features of all images of a part, averaged over positions, float32 (N, C), a NumPy array."""
    with running_statistics(f):
        return torch.cat([f(x).float().flatten(2).mean(2).cpu() for x, _, _ in batches(data)]).numpy()
