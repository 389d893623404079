"""Images named in a table: the metadata.csv of Waterbirds, SubpopBench or an image folder, and CelebA's two lists."""

import csv
import difflib
import io
import os
import unicodedata
from typing import NamedTuple

from common.errors import UserError
from dataset.folder_trees import SPLIT_WORDS, SPLITS, Row, is_folder, is_system

RECOGNISED = {  # the names of columns that need no flag, the first ones first
    "image": ("img_filename", "filename", "file_name", "image", "path", "image_path", "img_path", "filepath", "file"),
    "label": ("y", "label", "target"),
    "bias": ("bias", "b", "a", "place", "spurious", "attribute"),
    "split": ("split", "partition"),
}
PREDICTIONS = ("file", "class", "probability")  # columns of what test.py --images writes
CELEBA = ("list_attr_celeba", "list_eval_partition")
DELIMITERS = ",;\t|"


class Lines(NamedTuple):
    """A table as text."""

    source: str  # the file, for messages
    header: list  # of str
    rows: list  # of (number of the row in the file, list of str)


def read_lines(path):
    """Reads a table: UTF-8 or UTF-16, with commas, semicolons, tabs or bars. Returns Lines; raises UserError."""
    source = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{source} cannot be read ({error.strerror}); check its permissions") from None
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeError:
        raise UserError(f"{source} is no UTF-8 text; save it as CSV in UTF-8") from None
    if not text.strip():
        raise UserError(f"{source} is empty; it needs a line of column names and a line for each image")
    if "\0" in text:
        raise UserError(f"{source} is no table of text; save it as CSV in UTF-8")
    lines = text.splitlines()
    if path.suffix.lower() == ".txt":
        return read_celeba_text(source, lines)
    first = next(line for line in lines if line.strip())
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=first.count), strict=True)
    rows = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((reader.line_num, [cell.strip() for cell in row]))
    except csv.Error as error:
        raise UserError(f"{source}, row {reader.line_num}: {error}; save it as CSV again") from None
    header = rows.pop(0)[1]
    while header and not header[-1]:  # a delimiter at the end of every line
        header.pop()
    for number, row in rows:
        while len(row) > len(header) and not row[-1]:
            row.pop()
        if len(row) != len(header):
            raise UserError(
                f"{source}, row {number} has {len(row)} cells, and there are {len(header)} column names; mend this row"
            )
    if not rows:
        raise UserError(f"{source} has column names and no rows; it needs a row for each image")
    return Lines(source, header, rows)


def read_celeba_text(source, lines):
    """CelebA's own .txt lists: cells between spaces; before the attributes, a count and a line of their names."""
    cells = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    header = ["image_id", "partition"]
    if len(cells[0][1]) == 1 and cells[0][1][0].isdigit():
        header = ["image_id", *cells[1][1]] if len(cells) > 1 else []
        cells = cells[2:]
    for number, row in cells:
        if len(row) != len(header):
            raise UserError(f"{source}, row {number} has {len(row)} cells, expected {len(header)}; copy the file again")
    if not cells:
        raise UserError(f"{source} has no rows; copy the file again")
    return Lines(source, header, cells)


def folded(name):
    """A column's name for comparisons: without case, and with one sort of separator."""
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def column_named(lines, name, flag):
    """The index of the column that a flag names. Raises UserError, which lists the columns there are."""
    exact = [i for i, column in enumerate(lines.header) if column == name.strip()]
    found = exact or [i for i, column in enumerate(lines.header) if folded(column) == folded(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{lines.source} has more than one column {name}; rename one")
    close = difflib.get_close_matches(folded(name), [folded(c) for c in lines.header], 1)
    hint = f"; did you mean {next(c for c in lines.header if folded(c) == close[0])}" if close else ""
    raise UserError(f"{lines.source} has no column {name} ({flag}){hint}. Its columns: {listed(lines.header)}")


def listed(names, most=45):
    """Names for a message, cut where there are too many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def column_recognised(lines, role, taken, flag):
    """The index of the column that the names of a role fit, or None. taken: indices that have another role.

    Raises UserError where two that differ fit and a flag can tell which; of images, the first is taken.
    """
    fitting = [
        i for name in RECOGNISED[role] for i, c in enumerate(lines.header) if folded(c) == name and i not in taken
    ]
    if flag:
        for other in fitting[1:]:
            if any(row[other] != row[fitting[0]] for _, row in lines.rows):
                pair = f"{lines.header[fitting[0]]} and {lines.header[other]}"
                raise UserError(f"{lines.source}: both {pair} could be the {role}; say which with {flag} COLUMN")
    return fitting[0] if fitting else None


def columns_of(lines, target, biases):
    """Which columns are what: {"image": index, "label": index, "bias": [index, ...], "split": index or None}.

    biases: names, () for a recognised one if there is one, None for none. Raises UserError.
    """
    where = f"{lines.source} has no column for the"
    chosen = [column_named(lines, name, "--bias") for name in biases or ()]
    if len(set(chosen)) < len(chosen):
        raise UserError(f"--bias names the column {lines.header[max(chosen, key=chosen.count)]} twice")
    label = column_named(lines, target, "--target") if target else None
    if label in chosen and label is not None:
        raise UserError(f"{lines.header[label]} is both --target and --bias; a label cannot be its own bias")
    image = column_recognised(lines, "image", [label, *chosen], None)
    if image is None:
        names = ", ".join(RECOGNISED["image"])
        raise UserError(f"{where} image, called one of {names}. Its columns: {listed(lines.header)}")
    if label is None:
        label = column_recognised(lines, "label", [image, *chosen], "--target")
    if label is None:
        raise UserError(
            f"{where} label (y, label or target); name it with --target. Its columns: {listed(lines.header)}"
        )
    if biases is not None and not chosen:
        found = column_recognised(lines, "bias", [image, label], "--bias")
        chosen = [] if found is None else [found]
    split = column_recognised(lines, "split", [image, label, *chosen], None)
    return {"image": image, "label": label, "bias": chosen, "split": split}


def alike(name):
    """A file's name without case, and with one form of its accents, of which macOS has another than most tables."""
    return unicodedata.normalize("NFC", name).casefold()


class Finder:
    """Finds the files that a table names, also where case or slashes differ from what is there.

    Where none of the names is a file, their first one or two folders may be left out, as in CelebA's and Kaggle's
    tables. Where some are, a file of that name further down is another one, and the one that is meant is missing.
    """

    def __init__(self, root, names):
        """names: all that the table has."""
        self.root, self.names = root, names
        self.found_otherwise = 0
        self.index = None

    def __call__(self, name):
        """The path of an image, or the path at which it should be. Raises UserError where two could be meant."""
        path = os.path.join(self.root, name)
        if os.path.exists(path):
            return path
        if self.index is None:
            self.index = self._index()
            self.most = 1 if any(os.path.exists(os.path.join(self.root, n)) for n in self.names if n) else 3
        key = alike(os.path.normpath(name.replace("\\", "/")).replace(os.sep, "/"))
        for less in range(self.most):  # folders that the name leaves out
            paths = self.index.get((less, key), ())
            if len(paths) > 1:
                raise UserError(f"{name} could be {paths[0]} or {paths[1]} in {self.root}; write in the table which")
            if paths:
                self.found_otherwise += not less
                return os.path.join(self.root, paths[0])
        return path

    def _index(self):
        """{(n, path below the root without its first n folders, without case): [paths]}, n = 0, 1, 2."""
        index = {}

        def walk(folder, below, above):
            try:
                status = os.stat(folder)
                entries = sorted(os.scandir(folder), key=lambda e: e.name)
            except OSError:
                return
            here = (status.st_dev, status.st_ino)
            if here in above:
                return
            for entry in entries:
                if is_system(entry.name):
                    continue
                path = f"{below}{entry.name}"
                if is_folder(entry):
                    walk(entry.path, f"{path}/", {*above, here})
                    continue
                for less in range(min(3, path.count("/") + 1)):
                    index.setdefault((less, alike(path).split("/", less)[less]), []).append(path)

        walk(str(self.root), "", frozenset())
        return index


def split_of(lines, number, text, column):
    """0, 1 or 2 for a cell of the split column. Raises UserError."""
    split = SPLIT_WORDS.get(text.casefold())
    if split is None:
        raise UserError(
            f"{lines.source}, row {number}, column {lines.header[column]}: {text or 'an empty cell'} is no split; write"
            " train, val or test (or 0, 1, 2)"
        )
    return split


def rows_of(lines, columns, root, split=None):
    """The rows of a table as list of Row, and notes. split: of all of them, where there is no column for it."""
    image, label, biases, split_column = columns["image"], columns["label"], columns["bias"], columns["split"]
    finder, rows = Finder(root, [row[image] for _, row in lines.rows]), []
    by_folder = split is None and split_column is None
    by_folder = by_folder and all(split_folder(row[image]) is not None for _, row in lines.rows)
    for number, row in lines.rows:
        name = row[image]
        if not name:
            raise UserError(
                f"{lines.source}, row {number} has no {lines.header[image]}; name the image, or remove this row"
            )
        this = split
        if split_column is not None:
            this = split_of(lines, number, row[split_column], split_column)
        elif by_folder:
            this = split_folder(name)
        rows.append(Row(f"row {number}", name, finder(name), this, row[label], tuple(row[i] for i in biases)))
    notes = ["no split column: the folders that the names begin with tell the splits"] if by_folder else []
    if finder.found_otherwise:
        notes.append(f"{finder.found_otherwise} files have another case or other slashes than in {lines.source}")
    return rows, notes


def split_folder(name):
    """The split that the first folder of a name says, or None."""
    first, _, rest = name.replace("\\", "/").removeprefix("./").partition("/")
    return SPLIT_WORDS.get(first.casefold()) if rest and first.isalpha() else None


def read_celeba(root, attributes, partition, target, biases):
    """Reads CelebA's pair: the attributes, of which --target and --bias name columns, and the splits."""
    lines, splits = read_lines(attributes), read_lines(partition)
    if not target:
        raise UserError(
            f"{lines.source} has {len(lines.header) - 1} attributes; name the label and the bias, such as --target"
            " Blond_Hair --bias Male"
        )
    label, chosen = column_named(lines, target, "--target"), [column_named(lines, b, "--bias") for b in biases or ()]
    if label in chosen or len(set(chosen)) < len(chosen):
        raise UserError("--target and --bias must each name another column")
    if len(splits.header) != 2:
        raise UserError(f"{splits.source} has {len(splits.header)} columns, expected image_id and partition")
    split_by_name = {}
    for number, (name, text) in splits.rows:
        split_by_name[name] = split_of(splits, number, text, 1)
    finder, rows = Finder(root, [row[0] for _, row in lines.rows]), []
    for number, row in lines.rows:
        name = row[0]
        if name not in split_by_name:
            raise UserError(f"{splits.source} has no row for {name} ({lines.source}, row {number}); add its split")
        bias = tuple(row[i] for i in chosen)
        rows.append(Row(f"row {number}", name, finder(name), split_by_name[name], row[label], bias))
    return lines, {"image": 0, "label": label, "bias": chosen, "split": None}, rows, []


def read_table_file(path, root, target, biases, split=None):
    """Reads one table: (Lines, columns, list of Row, notes). Raises UserError."""
    lines = read_lines(path)
    columns = columns_of(lines, target, biases)
    return lines, columns, *rows_of(lines, columns, root, split)


def find_tables(folder):
    """The tables in a folder: {"metadata": path, "celeba": (path, path), "parts": {split: path}, "other": [path]}.

    "parts": metadata.csv within the folders of the splits, as image folders have it; "refused": in unknown formats.
    """
    files = {}
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if not is_system(entry.name) and entry.is_file():
            files.setdefault(entry.name.casefold(), folder / entry.name)
    found = {"metadata": files.get("metadata.csv") or files.get("metadata.tsv"), "parts": {}}
    pairs = [tuple(files.get(f"{name}{ending}") for name in CELEBA) for ending in (".csv", ".txt")]
    found["celeba"] = next((pair for pair in pairs if all(pair)), None)
    found["other"] = [path for name, path in files.items() if name.endswith((".csv", ".tsv"))]
    found["refused"] = [p for n, p in files.items() if n in ("metadata.jsonl", "metadata.parquet", "metadata.json")]
    if any(pair[0] for pair in pairs) and not found["celeba"]:
        raise UserError(f"{folder} has {CELEBA[0]} without {CELEBA[1]}; copy that list there too")
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        split = SPLIT_WORDS.get(entry.name.casefold()) if entry.name.isalpha() and is_folder(entry) else None
        path = folder / entry.name / "metadata.csv"
        if split is not None and path.is_file():
            if split in found["parts"]:
                raise UserError(f"{folder} has two folders for {SPLITS[split]}; put the images into one")
            found["parts"][split] = path
    return found
