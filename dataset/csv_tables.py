"""Images named in a table: the metadata.csv of Waterbirds, SubpopBench or an image folder, and CelebA's two lists."""

import csv
import os
from pathlib import Path

from common.errors import UserError
from dataset.trees import SPLIT_WORDS, Row, is_system, nfc, split_of_folder

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


def read_rows(path):
    """The rows of a table as {number of the row: {column: text}}. Raises UserError.

    UTF-8; commas, semicolons or tabs. Not by pandas.read_csv, which fills rows that lack a cell without a word.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = file.readlines()
    except UnicodeError:
        raise UserError(f"{path} is no UTF-8 text; save it as CSV in UTF-8") from None
    if lines and lines[0].startswith("sep="):  # of Excel
        lines[0] = "\n"
    first = next(filter(str.strip, lines), "")
    reader = csv.reader(lines, delimiter=max(",;\t", key=first.count), strict=True)
    rows, header = {}, None
    try:
        for row in ([cell.strip() for cell in row] for row in reader):
            if any(row) and header is None:
                header = list(map(nfc, row))
            elif any(row):
                rows[reader.line_num] = dict(zip(header, row, strict=False))
                if len(row) != len(header):
                    raise csv.Error(f"it has {len(row)} cells, and there are {len(header)} column names")
    except csv.Error as error:
        raise UserError(f"{path}, row {reader.line_num}: {error}; mend this row") from None
    if not rows:
        raise UserError(f"{path} is empty; it needs a line of column names and a row for each image")
    if doubled := [name for name in header if name and header.count(name) > 1]:
        raise UserError(f"{path} has two columns {doubled[0]}; rename one")
    return rows


def from_tables(folder, tables, wanted):
    """(source, column of the label, columns of the biases, rows, notes). Raises UserError.

    tables: of `sources`. wanted: {role: columns}. rows: list of Row.
    """
    source, read = tables[0][0] if len(tables) == 1 else folder, [read_rows(path) for path, *_ in tables]
    if source.name == CELEBA[0]:
        add_partition(folder, read[0])
    roles = columns_of(source, list(dict.fromkeys(name for part in read for name in next(iter(part.values())))), wanted)
    (image,), (label,), rows = roles["image"], roles["label"], []
    for (path, root, split), part in zip(tables, read, strict=True):
        for number, cells in part.items():
            place, name = f"{path}, row {number}", cells.get(image)
            if not name:
                raise UserError(f"{place} has no {image}; name the image, or remove this row")
            which = split_of(place, roles["split"][0], cells) if roles["split"] and split is None else split
            y, *biases = (nfc(cells.get(column, "")) for column in (label, *roles["bias"]))
            rows.append(Row(name, os.path.join(root, name.replace("\\", "/")), place, which, y, biases))
    if rows[0].split is None:
        found = [split_of_folder(os.path.relpath(row.path, folder).split(os.sep)[0]) for row in rows]
        if None not in found and len(set(found)) > 1:
            rows = [row._replace(split=split) for row, split in zip(rows, found, strict=True)]
    check_folders(folder, rows, label)
    notes = ["columns: " + ", ".join(f"{role} {name}" for role, names in roles.items() for name in names)]
    return str(source), label, roles["bias"], rows, notes


def split_of(place, column, cells):
    """The split that a row names: 0, 1 or 2. Raises UserError."""
    split = SPLIT_WORDS.get(cells[column].casefold())
    if split is None:
        what = cells[column] or "an empty cell"
        raise UserError(f"{place}, column {column}: {what} is no split; write train, val or test (or 0, 1, 2)")
    return split


def add_partition(folder, rows):
    """Adds the splits, which are a list of their own, to CelebA's attributes. Raises UserError."""
    if not (folder / CELEBA[1]).is_file():
        raise UserError(f"{folder} has {CELEBA[0]} without {CELEBA[1]}; copy that list there too")
    splits = dict(list(cells.values())[:2] for cells in read_rows(folder / CELEBA[1]).values())
    for cells in rows.values():
        cells["partition"] = splits.get(next(iter(cells.values())), "")


def columns_of(source, names, wanted):
    """{"image": [column], "label": [column], "bias": [columns], "split": [column] or []}. Raises UserError."""
    roles = {"image": [], "label": [], "bias": [column(source, names, "bias", name) for name in wanted["bias"]]}
    free = [name for name in names if name not in roles["bias"]]
    for role in ("label", "image", "bias", "split"):
        if role == "bias" and wanted["bias"]:
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


def check_folders(folder, rows, label):
    """Raises UserError where an image lies in the folder of another class than the table says.

    Folders count as classes where most are called as the label, or all as some label; numbers may number anything.
    """
    below = [Path(os.path.relpath(row.path, folder)).parts[:-1] for row in rows]
    folders = [nfc(next((name for name in parts if split_of_folder(name) is None), "")).casefold() for parts in below]
    labels = [row.label.casefold() for row in rows]
    differ = [i for i, (said, known) in enumerate(zip(folders, labels, strict=True)) if said != known]
    words, agree = not all(name.isdigit() for name in folders), len(rows) - len(differ)
    classes = agree > len(differ) or (words and (agree == len(differ) or set(folders) <= set(labels)))
    if "" not in folders and differ and classes:
        row, lies = rows[differ[0]], next(name for name in below[differ[0]] if split_of_folder(name) is None)
        raise UserError(
            f"{row.place}: {label} is {row.label}, but the image lies in the folder {lies} ({len(differ)} such); make "
            "both the same"
        )
