"""Accuracy by group, where every image has bias labels of its own: which groups a classifier fails on.

A group is a label together with a value of every bias. It is *aligned* where that value is the one that most training
images of the label have, else *conflicting*: on conflicting images, reading the bias instead of the label is wrong.
Where a label has no such value, as two are equally frequent, aligned and conflicting are not defined.
"""

import numpy as np

from common.errors import one_line
from dataset.batches import IGNORE_INDEX

FIGURES = ("mean_group_accuracy", "worst_group_accuracy", "aligned_accuracy", "conflicting_accuracy")
NONE = {"groups": [], "worst_group": None} | dict.fromkeys(FIGURES)  # where there are no groups


def group_figures(label, bias, correct, train, classes, values):
    """What metrics.json has of the groups (a dictionary as NONE), of images that have a value of every bias.

    label: int64 (N,); bias: int64 (N, heads); correct: bool (N,). train: (label, bias) of the training images.
    classes, values: the names. NumPy arrays.
    groups: a list of {"y", "b", "n", "accuracy"}; b is a name, or a list of names of several biases.
    mean_group_accuracy: the mean over the groups that have images. worst_group: "y / b", the first of the lowest.
    """
    known = (bias != IGNORE_INDEX).all(1)
    if not known.any():
        return dict(NONE)
    label, bias, correct = label[known], bias[known], correct[known]
    found, member = np.unique(np.column_stack([label, bias]), axis=0, return_inverse=True)
    member = member.ravel()
    n = np.bincount(member)
    accuracy = np.bincount(member, correct) / n
    groups = []
    for (y, *b), count, share in zip(found.tolist(), n.tolist(), accuracy.tolist(), strict=True):
        named = [values[head][value] for head, value in enumerate(b)]
        groups.append({"y": classes[y], "b": named[0] if len(named) == 1 else named, "n": count, "accuracy": share})
    worst = int(accuracy.argmin())
    aligned = is_aligned(label, bias, *train)
    figures = NONE | {"groups": groups, "worst_group": group_name(groups[worst])}
    figures |= {"mean_group_accuracy": float(accuracy.mean()), "worst_group_accuracy": float(accuracy[worst])}
    for name, side in (("aligned", aligned), ("conflicting", None if aligned is None else ~aligned)):
        if side is not None and side.any():
            figures[f"{name}_accuracy"] = float(correct[side].mean())
    return figures


def group_sizes(label, bias):
    """How many images are in the group of each, int64 (N,). label: int64 (N,); bias: int64 (N, heads)."""
    _, member, n = np.unique(np.column_stack([label, bias]), axis=0, return_inverse=True, return_counts=True)
    return n[member.ravel()]


def is_aligned(label, bias, train_label, train_bias):
    """bool (N,): whether an image's biases are those that most training images of its label have together.

    None where two are equally frequent for one of the labels.
    """
    found, counts = np.unique(np.column_stack([train_label, train_bias]), axis=0, return_counts=True)
    most = {}
    for y in np.unique(label):
        mine = np.flatnonzero(found[:, 0] == y)
        top = mine[counts[mine] == counts[mine].max(initial=0)]
        if len(top) != 1:
            return None
        most[y] = found[top[0], 1:]
    return np.array([(most[y] == b).all() for y, b in zip(label, bias, strict=True)], bool)


def group_name(group):
    """A group in words: "y / b"."""
    b = group["b"] if isinstance(group["b"], str) else " / ".join(group["b"])
    return f"{group['y']} / {b}"


def lines(figures, most=24):
    """The figures as lines for a terminal: every group, or the worst of many, and the averages."""
    groups = sorted(figures["groups"], key=lambda g: g["accuracy"])
    shown = figures["groups"] if len(groups) <= most else groups[: most // 2]
    if not groups:
        return []
    names = [one_line(group_name(g)) for g in shown]
    wide = max(map(len, names))
    title = "accuracy by group (label / bias)"
    title += f", the worst {len(shown)} of {len(groups)}" if len(shown) < len(groups) else ""
    rows = zip(names, shown, strict=True)
    said = [title, *(f"  {name:{wide}}  n {g['n']:6}  {g['accuracy']:.4f}" for name, g in rows)]
    said += [f"{name} : {figures[name]:.4f}" for name in FIGURES if figures[name] is not None]
    return said
