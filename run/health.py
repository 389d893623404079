"""Numerical health: what is wrong with a finished epoch, seen from its record and the last gradients.

Nothing here costs anything within an epoch.
"""

import math

import torch

from run.evaluate import evaluate

CLOSE = 0.1  # of the label accuracy, to 1 / K, that of a guess among K classes
SOME = 1000  # training images on which the start is measured
FALL = 0.1  # of the label accuracy, below that of the best epoch
VANISHED, EXPLODED = 1e-7, 1e3  # norms of a network's gradient


def warnings(record, earlier, method, classes=10):
    """{kind: line} of everything that is wrong with the epoch that has just ended.

    record: the epoch's. earlier: the records before it. method: of trainer.py; its gradients are those of the last
    iteration. There are none right after a resume. classes: their number.
    """
    chance = 1 / classes + CLOSE
    before = [method.start_accuracy, *(r.get("accuracy") for r in earlier)]
    accuracy, best = record.get("accuracy"), max((a for a in before if a is not None), default=0.0)
    found = {}
    if accuracy is None:  # a method of one's own that measures something else
        pass
    elif accuracy < chance and (earlier or best >= chance):
        found["collapsed"] = f"training collapsed: label accuracy {accuracy:.4f} on the training images, near chance"
    elif accuracy < best - FALL:
        found["collapsing"] = f"label accuracy {accuracy:.4f} on the training images, after {best:.4f}"
    if (loss := record.get("bias_loss") or 0.0) > (chance := chance_loss(method.h)):
        found["h"] = f"h does not keep up: its loss {loss:.4f} is above that of a guess, {chance:.4f}"
    for name, norm in gradient_norms(method).items():
        if not VANISHED < norm < EXPLODED:
            found[f"gradient of {name}"] = f"the gradient of {name} has norm {norm:.2g}"
    return {kind: f"epoch {record['epoch']}: {line} ({advice(method)})" for kind, line in found.items()}


def advice(method):
    """What may help a method whose training goes wrong."""
    own = [f"--{name}" for name in ("mu", "lambda_", "alpha") if name in {flag.name for flag in method.flags}]
    return f"a smaller {' or '.join(['--lr', *own])} may help: docs/RELIABILITY.md"


def chance_loss(h):
    """The loss of h where it gives every value of a bias the same probability: log K, the mean over its heads."""
    return sum(map(math.log, h.num_values)) / len(h.num_values)


def measure_start(method, train):
    """The label accuracy on SOME of the training images of the weights that a run starts from.

    It is kept as `method.start_accuracy`: what the first epochs are compared with.
    """
    some = torch.linspace(0, len(train) - 1, min(len(train), SOME), dtype=torch.float64).long().unique()
    method.start_accuracy = evaluate(method.f, method.g, train.subset(some)).accuracy
    return method.start_accuracy


def gradient_norms(method):
    """{"f": Euclidean norm, "h": norm} of the gradients that the last iteration left, where there are any.

    An exact zero of f is left out: an update that does not reach f leaves it (a dead f shows in the label accuracy).
    """
    norms = {}
    for name in ("f", "h"):
        gradients = [p.grad for p in method.networks()[name].parameters() if p.grad is not None]
        if gradients:
            norms[name] = torch.nn.utils.get_total_norm(gradients).item()
    if not norms.get("f"):
        norms.pop("f", None)
    return norms
