"""Evaluation: accuracy, loss and confusion matrix of f and g, accuracy of h."""

import hashlib
import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn import functional as F

from dataset.batches import IGNORED
from errors import one_line
from files import write_json
from run.folder import environment, without_nan

BATCH = 500


class Evaluation(NamedTuple):
    """What came out, over all images of a data set."""

    accuracy: float  # 0..1
    correct: int
    n: int
    loss: float  # mean cross-entropy
    confusion: list  # 10 rows of 10 counts: row = true digit, column = predicted digit


@torch.no_grad()
def evaluate(f, g, data):
    """Classifies every image of `data` (dataset.batches) with the running statistics; the modes are put back."""
    was_training = f.training
    f.eval(), g.eval()
    confusion = torch.zeros(100, dtype=torch.long, device=data.label.device)
    loss = torch.zeros((), dtype=torch.float64, device=data.label.device)
    for index in torch.arange(len(data), device=data.label.device).split(BATCH):
        x, y, _ = data.batch(index)
        logits = g(f(x)).float()
        loss += F.cross_entropy(logits, y, reduction="sum")
        confusion += torch.bincount(y * 10 + logits.argmax(1), minlength=100)
    f.train(was_training), g.train(was_training)
    confusion = confusion.view(10, 10)
    correct = int(confusion.trace())
    return Evaluation(correct / len(data), correct, len(data), loss.item() / len(data), confusion.tolist())


@torch.no_grad()
def bias_accuracy(f, h, data):
    """Share of the labelled positions of `data` whose bin h predicts right, 0..1."""
    was_training = f.training
    f.eval(), h.eval()
    correct = labelled = 0
    for index in torch.arange(len(data), device=data.label.device).split(BATCH):
        x, _, b = data.batch(index)
        correct += (h(f(x)).argmax(2) == b).sum()
        labelled += (b != IGNORED).sum()
    f.train(was_training), h.train(was_training)
    return float(correct / labelled) if labelled else math.nan


def report(option, folder, f, g, data, weights, say=print, name="metrics", tests=None):
    """Evaluates f and g on every test of `data` (dataset.base.DataSet), prints the results, writes them into `folder`.

    NAME.json holds accuracy, loss, n and confusion matrix of the first test, the accuracy on the others, the options,
    the environment and the SHA-256 of the file `weights`; confusion_matrix.png is its picture.
    """
    tests = tests or data.test
    (_, first), *others = [(name, evaluate(f, g, data)) for name, data in tests.items()]
    say(f"EVALUATION LOSS : {first.loss:.4f}, ACCURACY : {first.accuracy:.4f} ({first.correct}/{first.n})")
    for name, other in others:
        say(f"{name} : {other.accuracy:.4f} ({other.correct}/{other.n})")
    metrics = first._asdict() | {name: other.accuracy for name, other in others}
    metrics["weights"] = {
        "file": Path(weights).name,
        "sha256": hashlib.sha256(Path(weights).read_bytes()).hexdigest(),
    }
    metrics["data_sha256"] = getattr(option, "data_sha256", None)
    metrics |= {"option": vars(option), "environment": environment()}
    write_json(Path(folder, f"{name}.json"), without_nan(metrics))  # first, as a picture may fail
    picture = Path(folder, "confusion_matrix.png" if name == "metrics" else f"{name}.png")
    say(f"written: {Path(folder, f'{name}.json')}")
    try:
        draw(option, data, first, picture)
    except Exception as error:  # of matplotlib, its settings, its fonts: whatever it is, a picture is no result
        say(f"WARNING: no picture {picture} ({type(error).__name__}: {one_line(error)[:200]}); nothing else is lost")
    else:
        say(f"written: {picture}")


def draw(option, data, evaluation, path):
    """Draws the confusion matrix of an evaluation."""
    from common.picture import draw_confusion  # matplotlib is slow to import

    title = f"{option.method}, {data.setting(option)}: accuracy {evaluation.accuracy:.4f}"
    draw_confusion(path, [(title, evaluation.confusion)], data.class_word, data.mean_colors, data.class_names())
