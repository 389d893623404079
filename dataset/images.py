"""A look at images of one's own: is there a bias, which groups are there, which files are missing or broken?

    python -m dataset.images DIR                                    # DIR/metadata.csv, or DIR/train/CLASS/BIAS/...
    python -m dataset.images DIR --target Blond_Hair --bias Male    # columns of another name

Nothing is changed. The text is also the head of a training run (`overview`).
"""

import dataclasses
import os
import sys
import unicodedata

import numpy as np
from PIL import Image

from common import Parser, given, location, number, seed
from common.errors import UserError, exits, one_line
from dataset.batches import IGNORE_INDEX
from dataset.folder_trees import SPLITS
from dataset.pictures import BLACK, color, each_picture, rgb
from dataset.tables import read_table

NAMED = 10  # files that are named of each kind of trouble
WIDEST = 12  # columns of a table of counts; a bias with more values is listed value by value
SHEET = "training images by group"  # title of the sheet of samples
PER_GROUP, MOST_GROUPS = 8, 24  # of the sheet of samples


def overview(table):
    """What a table holds, as text: sizes, columns, counts y by b in each split, how well b tells y, empty groups."""
    sizes = ", ".join(f"{len(table.where(s))} {name}" for s, name in enumerate(SPLITS))
    lines = [f"{one_line(table.source)}: {sizes} images, {len(table.classes)} classes"]
    lines += [f"  {one_line(note)}" for note in table.notes]
    train = table.where(0)
    most = np.bincount(table.label[train]).max() / len(train)
    if not table.biases:
        lines += ["", *counts(table, None)]
        why = "the bias labels are the colours of the pixels" if table.colour else "no bias column or folder"
        lines += ["", f"{why}: there are no groups. The most frequent class has {most:.4f} of the training images"]
        return "\n".join(lines)
    for head, name in enumerate(table.biases):
        lines += ["", *counts(table, head), *empty(table, head)]
        tells = best_guess(table.label[train], table.bias[train, head])
        lines.append(f"in training, {one_line(name)} alone tells {tells:.4f} of the labels, the most frequent class")
        lines.append(f"is {most:.4f} of them: {verdict(tells, most)}")
    if len(table.biases) > 1:
        together = best_guess(table.label[train], table.bias[train])
        lines.append(f"all biases together: {together:.4f}")
    return "\n".join(lines)


def best_guess(label, bias):
    """The accuracy of the best guess of the label by the bias alone. label: (N,); bias: (N,) or (N, heads)."""
    _, group = np.unique(bias, axis=0, return_inverse=True)
    table = np.zeros((group.max() + 1, label.max() + 1), np.int64)
    np.add.at(table, (group.ravel(), label), 1)
    return table.max(axis=1).sum() / len(label)


def verdict(tells, most):
    """Whether there is a bias, in words."""
    if tells - most < 0.005:
        return "it says next to nothing of the label, there is hardly a bias to unlearn"
    return f"a bias, {100 * (tells - most):.1f} points above chance"


def counts(table, head):
    """Lines of the images of each class, by the values of a bias (head, or None) and in each split."""
    classes = [one_line(name) for name in table.classes]
    lines = []
    for split, name in enumerate(SPLITS):
        mine = table.where(split)
        if not len(mine):
            continue
        label = table.label[mine]
        total = np.bincount(label, minlength=len(classes))
        if head is None:
            rows = [[c, str(n)] for c, n in zip(classes, total, strict=True)]
            lines += [name, *columns([["class", "images"], *rows])]
            continue
        values = [one_line(v) for v in table.values[head]]
        bias = table.bias[mine, head]
        each = np.zeros((len(classes), len(values)), np.int64)
        np.add.at(each, (label[bias != IGNORE_INDEX], bias[bias != IGNORE_INDEX]), 1)
        title = f"{name}, class by {one_line(table.biases[head])}"
        if len(values) <= WIDEST:
            rows = [[c, *map(str, row), str(n)] for c, row, n in zip(classes, each, total, strict=True)]
            lines += [title, *columns([["", *values, "all"], *rows])]
        else:
            rows = [[classes[y], values[b], str(each[y, b])] for y, b in np.argwhere(each)]
            lines += [title, *columns([["", "", "images"], *rows])]
    return lines


def empty(table, head):
    """Lines that name the groups without a training image."""
    train = table.where(0)
    seen = set(zip(table.label[train].tolist(), table.bias[train, head].tolist(), strict=True))
    lacking = [
        f"{one_line(c)} / {one_line(v)}"
        for y, c in enumerate(table.classes)
        for b, v in enumerate(table.values[head])
        if (y, b) not in seen
    ]
    return [f"groups without a training image: {some(lacking)}"] if lacking else []


def width(text):
    """The number of columns that a text takes in a terminal."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def columns(rows):
    """Rows of texts as lines with aligned columns, the first to the left, the others to the right."""
    wide = [max(map(width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first + " " * (wide[0] - width(first))]
        cells += [" " * (w - width(text)) + text for text, w in zip(others, wide[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def some(names):
    """The first of some names, and how many more there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def troubles(table, bad=None, alike=()):
    """Lines of what is wrong with the files: missing, unreadable, listed twice, of the same content.

    bad: {position: reason} of `each_picture`, or None where nothing was decoded; alike: pairs of positions.
    """
    missing = np.flatnonzero(table.missing).tolist()
    unreadable = [position for position in bad or {} if not table.missing[position]]
    found = (
        ("images that are missing", [table.place(i) for i in missing]),
        ("images that cannot be read", [reason(table, i, bad[i]) for i in unreadable]),
        ("images that are listed twice", [pair(table, *p) for p in table.doubled]),
        ("images with the bytes of another", [pair(table, *p) for p in alike]),
    )
    lines = []
    for what, names in found:
        if names:
            lines += [f"{what}: {len(names)}", *(f"  {one_line(name)}" for name in names[:NAMED])]
            lines += [f"  and {len(names) - NAMED} more"] if len(names) > NAMED else []
    return lines


def reason(table, position, said):
    """Where an unreadable image stands, and why it cannot be read."""
    why = said.partition("cannot be read")[2].lstrip(": ").rpartition(";")[0]
    return f"{table.place(position)} {why}"


def pair(table, position, first):
    """Two images that are one, with what is said of them differently."""
    differ = []
    if table.split[position] != table.split[first]:
        differ.append(f"{SPLITS[table.split[position]]} and {SPLITS[table.split[first]]}")
    if table.label[position] != table.label[first]:
        differ.append(f"{table.classes[table.label[position]]} and {table.classes[table.label[first]]}")
    note = f" ({'; '.join(differ)})" if differ else ""
    return f"{table.place(position)} = {table.place(first)}{note}"


def same_bytes(table, positions=None):
    """Pairs of positions of files with the same bytes, by their checksums and sizes, of a table that was read.

    A file that is listed twice is no such pair. positions: of the images to compare [all].
    """
    first, alike, known = {}, [], {i for i, _ in table.doubled}
    for position in range(len(table)) if positions is None else positions:
        if position not in known:
            key = (table.content[position], os.path.getsize(table.paths[position]))
            if (other := first.setdefault(key, position)) != position:
                alike.append((position, other))
    return alike


def examine(table, size, samples=(), background=BLACK):
    """Decodes every image: ({position: reason} of those unreadable, pairs of the same bytes, {sample: uint8 image})."""
    kept, wanted, content = {}, set(samples), np.zeros(len(table), np.uint32)

    def look(position, image):
        if position in wanted:
            kept[position] = image

    bad = each_picture(table.paths, size, look, background, content=content)
    good = np.setdiff1d(np.arange(len(table)), list(bad))
    read = dataclasses.replace(table, content=content)
    return bad, same_bytes(read, good.tolist()), kept


def sample_groups(table):
    """The images of a sheet: list of (name of the group, positions of the first 8), training images, largest first."""
    train = table.where(0)
    keys = np.column_stack([table.label[train], table.bias[train]])
    groups, member, sizes = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    largest = np.sort(np.argsort(-sizes, kind="stable")[:MOST_GROUPS])
    rows = []
    for group in largest:
        label, *bias = groups[group]
        values = [f"{n} {v[b]}" for n, v, b in zip(table.biases, table.values, bias, strict=True)]
        title = "\n".join(one_line(text)[:20] for text in (table.classes[label], *values, f"n = {sizes[group]}"))
        rows.append((title, train[member.ravel() == group][:PER_GROUP].tolist()))
    return rows


def is_sheet(path):
    """Whether a file is a sheet of samples that was drawn here."""
    try:
        with Image.open(path) as image:
            return image.info.get("Title") == SHEET
    except Exception:  # whatever a file that is no image does to a decoder
        return False


@exits
def main(arguments=None):
    """Looks at a folder of images of your own: counts by class and bias, broken files, a sheet of samples."""
    parser = Parser(prog="-m dataset.images", description=main.__doc__)
    parser.add_argument("dir", type=location, metavar="DIR", help="folder with a metadata.csv, or train, val, test")
    parser.add_argument("--target", type=given, metavar="COLUMN", help="column of the label [y, label or target]")
    parser.add_argument(
        "--bias", type=given, metavar="COLUMN", nargs="+", default=(),
        help="columns of the bias labels [bias, b, a, place, spurious or attribute]; colour: of the pixels",
    )  # fmt: skip
    parser.add_argument(
        "--image_size", type=number(int, 8, 1024), default=224, help="side of the images in pixels [224]"
    )
    parser.add_argument("--background", type=color, default="black", help="what transparent places show [black]")
    parser.add_argument("--skip_broken", action="store_true", help="count without the missing and unreadable images")
    parser.add_argument("--data_seed", type=seed, default=0, help="of the split where the data has none [0]")
    parser.add_argument("--out", type=location, default="samples.png", help="the sheet of samples [samples.png]")
    option = parser.parse_args(arguments)
    if option.out.suffix.lower() != ".png" or option.out.is_dir() or not option.out.parent.is_dir():
        raise UserError(f"--out {option.out} must be a .png in a folder that exists")
    if option.out.exists() and not is_sheet(option.out):
        raise UserError(f"{option.out} is there and is no sheet of samples; give another file with --out")
    table = read_table(option.dir, option.target, option.bias, option.data_seed)
    groups = sample_groups(table)
    shown = [position for _, some in groups for position in some]
    bad, alike, kept = examine(table, option.image_size, shown, rgb(option.background))
    lines = troubles(table, bad, alike)
    if bad and len(bad) == len(table):
        raise UserError(f"none of the {len(table)} images can be read; the first: {next(iter(bad.values()))}")
    if bad and option.skip_broken:
        good = np.setdiff1d(np.arange(len(table)), list(bad))
        table = table.take(good, f"left out: {len(bad)} images that are missing or cannot be read (--skip_broken)")
    print(overview(table))
    print("\n".join(["", *lines]) if lines else "\nall images can be read, none is there twice")
    try:
        from dataset.sample_sheet import draw_groups  # matplotlib is slow to import, and training draws no sheet

        draw_groups(option.out, SHEET, groups, kept, PER_GROUP)
        print(f"samples: {option.out}")
    except (UserError, ValueError, RuntimeError) as error:  # what was found out is printed above
        print(f"warning: no sheet of samples ({one_line(error)})", file=sys.stderr)
    if bad and not option.skip_broken:
        print("to train, mend these images or give --skip_broken")


if __name__ == "__main__":
    main()
