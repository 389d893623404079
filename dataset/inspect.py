"""A look at images of one's own: is there a bias, which groups are there, which files are missing or broken?

    python -m dataset.images DIR                                    # DIR/metadata.csv, or DIR/train/CLASS/BIAS/...
    python -m dataset.images DIR --target Blond_Hair --bias Male    # columns of another name

Nothing of the user's is changed. The text is also the head of a training run (`overview`).
"""

import dataclasses
import os
import sys

import numpy as np
from PIL import Image

from common import Parser, given, location, number, seed
from common.errors import UserError, exits, one_line
from dataset.batches import IGNORE_INDEX
from dataset.csv_tables import listed
from dataset.pictures import color, decode, rgb, too_dark
from dataset.tables import read_table
from dataset.trees import SPLITS

NAMED = 10  # files that are named of each kind of trouble
SHUFFLES = 100  # of a bias, to see what chance is
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
    for head, name in enumerate(table.biases):
        lines += ["", *counts(table, head), *empty(table, head)]
        lines += verdict(f"{one_line(name)} alone tells", table.label[train], table.bias[train, head])
    if len(table.biases) > 1:
        lines += verdict("all biases together tell", table.label[train], table.bias[train])
    if table.biases:
        return "\n".join(lines)
    lines += ["", *counts(table, None), "", f"The most frequent class has {most:.4f} of the training images."]
    if table.colour:
        lines.append("The bias labels are the colours of the pixels: there are no groups.")
    elif table.columns:
        lines.append(f"No bias column is known by its name; say which it is with --bias: {listed(table.columns, 45)}")
    else:
        lines.append("There are no bias folders, DIR/train/CLASS/BIAS/, so there are no groups.")
    return "\n".join(lines)


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


def counts(table, head):
    """Lines of the images of each class, by the values of a bias (head, or None) and in each split."""
    import pandas  # slow to import

    lines = []
    for split, name in enumerate(SPLITS):
        mine = table.where(split)
        if not len(mine):
            continue
        y = pandas.Categorical.from_codes(table.label[mine], list(map(one_line, table.classes)))
        if head is None:
            lines += [name, *indented(pandas.Series(y).value_counts(sort=False).rename("images").to_frame())]
            continue
        code = np.where(table.bias[mine, head] == IGNORE_INDEX, -1, table.bias[mine, head])
        b = pandas.Categorical.from_codes(code, list(map(one_line, table.values[head])))
        each = pandas.crosstab(y, b, dropna=False).reindex(index=y.categories, columns=b.categories, fill_value=0)
        wide = each.shape[1] > WIDEST
        if wide:
            each = each.stack()[lambda n: n > 0].rename("images").reset_index()
        else:
            each["all"] = pandas.Series(y).value_counts(sort=False)
        lines += [f"{name}, class by {one_line(table.biases[head])}", *indented(each, index=not wide)]
    return lines


def indented(frame, index=True):
    """A frame as lines of text."""
    import pandas

    with pandas.option_context("display.unicode.east_asian_width", True):
        return [f"  {line}" for line in frame.rename_axis(index=None, columns=None).to_string(index=index).split("\n")]


def empty(table, head):
    """Lines that name the groups without a training image."""
    train = table.where(0)
    seen = set(zip(table.label[train].tolist(), table.bias[train, head].tolist(), strict=True))
    groups = [(y, b) for y in range(len(table.classes)) for b in range(len(table.values[head]))]
    lacking = [one_line(f"{table.classes[y]} / {table.values[head][b]}") for y, b in groups if (y, b) not in seen]
    return [f"groups without a training image: {listed(lacking, NAMED)}"] if lacking else []


def troubles(table, bad=None, alike=()):
    """Lines of what is wrong with the files: missing, unreadable, listed twice, of the same content.

    bad: {position: reason} of `decode`, or None where nothing was decoded; alike: pairs of positions.
    """
    unreadable = {i: why for i, why in (bad or {}).items() if not table.missing[i]}
    found = (
        ("images that are missing", [table.place(i) for i in np.flatnonzero(table.missing)]),
        ("images that cannot be read", [reason(table, i, why) for i, why in unreadable.items()]),
        ("images that are listed twice", [pair(table, *p) for p in table.doubled]),
        ("images with the bytes of another", [pair(table, *p) for p in alike]),
    )
    lines = []
    for what, names in found:
        lines += [f"{what}: {len(names)}", *(f"  {one_line(name)}" for name in names[:NAMED])] if names else []
        lines += [f"  and {len(names) - NAMED} more"] if len(names) > NAMED else []
    return lines


def reason(table, position, said):
    """Where an unreadable image stands, and why it cannot be read."""
    return f"{table.place(position)} {said.partition('cannot be read')[2].lstrip(': ').rpartition(';')[0]}"


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
        size = (2 + PER_GROUP, 0.4 + 1.05 * len(groups))
        figure, axes = subplots(len(groups), PER_GROUP, size, squeeze=False)
        for row, (name, positions) in zip(axes, groups, strict=True):
            for axis in row:
                axis.set_axis_off()
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
    except Exception:  # whatever a file that is no image does to a decoder
        return False


@exits
def main(arguments=None):
    """Looks at a folder of images of your own: counts by class and bias, broken files, a sheet of samples."""
    parser = Parser(prog="-m dataset.images", description=main.__doc__)
    add = parser.add_argument
    add("dir", type=location, metavar="DIR", help="folder with a metadata.csv, or train, val, test")
    add("--target", type=given, metavar="COLUMN", help="column of the label [y, label or target]")
    add(
        "--bias", type=given, metavar="COLUMN", nargs="+", default=(),
        help="columns of the bias labels [bias, b, a, place, spurious or attribute]; colour: of the pixels",
    )  # fmt: skip
    add("--image", type=given, metavar="COLUMN", help="column of the image's file [filename, image, path, ...]")
    add("--image_size", type=number(int, 8, 1024), default=224, help="side of the images in pixels [224]")
    add("--background", type=color, default="black", help="what transparent places show [black]")
    add("--skip_broken", action="store_true", help="count without the missing and unreadable images")
    add("--data_seed", type=seed, default=0, help="of the split where the data has none [0]")
    add("--out", type=location, help="the sheet of samples, a .png [samples.png in DIR]")
    option = parser.parse_args(arguments)
    out = option.out or (option.dir if option.dir.is_dir() else option.dir.parent) / "samples.png"
    if option.out and (out.suffix.lower() != ".png" or out.is_dir() or not out.parent.is_dir()):
        raise UserError(f"--out {out} must be a .png in a folder that exists")
    if out.exists() and not is_sheet(out):
        raise UserError(f"{out} is there and is no sheet of samples; give another file with --out")
    table = read_table(option.dir, option.target, option.bias, option.image, option.data_seed)
    groups, kept = sample_groups(table), {}
    wanted = {position for _, some in groups for position in some}

    def keep(position, image):
        if position in wanted:
            kept[position] = image

    decoded = decode(table.paths, option.image_size, keep, rgb(option.background))
    good = np.setdiff1d(np.arange(len(table)), list(decoded.bad))
    if not len(good):
        raise UserError(f"none of the {len(table)} images can be read; the first: {next(iter(decoded.bad.values()))}")
    notes = too_dark(decoded.brightest[good])
    table = dataclasses.replace(table, content=decoded.content, notes=(*table.notes, *notes))
    lines = troubles(table, decoded.bad, same_bytes(table, good.tolist()))
    if decoded.bad and option.skip_broken:
        table = table.take(good, f"left out: {len(decoded.bad)} images that are missing or cannot be read")
    print(overview(table))
    print("\n".join(["", *lines]) if lines else "\nall images can be read, none is there twice")
    if decoded.bad and not option.skip_broken:
        print("to train, mend these images or give --skip_broken")
    try:
        draw_sheet(out, groups, kept)
        print(f"samples: {out}")
    except (UserError, OSError, ValueError, RuntimeError) as error:  # what was found out is printed above
        print(f"warning: no sheet of samples ({one_line(error)})", file=sys.stderr)
