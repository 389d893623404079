"""Evaluation: accuracy, loss and confusion matrix of f and g, accuracy of h."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn import functional as F

from dataset.batches import IGNORED
from dataset.released import OWN
from files import write_json
from run_folder import environment

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
    return (correct / labelled).item()


def report(option, folder, f, g, tests, weights, say=print):
    """Evaluates f and g on every data set of `tests`, prints the results, and writes them into `folder`.

    metrics.json holds accuracy, loss, n and confusion matrix of the first data set, the accuracy on the others, the
    options, the environment and the SHA-256 of the file `weights`; confusion_matrix.png is its picture.
    """
    from figures import draw_confusion  # matplotlib is slow to import

    (_, first), *others = [(name, evaluate(f, g, data)) for name, data in tests.items()]
    say(f"EVALUATION LOSS : {first.loss:.4f}, ACCURACY : {first.accuracy:.4f} ({first.correct}/{first.n})")
    for name, other in others:
        say(f"{name} : {other.accuracy:.4f} ({other.correct}/{other.n})")
    metrics = first._asdict() | {name: other.accuracy for name, other in others}
    metrics["weights"] = {
        "file": Path(weights).name,
        "sha256": hashlib.sha256(Path(weights).read_bytes()).hexdigest(),
    }
    metrics |= {"option": vars(option), "environment": environment()}
    own = option.color_var == OWN
    title = option.method if own else f"{option.method}, $\\sigma^2$ = {option.color_var}"
    matrix = (f"{title}: accuracy {first.accuracy:.4f}", first.confusion)
    draw_confusion(Path(folder, "confusion_matrix.png"), [matrix], of="class" if own else "digit")
    # Last, as a run with metrics.json counts as finished.
    write_json(Path(folder, "metrics.json"), metrics)
    say(f"written: {Path(folder, 'metrics.json')}, {Path(folder, 'confusion_matrix.png')}")
