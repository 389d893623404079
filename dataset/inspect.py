"""A look at images of one's own: is there a bias, which groups are there, which files are missing or broken?"""

import os

import numpy as np
from PIL import Image

from common.errors import one_line
from dataset.batches import IGNORE_INDEX
from dataset.csv_tables import listed
from dataset.trees import SPLITS

NAMED = 10  # files that are named of each kind of trouble
SHUFFLES = 100  # of a bias, to see what chance is
WIDEST = 12  # columns of a table of counts; a bias of more values gets rows
SHEET = "training images by group"  # title of the sheet of samples
PER_GROUP, MOST_GROUPS = 8, 24  # of the sheet of samples


def overview(table):
    """What a table holds, as text: sizes, columns, counts y by b in each split, how well b tells y, empty groups."""
    sizes = ", ".join(f"{len(table.where(s))} {name}" for s, name in enumerate(SPLITS))
    lines = [f"{table.source}: {sizes} images, {len(table.classes)} classes"]
    lines += [f"  {note}" for note in table.notes]
    train = table.where(0)
    for head, name in enumerate(table.biases):
        lines += ["", *counts(table, head), *empty(table, head)]
        lines += verdict(f"{name} alone tells", table.label[train], table.bias[train, head])
        if not table.contradicted(head):
            lines.append(
                f"no training image contradicts the bias {name}: nothing can be learned about "
                f"{table.target or 'the class'} without it; no method helps"
            )
    if len(table.biases) > 1:
        lines += verdict("all biases together tell", table.label[train], table.bias[train])
    if not table.biases:
        lines += ["", *counts(table), ""]
        if table.colour:
            lines.append("The bias labels are the colours of the pixels: there are no groups.")
        elif table.columns:
            lines.append(f"No bias column is known by its name; say which with --bias: {listed(table.columns, 45)}")
        else:
            lines.append("There are no bias folders, DIR/train/CLASS/BIAS/, so there are no groups.")
    return "\n".join(map(one_line, lines))


def best_guess(label, bias):
    """The accuracy of the best guess of the label by the bias alone. label: int64 (N,); bias: (N,) or (N, heads)."""
    _, group = np.unique(bias, axis=0, return_inverse=True)
    classes = label.max() + 1
    counts = np.bincount(group.ravel() * classes + label, minlength=(group.max() + 1) * classes)
    return counts.reshape(-1, classes).max(axis=1).sum() / len(label)


def verdict(what, label, bias):
    """Lines that say whether a bias tells the label: more than it does with shuffled values.

    Many rare values tell any label of the images that they are counted on, and few images show much by chance.
    """
    rng = np.random.default_rng(0)
    tells, shuffled = best_guess(label, bias), [best_guess(label, rng.permutation(bias)) for _ in range(SHUFFLES)]
    chance = np.mean(shuffled)
    is_bias = tells > chance + max(3 * np.std(shuffled), 0.005)
    above = f"a bias, {100 * (tells - chance):.1f} points above chance"
    return [
        f"in training, {what} {tells:.4f} of the labels, {chance:.4f} with its values shuffled:",
        above if is_bias else f"no more than chance among {len(label)} images, there is hardly a bias to unlearn",
    ]


def counts(table, head=None):
    """Lines of the images of each class, by the values of a bias where there is one, in each split."""
    import pandas  # slow to import

    lines = []
    for split, name in enumerate(SPLITS):
        mine = table.where(split)
        y = pandas.Categorical.from_codes(table.label[mine], list(map(one_line, table.classes)))
        each = pandas.Series(y).value_counts(sort=False).rename("images").to_frame()
        if head is not None:
            code = np.where(table.bias[mine, head] == IGNORE_INDEX, -1, table.bias[mine, head])
            b = pandas.Categorical.from_codes(code, list(map(one_line, table.values[head])))
            groups = pandas.crosstab(y, b).reindex(index=y.categories, columns=b.categories, fill_value=0)
            each = groups.assign(all=each["images"])
            each, name = each.T if each.shape[1] > WIDEST else each, f"{name}, class by {table.biases[head]}"
        if len(mine):
            text = each.rename_axis(index=None, columns=None).to_string()
            lines += [name, *(f"  {line}" for line in text.split("\n"))]
    return lines


def empty(table, head):
    """Lines that name the groups without a training image."""
    train = table.where(0)
    seen = set(zip(table.label[train].tolist(), table.bias[train, head].tolist(), strict=True))
    groups = [(y, b) for y in range(len(table.classes)) for b in range(len(table.values[head]))]
    lacking = [f"{table.classes[y]} / {table.values[head][b]}" for y, b in groups if (y, b) not in seen]
    return [f"groups without a training image: {listed(lacking, NAMED)}"] if lacking else []


def troubles(table, bad=None, alike=()):
    """Lines of what is wrong with the files: missing, unreadable, listed twice, of the same content.

    bad: {position: reason} of `decode`, or None where nothing was decoded; alike: pairs of positions.
    """
    found = {
        "images that are missing": [table.place(i) for i in np.flatnonzero(table.missing)],
        "images that cannot be read": [f"{table.place(i)}: {bad[i]}" for i in bad or () if not table.missing[i]],
        "images that are listed twice": [pair(table, *p) for p in table.doubled],
        "images with the bytes of another": [pair(table, *p) for p in alike],
    }
    lines = []
    for what, names in found.items():
        lines += [f"{what}: {len(names)}", *(f"  {one_line(name)}" for name in names[:NAMED])] if names else []
        lines += [f"  and {len(names) - NAMED} more"] if len(names) > NAMED else []
    return lines


def pair(table, position, first):
    """Two images that are one, with what is said of them differently."""
    splits, labels = ([values[i] for i in (position, first)] for values in (table.split, table.label))
    differ = [" and ".join(SPLITS[s] for s in splits)] if splits[0] != splits[1] else []
    differ += [" and ".join(table.classes[y] for y in labels)] if labels[0] != labels[1] else []
    return f"{table.place(position)} = {table.place(first)}" + (f" ({'; '.join(differ)})" if differ else "")


def same_bytes(table, positions):
    """Pairs of positions of files with the same bytes, by their checksums and sizes, of a table that was read."""
    first, alike = {}, []
    for position in np.setdiff1d(positions, [i for i, _ in table.doubled]).tolist():
        key = (table.content[position], os.path.getsize(table.paths[position]))
        if (other := first.setdefault(key, position)) != position:
            alike.append((position, other))
    return alike


def sample_groups(table):
    """The images of a sheet: list of (name of the group, positions of the first 8), training images, largest first."""
    train = table.where(0)
    keys = np.column_stack([table.label[train], table.bias[train]])
    groups, member, sizes = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    rows = []
    for group in np.sort(np.argsort(-sizes, kind="stable")[:MOST_GROUPS]):
        label, *bias = groups[group]
        values = [f"{n} {v[b]}" for n, v, b in zip(table.biases, table.values, bias, strict=True)]
        title = "\n".join(one_line(text)[:20] for text in (table.classes[label], *values, f"n = {sizes[group]}"))
        rows.append((title, train[member.ravel() == group][:PER_GROUP].tolist()))
    return rows


def draw_sheet(path, groups, images):
    """Writes a PNG with a row of samples for each group of `sample_groups`. images: {position: uint8 (S, S, 3)}."""
    from common.picture import plain, save, subplots  # matplotlib is slow to import, and training draws no sheet

    @plain
    def draw():
        figure, axes = subplots(len(groups), PER_GROUP, (2 + PER_GROUP, 0.4 + 1.05 * len(groups)), squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for row, (name, positions) in zip(axes, groups, strict=True):
            for axis, position in zip(row, [p for p in positions if p in images], strict=False):
                axis.imshow(images[position], interpolation="nearest")
            text = row[0].text(-0.1, 0.5, name, transform=row[0].transAxes, ha="right", va="center", fontsize=8)
            text.set_parse_math(False)  # a dollar sign in a name is a dollar sign
        figure.suptitle(SHEET, fontsize=10)
        save(figure, path, 100, SHEET)

    draw()


def is_sheet(path):
    """Whether a file is a sheet of samples that was drawn here."""
    try:
        with Image.open(path) as image:
            return image.info.get("Title") == SHEET
    except OSError:
        return False
