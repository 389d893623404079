"""A look at images of one's own: is there a bias, which groups are there, which files are missing or broken?"""

import os

import numpy as np

from common.errors import one_line
from common.files import replacing
from dataset.csv_tables import listed
from dataset.trees import SPLITS

NAMED = 10  # files that are named of each kind of trouble
SHUFFLES = 100  # of a bias, to see what chance is
PER_GROUP, MOST_GROUPS = 8, 24  # of the sheet of samples


def overview(table):
    """What a table holds, as text: sizes, columns, counts of groups in each split, how well b tells y, empty groups."""
    import pandas  # slow to import

    sizes = ", ".join(f"{len(table.where(s))} {name}" for s, name in enumerate(SPLITS))
    lines = [f"{table.source}: {sizes} images, {len(table.classes)} classes", *(f"  {note}" for note in table.notes)]
    coded = pandas.Categorical.from_codes
    split, label = coded(table.split, SPLITS), coded(table.label, table.classes)
    if not table.biases:
        lines += ["", *pandas.crosstab(label, split, rownames=[""], colnames=[""]).to_string().split("\n"), ""]
        if table.colour:
            lines.append("The bias labels are the colours of the pixels: there are no groups.")
        elif table.columns:
            lines.append(f"No bias column is known by its name; say which with --bias: {listed(table.columns, 45)}")
        else:
            lines.append("There are no bias folders, DIR/train/CLASS/BIAS/, so there are no groups.")
    for bias, name, values in zip(table.bias.T, table.biases, table.values, strict=True):
        value = coded(np.minimum(bias, len(values)), [*values, "(no label)"])
        groups = pandas.crosstab([split, label], value, rownames=["", ""], colnames=[name], margins=True)
        lines += ["", *groups.to_string().split("\n"), *of_training(table, bias, name, values)]
    return "\n".join(map(one_line, lines))


def of_training(table, bias, name, values):
    """Lines on the training images: empty groups, and how well the bias labels, int64 (N,), tell the label."""
    label, bias = table.label[table.split == 0], bias[table.split == 0]
    groups = count(label, bias, len(values))
    empty = [f"{table.classes[y]} / {values[b]}" for y, b in np.argwhere(groups == 0)]
    lines = [f"groups without a training image: {listed(empty, NAMED)}"] if empty else []
    lines += verdict(name, label, bias)
    if max((groups > 0).sum(0).max(), (groups > 0).sum(1).max()) == 1:
        lines.append(
            f"no training image contradicts the bias {name}: nothing can be learned about "
            f"{table.target or 'the class'} without it; no method helps"
        )
    return lines


def count(label, bias, values=0):
    """The number of images of each label and each of the `values` of a bias, or as many as occur."""
    counts = np.zeros((label.max() + 1, max(values, bias.max() + 1)), int)
    np.add.at(counts, (label, bias), 1)
    return counts


def best_guess(label, bias):
    """The accuracy of the best guess of the label by the bias alone; int64 (N,) both."""
    return count(label, bias).max(axis=0).sum() / len(label)


def verdict(name, label, bias):
    """Lines that say whether a bias tells the label: more than it does with shuffled values.

    Many rare values tell any label of the images that they are counted on, and few images show much by chance.
    """
    rng = np.random.default_rng(0)
    tells, shuffled = best_guess(label, bias), [best_guess(label, rng.permutation(bias)) for _ in range(SHUFFLES)]
    above = tells - np.mean(shuffled)
    is_bias = above > max(3 * np.std(shuffled), 0.005)
    found = f"a bias, {100 * above:.1f} points above chance"
    return [
        f"in training, {name} alone tells {tells:.4f} of the labels, {tells - above:.4f} with its values shuffled:",
        found if is_bias else f"no more than chance among {len(label)} images, there is hardly a bias to unlearn",
    ]


def troubles(table, bad=None):
    """Lines of what is wrong with the files of a table that was read: missing, unreadable, there twice.

    bad: {position: reason} of `decode`.
    """
    bad = bad or {}
    twice = same_content(table, [i for i in range(len(table)) if i not in bad])
    found = {
        "images that are missing": [table.place(i) for i in np.flatnonzero(table.missing)],
        "images that cannot be read": [f"{table.place(i)}: {bad[i]}" for i in bad if not table.missing[i]],
        "images with the bytes of another": [pair(table, *positions) for positions in twice],
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


def same_content(table, positions):
    """Pairs of positions of images with the same bytes, by their checksums and sizes; a file listed twice is one."""
    first, alike = {}, []
    for position in positions:
        key = (table.content[position], os.path.getsize(table.paths[position]))
        if (other := first.setdefault(key, position)) != position:
            alike.append((position, other))
    return alike


def sample_groups(table):
    """The rows of a sheet of samples: positions of the first 8 training images of each of the largest groups."""
    train = table.where(0)
    keys = np.column_stack([table.label[train], table.bias[train]])
    _, member, sizes = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    largest = np.sort(np.argsort(-sizes, kind="stable")[:MOST_GROUPS])
    return [train[member.ravel() == group][:PER_GROUP].tolist() for group in largest]


def draw_sheet(path, rows, images):
    """Writes a PNG with a row of samples for each of `sample_groups`. images: {position: uint8 (S, S, 3)}."""
    import torch
    from torchvision.utils import make_grid, save_image  # slow to import, and training draws no sheet

    empty = np.full_like(next(iter(images.values())), 255)
    cells = [images.get(p, empty) for row in rows for p in (*row, *[-1] * (PER_GROUP - len(row)))]
    grid = make_grid(torch.from_numpy(np.stack(cells)).permute(0, 3, 1, 2) / 255, nrow=PER_GROUP, pad_value=1)
    with replacing(path) as temporary:
        save_image(grid, temporary, format="png")
