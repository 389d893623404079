"""Computes the tables of the data card.

python -m dataset.statistics             # prints them
python -m dataset.statistics --write     # puts them into dataset/README.md
"""

from math import erf, sqrt
from pathlib import Path

import numpy as np

from common import Parser
from common.errors import UserError, exits
from common.files import replacing
from dataset.colored_mnist import COLOR_VARS, MEAN_COLORS, build, sha256
from dataset.mnist import load_mnist

CARD = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- begin of what `python -m dataset.statistics --write` fills -->\n", "<!-- end of it -->\n"


def table(header, rows):
    """Lines of a Markdown table, its first column left-aligned and the others right-aligned."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def counts(data):
    """Images per digit, and the share of their pixels that are foreground. The same at every variance."""
    rows = []
    for digit in [*range(10), None]:
        row = ["all" if digit is None else digit]
        for split in (data.train, data.test):
            mask = split.mask if digit is None else split.mask[split.label == digit]
            row += [f"{len(mask):,}", f"{mask.mean():.4f}"]
        rows.append(row)
    return table(["digit", "train images", "foreground", "test images", "foreground"], rows)


def colors(datasets, measure):
    """`measure` (np.mean or np.std) of R, G and B over the training images of each digit."""
    rows = []
    for digit, mean in enumerate(MEAN_COLORS):
        values = [measure(data.train.color[data.train.label == digit].astype(float), 0) for data in datasets]
        cells = [" ".join(f"{v:.0f}" for v in rgb) for rgb in values]
        rows.append([f"{digit}: {' '.join(map(str, mean))}", *cells])
    return table(["digit: R G B of its mean colour", *COLOR_VARS], rows)


def outside(color_var, labels):
    """Probability that a channel's first draw for the digits in `labels` lies outside (0, 1)."""

    def below(x):
        return (1 + erf(x / sqrt(2 * color_var))) / 2

    centers = MEAN_COLORS / 255.0
    inside = np.vectorize(lambda center: below(1 - center) - below(-center))(centers)
    return 1 - inside[labels].mean()


def nearest(split):
    """Share of the images whose colour is nearest (Euclidean) to the mean colour of their own digit."""
    distance = ((split.color[:, None].astype(float) - MEAN_COLORS) ** 2).sum(2)
    return (distance.argmin(1) == split.label).mean()


def ignored(split):
    """Share of the (3, 14, 14) bias labels that are ignored, and of those on the foreground that are."""
    on_grid = split.mask[:, 1::2, 1::2].mean(axis=(1, 2))  # (N,)
    labelled = on_grid[:, None] * (split.color > 0)
    return 1 - labelled.mean(), 1 - labelled.mean() / on_grid.mean()


def per_variance(datasets):
    """What changes with the variance, one row each."""
    rows = []
    for color_var, data in zip(COLOR_VARS, datasets, strict=True):
        everywhere, on_foreground = ignored(data.train)
        row = [color_var, f"{255 * sqrt(color_var):.1f}"]
        shares = (
            outside(color_var, data.train.label),
            nearest(data.train),
            nearest(data.test),
            everywhere,
            ignored(data.test)[0],
            on_foreground,
        )
        rows.append(row + [f"{share:.4f}" for share in shares])
    header = ["σ²", "sd in grey levels", "drawn again", "own colour nearest, train", "test"]
    header += ["bias labels ignored, train", "test", "ignored on the foreground, train"]
    return table(header, rows)


def tables():
    """All tables as Markdown, from data built with the default seed."""
    mnist = load_mnist()
    datasets = [build(color_var, mnist=mnist) for color_var in COLOR_VARS]
    hashes = [[color_var, f"`{sha256(data)}`"] for color_var, data in zip(COLOR_VARS, datasets, strict=True)]
    return "\n".join(
        (
            "**Images and foreground pixels**, the same at every variance:\n",
            counts(datasets[0]),
            "**Per variance**:\n",
            per_variance(datasets),
            "**Mean** of R G B over the training images of a digit, by σ²:\n",
            colors(datasets, np.mean),
            "**Standard deviation** of R G B over the same images:\n",
            colors(datasets, np.std),
            "**SHA-256** of the data built with `data_seed` 0 (`sha256()` in `colored_mnist.py`):\n",
            table(["σ²", "SHA-256"], hashes),
        )
    )


@exits
def main(arguments=None):
    parser = Parser(prog="-m dataset.statistics", description="The tables of the data card.")
    parser.add_argument("--write", action="store_true", help=f"put them into {CARD.name} beside this file")
    is_to_write = parser.parse_args(arguments).write
    text = tables()
    if not is_to_write:
        print(text)
        return
    card = CARD.read_text("utf-8")
    if card.count(BEGIN) != 1 or card.count(END) != 1:
        raise UserError(f"{CARD} lacks the two marker lines; restore it with `git checkout`")
    with replacing(CARD) as temporary:
        temporary.write_text(card.split(BEGIN)[0] + BEGIN + "\n" + text + "\n" + END + card.split(END)[1], "utf-8")
    print(f"written: {CARD}")


if __name__ == "__main__":
    main()
