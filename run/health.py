"""Numerical health: what is wrong with a finished epoch, seen from its record."""

import math

CLOSE = 0.1  # of the label accuracy, to 1 / K, that of a guess among K classes
ADVICE = "a smaller --lr may help: docs/RELIABILITY.md"
ADVICE_H = "a smaller --mu, or of blindeye --alpha, may help: docs/RELIABILITY.md"


def warnings(record, earlier, h, classes=10):
    """{kind: line} of everything that is wrong with the epoch that has just ended; of the first, which may be slow, {}.

    record: the epoch's. earlier: the records before it. h: the network. classes: their number.
    """
    if not earlier:
        return {}
    found, accuracy = {}, record.get("accuracy")  # None in a method of one's own that measures something else
    if accuracy is not None and accuracy < 1 / classes + CLOSE:
        what = f"training collapsed: label accuracy {accuracy:.4f} on the training images, near chance"
        found["collapsed"] = f"{what} ({ADVICE})"
    chance = sum(map(math.log, h.num_values)) / len(h.num_values)  # the loss of a guess among the values of a bias
    if (loss := record.get("bias_loss") or 0.0) > chance:
        found["h"] = f"h does not keep up: its loss {loss:.4f} is above that of a guess, {chance:.4f} ({ADVICE_H})"
    return {kind: f"epoch {record['epoch']}: {line}" for kind, line in found.items()}
