"""A look at images of one's own: is there a bias, which groups are there, which files are missing or broken?"""

import os

import numpy as np

from common.errors import one_line
from common.files import replacing
from dataset.csv_tables import listed
from dataset.pictures import read_picture
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
        lines.append("no bias label is known, so there are no groups; say which column with --bias")
    for bias, name, values in zip(table.bias.T, table.biases, table.values, strict=True):
        value = coded(np.minimum(bias, len(values)), [*values, "(no label)"])
        groups = pandas.crosstab([split, label], value, rownames=["", ""], colnames=[name], margins=True)
        lines += ["", *groups.to_string().split("\n"), *of_training(table, bias, name, values)]
    return "\n".join(map(one_line, lines))


def of_training(table, bias, name, values):
    """Lines on the training images: empty groups, and how well the bias labels, int64 (N,), tell the label."""
    label, bias = table.label[table.split == 0], bias[table.split == 0]
    groups = np.zeros((len(table.classes), len(values)), int)
    np.add.at(groups, (label, bias), 1)
    empty = [f"{table.classes[y]} / {values[b]}" for y, b in np.argwhere(groups == 0)]
    lines = [f"groups without a training image: {listed(empty, NAMED)}"] if empty else []
    lines += verdict(name, label, bias)
    if max((groups > 0).sum(0).max(), (groups > 0).sum(1).max()) == 1:
        lines.append(
            f"no training image contradicts the bias {name}: nothing can be learned about "
            f"{table.target or 'the class'} without it; no method helps"
        )
    return lines


def best_guess(label, bias):
    """The accuracy of the best guess of the label by the bias alone; int64 (N,) both."""
    counts = np.bincount(bias * (label.max() + 1) + label, minlength=(bias.max() + 1) * (label.max() + 1))
    return counts.reshape(bias.max() + 1, -1).max(1).sum() / len(label)


def verdict(name, label, bias):
    """Lines that say whether a bias tells the label: more than it does with shuffled values.

    Many rare values tell any label of the images that they are counted on, and few images show much by chance.
    """
    rng = np.random.default_rng(0)
    tells, shuffled = best_guess(label, bias), [best_guess(label, rng.permutation(bias)) for _ in range(SHUFFLES)]
    above = tells - np.mean(shuffled)
    found = f"a bias, {100 * above:.1f} points above chance"
    if above <= max(3 * np.std(shuffled), 0.005):
        found = f"no more than chance among {len(label)} images, there is hardly a bias to unlearn"
    said = f"in training, {name} alone tells {tells:.4f} of the labels, {tells - above:.4f} with its values shuffled:"
    return [said, found]


def troubles(table, bad=None):
    """Lines of what is wrong with the files of a table that was read. bad: {position: reason} of `decode`."""
    bad = bad or {}
    found = {
        "images that cannot be read": [f"{table.places[i]}: {bad[i]}" for i in bad],
        "images with the bytes of another": twice(table, bad),
    }
    lines = []
    for what, names in found.items():
        lines += [f"{what}: {len(names)}", *(f"  {one_line(name)}" for name in names[:NAMED])] if names else []
        lines += [f"  and {len(names) - NAMED} more"] if len(names) > NAMED else []
    return lines


def twice(table, bad):
    """The images with the checksum and size of an earlier one, and in which splits and classes the two are."""
    first, found = {}, []
    for i in [i for i in range(len(table)) if i not in bad]:
        j = first.setdefault((table.content[i], os.path.getsize(table.paths[i])), i)
        pairs = [[SPLITS[table.split[k]] for k in (i, j)], [table.classes[table.label[k]] for k in (i, j)]]
        differ = "; ".join(" and ".join(pair) for pair in pairs if len(set(pair)) > 1)
        if i != j:
            found.append(f"{table.places[i]} = {table.places[j]}" + (f" ({differ})" if differ else ""))
    return found


def draw_sheet(path, table, bad, size, background):
    """Writes a PNG with a row of training images for each of the largest groups. bad: positions that are left out."""
    import torch
    from torchvision.utils import make_grid, save_image  # slow to import, and training draws no sheet

    train = np.setdiff1d(table.where(0), list(bad))
    keys = np.column_stack([table.label[train], table.bias[train]])
    _, member, sizes = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    cells = []
    for group in np.sort(np.argsort(-sizes, kind="stable")[:MOST_GROUPS]):
        some = train[member.ravel() == group][:PER_GROUP]
        cells += [read_picture(table.paths[i], size, background) for i in some]
        cells += [np.full_like(cells[0], 255)] * (PER_GROUP - len(some))
    grid = make_grid(torch.from_numpy(np.stack(cells)).permute(0, 3, 1, 2) / 255, nrow=PER_GROUP, pad_value=1)
    with replacing(path) as temporary:
        save_image(grid, temporary, format="png")
