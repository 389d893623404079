"""Evaluation: accuracy, loss, confusion matrix and groups of f and g, accuracy of h."""

import contextlib
import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn import functional as F

from common.errors import one_line
from common.files import write_json
from dataset.batches import IGNORE_INDEX
from models.shipped import sha256_of
from run import groups
from run.folder import environment, without_nan

BATCH = 500  # images of up to 96 pixels, and fewer of larger ones: f's maps are what takes the memory
SMALL = 96


class Evaluation(NamedTuple):
    """What came out, over all images of a data set."""

    accuracy: float  # 0..1
    correct: int
    n: int
    loss: float  # mean cross-entropy
    confusion: list  # K rows of K counts: row = true class, column = predicted class
    predicted: torch.Tensor  # int64 (N,), on the CPU
    probability: torch.Tensor  # float32 (N,): of the predicted class, by the softmax of g


def batches(data):
    """(x, y, b) of all images of a part in order, as they are, without augmentation."""
    size = max(SMALL, getattr(data, "size", 0))
    everything = torch.arange(len(data), device=data.label.device)
    for handle in data.stream(list(everything.split(max(1, BATCH * SMALL**2 // size**2)))):
        yield data.batch(handle)


@contextlib.contextmanager
def running_statistics(*networks):
    """Inside, BatchNorm has its running statistics, and there are no gradients; the modes are put back."""
    modes = [network.training for network in networks]
    for network in networks:
        network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for network, mode in zip(networks, modes, strict=True):
            network.train(mode)


def evaluate(f, g, data):
    """Classifies every image of a part (dataset/batches.py). f, g: in any mode, which stays as it is."""
    loss = torch.zeros((), dtype=torch.float64, device=data.label.device)
    predicted, probability, classes = [], [], 0
    with running_statistics(f, g):
        for x, y, _ in batches(data):
            logits = g(f(x)).float()
            loss += F.cross_entropy(logits, y, reduction="sum")
            share, label = logits.softmax(1).max(1)
            predicted.append(label)
            probability.append(share)
            classes = logits.shape[1]
    predicted, probability = torch.cat(predicted), torch.cat(probability)
    confusion = torch.bincount(data.label * classes + predicted, minlength=classes**2).view(classes, classes)
    correct, n = int(confusion.trace()), len(data)
    loss = loss.item() / n
    return Evaluation(correct / n, correct, n, loss, confusion.tolist(), predicted.cpu(), probability.cpu())


def bias_accuracy(f, h, data):
    """Share of the bias labels of a part that h predicts right, 0..1; NaN where there are none."""
    correct = labelled = 0
    with running_statistics(f, h):
        for x, _, b in batches(data):
            correct += (h(f(x)).argmax(2) == b).sum()
            labelled += (b != IGNORE_INDEX).sum()
    return float(correct / labelled) if labelled else math.nan


def majority_baseline(bias):
    """The accuracy of h, 0..1, did it always name the most frequent value of each bias; NaN where there are no labels.

    bias: labels of images, int64 (N, heads).
    """
    counts = [torch.bincount(head[head != IGNORE_INDEX]) for head in bias.T]
    labelled = sum(int(count.sum()) for count in counts)
    return sum(int(count.max()) for count in counts if len(count)) / labelled if labelled else math.nan


def group_figures_of(evaluation, tested, train, data):
    """The figures by group (run/groups.py) of an evaluation of the part `tested`. train: the part it was trained on."""
    if tested.image_bias is None:
        return dict(groups.NONE)
    label, bias = tested.label.cpu().numpy(), tested.image_bias.cpu().numpy()
    seen = train.label.cpu().numpy(), train.image_bias.cpu().numpy()
    return groups.group_figures(label, bias, evaluation.predicted.numpy() == label, seen, data.classes, data.values)


def report(option, folder, evaluated, data, weights, say=print, name="metrics", more=None):
    """Prints an evaluation on tests of `data` (dataset.base.DataSet), and writes it into `folder`, NAME.json.

    evaluated: {title: (part, its Evaluation)}; of the first all is kept, of the others the accuracy. weights: the file
    that was evaluated. more: {name: value} of what else is kept, such as the probe's. Pictures lie beside it.
    """
    (images, first), *_ = evaluated.values()
    others = [(title, other) for title, (_, other) in evaluated.items()][1:]
    by_group = group_figures_of(first, images, data.train, data)
    metrics = {k: v for k, v in first._asdict().items() if k not in ("predicted", "probability")}
    metrics |= {title: other.accuracy for title, other in others} | by_group | (more or {}) | data.names()
    metrics["weights"] = {"file": Path(weights).name, "sha256": sha256_of(weights)}
    metrics |= {"option": option.record(), "environment": environment()}
    lines = [f"EVALUATION LOSS : {first.loss:.4f}, ACCURACY : {first.accuracy:.4f} ({first.correct}/{first.n})"]
    lines += [f"{title} : {other.accuracy:.4f} ({other.correct}/{other.n})" for title, other in others]
    lines += groups.lines(by_group)
    if metrics.get("probe_bias_accuracy") is not None:
        lines.append(
            f"probe_bias_accuracy : {metrics['probe_bias_accuracy']:.4f} (a new classifier of the bias on f's "
            f"features; chance {metrics['probe_chance']:.4f})"
        )
    if selected := metrics.get("selected"):
        figures = ", ".join(f"{key} {value:.4f}" for key, value in selected.items() if key.startswith("test_"))
        lines.append(f"epoch {selected['epoch']}, picked on validation images by {selected['rule']} : {figures}")
    write_json(Path(folder, f"{name}.json"), without_nan(metrics))  # first: no line and no picture costs a result
    for line in (*lines, f"written: {Path(folder, f'{name}.json')}"):
        say(line)
    picture = "confusion_matrix.png" if name == "metrics" else f"{name}.png"
    title = f"{option.method}, {data.setting(option)}: accuracy {metrics['accuracy']:.4f}"
    matrices = [(title, metrics["confusion"])]
    try:
        from common.picture import draw_confusion  # matplotlib is slow to import

        draw_confusion(Path(folder, picture), matrices, data.class_word, data.mean_colors, data.class_names())
    except Exception as error:  # of matplotlib, its settings, its fonts: whatever it is, a picture is no result
        say(f"WARNING: no picture {picture} ({type(error).__name__}: {one_line(error)[:200]}); nothing else is lost")
