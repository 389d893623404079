"""Numerical health: what is wrong with a finished epoch, seen from its record."""

import math

CLOSE = 0.1  # of the label accuracy, to 1 / K, that of a guess among K classes
ADVICE = "a smaller --lr may help: docs/RELIABILITY.md"


def warnings(record, earlier, h, classes=10):
    """{kind: line} of everything that is wrong with the epoch that has just ended.

    record: the epoch's. earlier: the records before it. h: the network. classes: their number.
    """
    found, accuracy = {}, record.get("accuracy")  # None in a method of one's own that measures something else
    if accuracy is not None and earlier and accuracy < 1 / classes + CLOSE:
        found["collapsed"] = f"training collapsed: label accuracy {accuracy:.4f} on the training images, near chance"
    chance = sum(map(math.log, h.num_values)) / len(h.num_values)  # the loss of a guess among the values of a bias
    if (loss := record.get("bias_loss") or 0.0) > chance:
        found["h"] = f"h does not keep up: its loss {loss:.4f} is above that of a guess, {chance:.4f}"
    return {kind: f"epoch {record['epoch']}: {line} ({ADVICE})" for kind, line in found.items()}
