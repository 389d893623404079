"""Images named in a table: the metadata.csv of Waterbirds, SubpopBench or an image folder, and CelebA's two lists."""

import csv
import difflib
import io
import os
import re
from pathlib import Path

from common.errors import UserError
from dataset.trees import SPLIT_WORDS, Finder, folders_in, is_system, nfc, split_of_folder

RECOGNISED = {  # the names of columns that need no flag, the first ones first
    "image": (
        "img_filename",
        "filename",
        "file_name",
        "image",
        "path",
        "image_path",
        "img_path",
        "filepath",
        "file",
        "image_id",
    ),
    "label": ("y", "label", "target"),
    "bias": ("bias", "b", "a", "place", "spurious", "attribute"),
    "split": ("split", "partition"),
}
FLAGS = {"image": "--image", "label": "--target", "bias": "--bias"}
PREDICTIONS = ["file", "class", "probability"]  # columns of what test.py writes
CELEBA = ("list_attr_celeba", "list_eval_partition")
COLOUR = ("colour", "color")  # --bias colour: labels from the pixels, as the paper makes them
csv.field_size_limit(2**31 - 1)  # a mask as run lengths, in a column that is not used, is longer than the default


def sources(folder, wanted):
    """Where the images of a folder are named: [(table, folder of its images, split or None)]; [] for a tree.

    Raises UserError for a table that cannot be read, and where several could be meant.
    """
    if folder.is_file():
        if folder.suffix.lower() not in (".csv", ".tsv"):
            raise UserError(f"{folder} is neither a folder nor a .csv file; give the folder of your images")
        return [(folder, folder.parent, None)]
    names = sorted(e.name for e in os.scandir(folder) if not is_system(e.name) and e.is_file())
    files = {name.casefold(): folder / name for name in names}
    for name in ("metadata.csv", "metadata.tsv", f"{CELEBA[0]}.csv", f"{CELEBA[0]}.txt"):
        if name in files:
            return [(files[name], folder, None)]
    parts = {}
    for name in folders_in(folder):
        if (split := split_of_folder(name)) is not None:
            beside = files.get(f"{name.casefold()}.csv")  # Kaggle's way: train.csv beside train/
            within = folder / name / "metadata.csv"
            if within.is_file() or beside:
                parts[split] = (within if within.is_file() else beside, folder / name)
    if {0, 2} <= parts.keys() or any(path.name == "metadata.csv" for path, _ in parts.values()):
        return [(*parts[split], split) for split in sorted(parts)]
    for name in ("metadata.jsonl", "metadata.parquet", "metadata.json"):
        if name in files:
            raise UserError(f"{files[name]} cannot be read; write its columns as metadata.csv")
    tables = [path for name, path in files.items() if name.endswith((".csv", ".tsv"))]
    if folders_in(folder):  # beside images in folders there may be notes, and predictions
        tables = [path for path in tables if names_images(path, folder, wanted)]
    if len(tables) > 1:
        some = listed([path.name for path in tables], 5)
        raise UserError(f"{folder} has no metadata.csv, and several tables ({some}); give one of them itself")
    return [(path, folder, None) for path in tables]


def names_images(path, folder, wanted):
    """Whether a table names images that are there."""
    try:
        frame = read_frame(path)
        name = column(path, list(frame), "image", next(iter(wanted["image"]), None))
    except UserError:
        return False
    if list(frame) == PREDICTIONS or name is None:
        return False
    names = [text for text in frame[name] if text]
    return any(map(os.path.exists, map(Finder(folder, names), names[:100])))


def read_frame(path):
    """A table as a pandas frame of texts, with the numbers of the rows as its index. Raises UserError.

    UTF-8 or UTF-16; commas, semicolons, tabs or bars, whatever a first line such as Excel's `sep=;` says. Not by
    pandas.read_csv, which fills rows that lack a cell without a word.
    """
    import pandas  # slow to import, and needed for tables alone

    try:
        data = path.read_bytes()
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check its permissions") from None
    except UnicodeError:
        raise UserError(f"{path} is no UTF-8 text; save it as CSV in UTF-8") from None
    if "\0" in text:
        raise UserError(f"{path} is no table of text; save it as CSV in UTF-8")
    lines = io.StringIO(text, newline="").readlines()
    start = next((i for i, line in enumerate(lines) if line.strip() and not re.fullmatch(r"sep=.\s*", line)), None)
    if start is None:
        raise UserError(f"{path} is empty; it needs a line of column names and a line for each image")
    reader = csv.reader(lines[start:], delimiter=max(",;\t|", key=lines[start].count), strict=True)
    try:
        rows = [(start + reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}, row {start + reader.line_num}: {error}; mend this row") from None
    if path.suffix.lower() == ".txt":  # CelebA's own: a count and the names of the attributes, or rows without names
        words = [(number, line.split()) for number, line in enumerate(lines, 1)]
        names = ["partition"] if len(words[0][1]) > 1 else words[1][1]
        rows = [(0, ["image_id", *names]), *words[0 if len(words[0][1]) > 1 else 2 :]]
    (_, header), *rows = [(number, row) for number, row in rows if any(row)]
    wide = max((i for i, name in enumerate(header, 1) if name), default=0)  # a delimiter at a line's end is no column
    for number, row in rows:
        if len(row) < wide or any(row[wide:]):
            raise UserError(
                f"{path}, row {number} has {len(row)} cells, and there are {wide} column names; mend this row"
            )
    if not rows:
        raise UserError(f"{path} has column names and no rows; it needs a row for each image")
    cells, numbers = [row[:wide] for _, row in rows], [number for number, _ in rows]
    return pandas.DataFrame(cells, index=numbers, columns=list(map(nfc, header[:wide])))


def from_tables(folder, tables, wanted, colour):
    """What `tables.make_table` takes, of one table, or of one for each split; those after the first may lack a bias.

    tables: of `sources`. wanted: {role: names of columns, ()}. colour: no bias column is looked for.
    """
    import pandas

    frames, paths, places, splits, notes = [], [], [], [], []
    for path, root, split in tables:
        frame = read_frame(path)
        if path.stem.casefold() == CELEBA[0]:
            frame = with_partition(folder, path, frame)
        roles = columns_of(path, frame, wanted if not frames else {**wanted, "bias": ()}, colour)
        names = frame[roles["image"][0]]
        for number in names[names == ""].index:
            raise UserError(f"{path}, row {number} has no {names.name}; name the image, or remove this row")
        finder = Finder(root, list(names))
        paths += map(finder, names)
        if finder.found_otherwise:
            notes.append(f"{finder.found_otherwise} files have another case or other slashes than in {path}")
        place = f"{path.relative_to(folder)}, row" if len(tables) > 1 else "row"
        places += [f"{place} {number}" for number in frame.index]
        splits += [split] * len(frame)
        frames.append(frame.loc[:, ~frame.columns.duplicated()])
    source = str(tables[0][0] if len(tables) == 1 else folder)
    frame = pandas.concat(frames, ignore_index=True).fillna("")
    roles = columns_of(source, frame, wanted, colour)
    (image,), (label,), biases = (roles[role] for role in ("image", "label", "bias"))
    below = [Path(os.path.relpath(path, folder)).parts[:-1] for path in paths]
    if splits[0] is None and roles["split"]:
        splits = [SPLIT_WORDS.get(text.casefold()) for text in frame[roles["split"][0]]]
        if None in splits:
            row, text = splits.index(None), frame[roles["split"][0]][splits.index(None)]
            raise UserError(
                f"{source}, {places[row]}, column {roles['split'][0]}: {text or 'an empty cell'} is no split; write "
                "train, val or test (or 0, 1, 2)"
            )
    elif splits[0] is None and all(parts and split_of_folder(parts[0]) is not None for parts in below):
        splits = [split_of_folder(parts[0]) for parts in below]
        if len(set(splits)) == 1:  # a table of the training images alone
            splits = [None] * len(splits)
        notes.append("no split column: the folders of the images tell the splits")
    labels = list(map(nfc, frame[label]))
    check_folders(source, places, below, labels, label)
    used = ", ".join(f"{role} {name}" for role, names in roles.items() for name in names)
    notes = [f"columns: {used}", *notes]
    if colour and any(name.casefold() in COLOUR for name in frame):
        notes.append("--bias colour takes the colours of the pixels, not the column of that name")
    heads = {name: list(map(nfc, frame[name])) for name in biases}
    names, columns = list(frame[image]), tuple(frame)
    return source, label, names, paths, places, splits, labels, heads, notes, columns


def with_partition(folder, path, frame):
    """CelebA's attributes with the splits, which are a list of their own. Raises UserError."""
    other = folder / path.name.casefold().replace(*CELEBA)
    if not other.is_file():
        raise UserError(f"{folder} has {CELEBA[0]} without {CELEBA[1]}; copy that list there too")
    splits = read_frame(other)
    frame["partition"] = frame.iloc[:, 0].map(dict(zip(splits.iloc[:, 0], splits.iloc[:, -1], strict=True))).fillna("")
    return frame


def columns_of(source, frame, wanted, colour):
    """The names of the columns by role: {"image": [name], "label": [name], "bias": [...], "split": [name] or []}.

    Raises UserError.
    """
    names = list(frame)
    roles = {"bias": [column(source, names, "bias", name) for name in wanted["bias"]]}
    for role in ("label", "image") if wanted["label"] else ("image", "label"):
        free = [name for name in names if not any(name in used for used in roles.values())]
        name = column(source, names if wanted[role] else free, role, next(iter(wanted[role]), None))
        if name is None:
            known = ", ".join(RECOGNISED[role])
            raise UserError(
                f"{source} has no column for the {role}, called one of {known}; name it with {FLAGS[role]} COLUMN. Its "
                f"columns: {listed(names, 45)}"
            )
        roles[role] = [name]
    used = [name for found in roles.values() for name in found]
    if doubled := [name for name in used if used.count(name) > 1]:
        raise UserError(f"the column {doubled[0]} has two roles; --image, --target and --bias each name another one")
    free = [name for name in names if name not in used]
    if not roles["bias"] and not colour:
        roles["bias"] = [name for name in [column(source, free, "bias")] if name]
    roles["split"] = [name for name in [column(source, free, "split")] if name]
    return {role: roles[role] for role in ("image", "label", "bias", "split")}


def column(source, names, role, wanted=None):
    """The one of the columns `names` that a flag wants, or that fits a role; None where none does. Raises UserError."""
    known = [folded(wanted)] if wanted else RECOGNISED[role]
    found = [n for n in names if wanted and n == nfc(wanted).strip()] or [
        n for k in known for n in names if folded(n) == k
    ]
    if wanted and not found:
        close = difflib.get_close_matches(known[0], map(folded, names), 1)
        hint = f"; did you mean {next(n for n in names if folded(n) == close[0])}" if close else ""
        raise UserError(f"{source} has no column {wanted} ({FLAGS[role]}){hint}. Its columns: {listed(names, 45)}")
    if len(found) > 1 and (wanted or role in ("label", "bias") or found[0] == found[1]):
        how = "rename one" if wanted else f"say which with {FLAGS[role]} COLUMN"
        raise UserError(f"{source}: both {found[0]} and {found[1]} could be the {role}; {how}")
    return found[0] if found else None


def folded(name):
    """A column's name for comparisons: without case, and with one sort of separator."""
    return nfc(name).strip().casefold().replace(" ", "_").replace("-", "_")


def listed(names, most):
    """Names for a message, cut where there are too many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def check_folders(source, places, below, labels, label):
    """Raises UserError where an image lies in the folder of another class than the table says.

    below: the folders of every image. They count as those of classes where most have the name of the label, or all have
    that of some label; numbers may number anything.
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
            f"{source}, {places[differ[0]]}: {label} is {labels[differ[0]]}, but the image lies in the folder "
            f"{folders[differ[0]]} ({len(differ)} such); make both the same"
        )
