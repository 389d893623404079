"""Images named in a table: the metadata.csv of Waterbirds, SubpopBench or an image folder, and CelebA's two lists."""

import csv
import os
from pathlib import Path

from common.errors import UserError
from dataset.trees import SPLIT_WORDS, Finder, is_system, nfc, split_of_folder

RECOGNISED = {  # the names of columns that need no flag, the first ones first
    "image": ("img_filename", "filename", "file_name", "image", "path", "image_path", "img_path", "filepath", "file",
              "image_id"),
    "label": ("y", "label", "target"),
    "bias": ("bias", "b", "a", "place", "spurious", "attribute"),
    "split": ("split", "partition"),
}  # fmt: skip
FLAGS = {"image": "--image", "label": "--target", "bias": "--bias"}
CELEBA = ("list_attr_celeba.csv", "list_eval_partition.csv")
csv.field_size_limit(2**31 - 1)  # a mask as run lengths, in a column that is not used, is longer than the default


def is_colour(bias):
    """Whether --bias asks for labels from the pixels, as the paper makes them."""
    return len(bias or ()) == 1 and bias[0].casefold() in ("colour", "color")


def sources(folder):
    """Where the images of a folder are named: [(table, folder of its images, split or None)]; [] for a tree.

    Raises UserError where several tables could be meant.
    """
    if folder.is_file():
        return [(folder, folder.parent, None)]
    if (folder / "metadata.csv").is_file():
        return [(folder / "metadata.csv", folder, None)]
    if (folder / CELEBA[0]).is_file():
        below = (folder / "img_align_celeba/img_align_celeba", folder / "img_align_celeba", folder)
        return [(folder / CELEBA[0], next(path for path in below if path.is_dir()), None)]
    inside, parts = [path for path in sorted(folder.iterdir()) if not is_system(path.name)], {}
    for path in inside:
        split = split_of_folder(path.name) if path.is_dir() else None
        tables = [p for p in (path / "metadata.csv", folder / f"{path.name}.csv") if p.is_file()]  # Kaggle: train.csv
        if tables and split is not None:
            parts[split] = (tables[0], path)
    if parts:  # of one alone, the images are split
        return [(*parts[split], split if len(parts) > 1 else None) for split in sorted(parts)]
    tables = [path for path in inside if path.suffix.lower() in (".csv", ".tsv")]
    if len(tables) > 1:
        some = listed([path.name for path in tables], 5)
        raise UserError(f"{folder} has no metadata.csv, and several tables ({some}); give one of them itself")
    return [(path, folder, None) for path in tables]


def read_frame(path):
    """A table as a pandas frame of texts, with the numbers of the rows as its index. Raises UserError.

    UTF-8; commas, semicolons or tabs. Not by pandas.read_csv, which fills rows that lack a cell without a word.
    """
    import pandas  # slow to import, and needed for tables alone

    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = file.readlines()
    except UnicodeError:
        raise UserError(f"{path} is no UTF-8 text; save it as CSV in UTF-8") from None
    if lines and lines[0].startswith("sep="):  # of Excel
        lines[0] = "\n"
    header = next(filter(str.strip, lines), "")
    reader = csv.reader(lines, delimiter=max(",;\t", key=header.count), strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}, row {reader.line_num}: {error}; mend this row") from None
    rows = [(number, row) for number, row in rows if any(row)]
    if len(rows) < 2:
        raise UserError(f"{path} is empty; it needs a line of column names and a row for each image")
    (_, header), *rows = rows
    for number, row in rows:
        if len(row) != len(header):
            raise UserError(
                f"{path}, row {number} has {len(row)} cells, and there are {len(header)} column names; mend this row"
            )
    header = list(map(nfc, header))
    if doubled := [name for name in header if name and header.count(name) > 1]:
        raise UserError(f"{path} has two columns {doubled[0]}; rename one")
    cells, numbers = [row for _, row in rows], [number for number, _ in rows]
    return pandas.DataFrame(cells, index=numbers, columns=header)


def from_tables(folder, tables, wanted, colour):
    """What `tables.make_table` takes. tables: of `sources`. wanted: {role: columns}. colour: seek no bias."""
    import pandas

    frames = [read_frame(path) for path, *_ in tables]
    source = tables[0][0] if len(tables) == 1 else folder
    if source.name == CELEBA[0]:
        add_partition(folder, frames[0])
    frame = pandas.concat(frames).fillna("")
    roles = columns_of(source, list(frame), wanted, colour)
    (image,), (label,) = roles["image"], roles["label"]
    names, paths, places, splits = list(frame[image]), [], [], []
    for (path, root, split), part in zip(tables, frames, strict=True):
        places += [f"{path}, row {number}" for number in part.index]
        paths += map(Finder(root), names[len(paths) : len(paths) + len(part)])
        splits += [split] * len(part)
    if "" in names:
        raise UserError(f"{places[names.index('')]} has no {image}; name the image, or remove this row")
    below = [Path(os.path.relpath(path, folder)).parts[:-1] for path in paths]
    if splits[0] is None and roles["split"]:
        texts = list(frame[roles["split"][0]])
        splits = [SPLIT_WORDS.get(text.casefold()) for text in texts]
        if None in splits:
            row = splits.index(None)
            raise UserError(
                f"{places[row]}, column {roles['split'][0]}: {texts[row] or 'an empty cell'} is no split; "
                "write train, val or test (or 0, 1, 2)"
            )
    elif splits[0] is None:
        found = [split_of_folder(parts[0]) if parts else None for parts in below]
        splits = found if None not in found and len(set(found)) > 1 else splits
    labels = list(map(nfc, frame[label]))
    check_folders(places, below, labels, label)
    heads = {name: list(map(nfc, frame[name])) for name in roles["bias"]}
    notes = ["columns: " + ", ".join(f"{role} {name}" for role, names in roles.items() for name in names)]
    return str(source), label, names, paths, places, splits, labels, heads, notes


def add_partition(folder, frame):
    """Adds the splits, which are a list of their own, to CelebA's attributes. Raises UserError."""
    if not (folder / CELEBA[1]).is_file():
        raise UserError(f"{folder} has {CELEBA[0]} without {CELEBA[1]}; copy that list there too")
    splits = read_frame(folder / CELEBA[1])
    frame["partition"] = frame.iloc[:, 0].map(dict(zip(splits.iloc[:, 0], splits.iloc[:, 1], strict=True))).fillna("")


def columns_of(source, names, wanted, colour):
    """{"image": [column], "label": [column], "bias": [columns], "split": [column] or []}. Raises UserError."""
    biases = [column(source, names, "bias", name) for name in wanted["bias"]]
    roles, free = {"image": [], "label": [], "bias": biases}, [name for name in names if name not in biases]
    for role in ("label", "image", "bias", "split"):
        if role == "bias" and (biases or colour):
            continue
        flag = next(iter(wanted.get(role, ())), None)
        name = column(source, names if flag else free, role, flag, needed=role in ("label", "image"))
        roles[role] = [name] if name else []
        free = [other for other in free if other != name]
    return roles


def column(source, names, role, wanted=None, needed=False):
    """The one of the columns `names` that a flag wants, or that fits a role; None where none does. Raises UserError."""
    known = [folded(wanted)] if wanted else RECOGNISED[role]
    found = [name for k in known for name in names if folded(name) == k]
    if wanted and not found:
        raise UserError(f"{source} has no column {wanted} ({FLAGS[role]}). Its columns: {listed(names, 45)}")
    if needed and not found:
        raise UserError(
            f"{source} has no column for the {role}, called one of {', '.join(known)}; name it with "
            f"{FLAGS[role]} COLUMN, or move this table elsewhere. Its columns: {listed(names, 45)}"
        )
    if len(found) > 1 and (wanted or role in ("label", "bias")):
        how = "rename one" if wanted else f"say which with {FLAGS[role]} COLUMN"
        raise UserError(f"{source}: both {found[0]} and {found[1]} could be the {role}; {how}")
    return found[0] if found else None


def folded(name):
    """A column's name for comparisons: without case, and with one sort of separator."""
    return nfc(name).strip().casefold().replace(" ", "_").replace("-", "_")


def listed(names, most):
    """Names for a message, cut where there are too many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def check_folders(places, below, labels, label):
    """Raises UserError where an image lies in the folder of another class than the table says.

    below: the folders of every image. They count as classes where most are called as the label, or all as some label;
    numbers may number anything.
    """
    folders = [next((name for name in parts if split_of_folder(name) is None), None) for parts in below]
    if None in folders:
        return
    pairs = [(nfc(a).casefold(), b.casefold()) for a, b in zip(folders, labels, strict=True)]
    differ = [i for i, (a, b) in enumerate(pairs) if a != b]
    said, known = map(set, zip(*pairs, strict=True))
    words, agree = not all(name.isdigit() for name in said), len(pairs) - len(differ)
    if differ and (agree > len(differ) or (words and (agree == len(differ) or said <= known))):
        raise UserError(
            f"{places[differ[0]]}: {label} is {labels[differ[0]]}, but the image lies in the folder "
            f"{folders[differ[0]]} ({len(differ)} such); make both the same"
        )
