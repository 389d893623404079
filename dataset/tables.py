"""A set of images of one's own as a table: a file, a split, a label y and bias labels b for every image, all by name.

`read_table` takes a folder: one with a metadata.csv or another table, a table for each split, CelebA's pair of lists,
or folders alone (dataset/trees.py). What is wrong with it ends in one line that names the file and the row or folder.
Names are compared in Unicode's form NFC: an accent has two spellings that look alike.
"""

import csv
import dataclasses
import difflib
import hashlib
import io
import os
import re
from pathlib import Path

import numpy as np

from common.errors import UserError
from dataset.batches import IGNORE_INDEX
from dataset.trees import SPLIT_WORDS, SPLITS, Finder, folders_in, is_system, nfc, read_tree, split_of_folder

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
MISSING = {"", "nan", "na", "n/a", "<na>", "null", "#n/a", "#n/a n/a"}  # cells that hold no value, in lower case
MOST_CLASSES, MOST_BIASES = 1000, IGNORE_INDEX  # a bias label of IGNORE_INDEX means that there is none
csv.field_size_limit(2**31 - 1)  # a mask as run lengths, in a column that is not used, is longer than the default
WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
SHARES = (0.7, 0.1, 0.2)  # of training, validation and test where nothing says which is which


@dataclasses.dataclass(frozen=True)
class Table:
    """N images, their labels and bias labels. Arrays are NumPy's; names are what the user wrote."""

    source: str  # the file or folder it was read from
    names: list  # of the images, as given
    paths: list  # of str
    places: list  # of str: "row 17", or "" in a folder tree
    split: np.ndarray  # int64 (N,): 0 training, 1 validation, 2 test
    label: np.ndarray  # int64 (N,), 0 .. number of classes - 1
    bias: np.ndarray  # int64 (N, biases), 0 .. number of values - 1, or IGNORE_INDEX where there is none (val and test)
    classes: tuple  # of str
    biases: tuple  # of str: the names of the biases, often one
    values: tuple  # for each bias, a tuple of str
    missing: np.ndarray  # bool (N,): whether there is no such file
    doubled: tuple  # of (position, position of the first): listed twice
    notes: tuple  # of str: what was decided or left out in reading
    target: str | None  # the column of the label; None in a folder tree
    colour: bool = False  # the bias labels come from the pixels
    columns: tuple = ()  # of str: all that a table has
    content: np.ndarray | None = None  # uint32 (N,): CRC-32 of every file, once the images were read

    def __len__(self):
        return len(self.label)

    def where(self, split):
        """The positions of the images of a split (0, 1 or 2), int64."""
        return np.flatnonzero(self.split == split)

    def place(self, position):
        """Where an image stands, for a message: "DIR/metadata.csv, row 17: x.png" or its path."""
        row = self.places[position]
        return f"{self.source}, {row}: {self.names[position]}" if row else self.paths[position]

    @property
    def all_aligned(self):
        """Whether in training every value of a bias occurs with one label alone, and every label with one value."""
        train = self.where(0)
        pairs = [np.unique(np.stack([self.label[train], b]), axis=1) for b in self.bias[train].T]
        return any(len(np.unique(y)) == len(y) and len(np.unique(b)) == len(b) for y, b in pairs)

    def take(self, positions, *notes):
        """The table of some images alone, with all classes and values. Raises UserError as read_table does."""
        positions = np.asarray(positions, np.int64)
        new = {int(p): i for i, p in enumerate(positions)}
        arrays = ("split", "label", "bias", "missing") + (() if self.content is None else ("content",))
        part = dataclasses.replace(
            self,
            **{f: [getattr(self, f)[p] for p in positions] for f in ("names", "paths", "places")},
            **{f: getattr(self, f)[positions] for f in arrays},
            doubled=tuple((new[a], new[b]) for a, b in self.doubled if a in new and b in new),
            notes=(*self.notes, *notes),
        )
        check(part)
        return part

    def fingerprint(self):
        """SHA-256 of the names, splits, labels and biases, and of what the files hold, once they were read."""
        digest = hashlib.sha256(repr((self.classes, self.biases, self.values, self.colour, self.names)).encode())
        for array in (self.split, self.label, self.bias, [] if self.content is None else self.content):
            digest.update(np.ascontiguousarray(array, "<i8").tobytes())
        return digest.hexdigest()


def read_table(folder, target=None, bias=(), image=None, seed=0):
    """Reads a folder of images, or a .csv file, as a Table.

    target, bias, image: columns of the label, of the biases and of the image, else those of RECOGNISED; no bias column:
    no bias; bias ("colour",): labels from the pixels. seed: of the split by group where the data has no split.
    Raises UserError.
    """
    folder, bias = Path(folder).expanduser(), (bias,) if isinstance(bias, str) else tuple(bias or ())
    if not folder.exists():
        raise UserError(f"{folder} does not exist; give the folder of your images, or a metadata.csv")
    colour = len(bias) == 1 and bias[0].casefold() in COLOUR
    wanted = {"image": (image,) if image else (), "label": (target,) if target else (), "bias": () if colour else bias}
    if tables := sources(folder, wanted):
        return from_tables(folder, tables, wanted, colour, seed)
    if target or image or wanted["bias"] not in ((), ("bias",)):
        flag = next(f"{FLAGS[role]} {' '.join(names)}" for role, names in wanted.items() if names)
        raise UserError(f"{folder} has no metadata.csv, so {flag} names nothing: its folders are labels and biases")
    rows, notes = read_tree(folder)
    names, paths, splits, labels, biases = map(list, zip(*rows, strict=True))
    heads = {} if colour or not any(biases) else {"bias": biases}
    if wanted["bias"] and not heads:
        raise UserError(f"{folder} has no bias folders; put the images into CLASS/BIAS/, or give --bias colour")
    return make_table(str(folder), None, names, paths, [""] * len(rows), splits, labels, heads, notes, seed, colour)


# ------------------------------------------------------------------------------------------------------- tables


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


def from_tables(folder, tables, wanted, colour, seed):
    """The Table of one table, or of one for each split, of which those after the first may lack the biases."""
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
    return make_table(source, label, names, paths, places, splits, labels, heads, notes, seed, colour, columns)


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


# ------------------------------------------------------------------------------------------ from texts to numbers


def make_table(source, target, names, paths, places, splits, labels, heads, notes, seed=0, colour=False, columns=()):
    """A Table of lists with an element for each image, whose labels and biases become numbers. Raises UserError.

    target: the label's column, None for folders. splits: of 0, 1, 2, or all None. heads: {bias: list of str}.
    """
    where, may_lack = [place or name for place, name in zip(places, names, strict=True)], [bool(s) for s in splits]
    never, kind = [False] * len(names), None if target is None else "column "
    label, classes, said = encode(source, where, labels, target or "class folder", kind, MOST_CLASSES, never)
    coded = [encode(source, where, texts, name, kind, MOST_BIASES, may_lack) for name, texts in heads.items()]
    notes = [*notes, *said, *(note for *_, said in coded for note in said)]
    bias = np.stack([head for head, *_ in coded], 1) if coded else np.zeros((len(names), 0), np.int64)
    if splits[0] is None:
        splits = split_by_group(names, np.column_stack([label, bias]), seed)
        shares = " / ".join(f"{100 * share:.0f} %" for share in SHARES)
        notes.append(f"nothing says which images are for the test: split {shares} within every group, with seed {seed}")
    first, doubled, missing = {}, [], np.zeros(len(names), bool)
    for i, path in enumerate(paths):
        try:
            status = os.stat(path)
            key = (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)
        except (OSError, ValueError):
            missing[i], key = True, os.path.normpath(path)
        if first.setdefault(key, i) != i:
            doubled.append((i, first[key]))
    table = Table(
        source, names, paths, places, np.array(splits, np.int64), label, bias, classes, tuple(heads),
        tuple(values for _, values, _ in coded), missing, tuple(doubled), tuple(notes), target, colour, columns,
    )  # fmt: skip
    check(table)
    return dataclasses.replace(table, notes=(*table.notes, *remarks(table)))


def encode(source, where, texts, name, kind, most, may_lack):
    """A column's texts as numbers: (int64 (N,), names in order, notes).

    Whole numbers, 1.0 among them, are ordered as numbers, everything else as text. where: what each row is called.
    kind: "column ", or None for a level of folders. may_lack: list of bool; a missing value becomes IGNORE_INDEX.
    Raises UserError.
    """
    what, folders = f"{kind or ''}{name}", kind is None
    missing = [not text or (not folders and text.casefold() in MISSING) for text in texts]
    for i, (text, is_missing, may) in enumerate(zip(texts, missing, may_lack, strict=True)):
        if is_missing and not may:
            said = f" ({text} counts as missing)" if text else ""
            advice = "only test and validation images may lack one" if any(may_lack) else "fill it in, or remove it"
            raise UserError(f"{source}, {where[i]}, {what} has no value{said}; {advice}")
    known = {text for text, is_missing in zip(texts, missing, strict=True) if not is_missing}
    numbers = {t for t in known if (t.isdecimal() if folders else WHOLE.fullmatch(t))}
    if not folders and numbers != known and all(map(is_number, known)):
        text = min(known - numbers)
        raise UserError(
            f"{source}, {where[texts.index(text)]}, {what}: {text} is no class; labels are words or whole numbers: make"
            " bins of the values, or name another column"
        )
    all_whole = bool(known) and numbers == known
    canonical = {t: str(int(t.split(".")[0])) if all_whole and not folders else t for t in known}
    names = sorted(set(canonical.values()), key=(lambda t: (int(t), t)) if all_whole else str)
    if len(names) > most:
        raise UserError(
            f"{source}, {what} has {len(names)} values ({listed(names, 3)}), at most {most} can be told apart; name "
            "another column, or make bins of it"
        )
    notes = []
    lower = [n.casefold() for n in names]
    if alike := [n for n in names if lower.count(n.casefold()) > 1]:
        notes.append(f"{what} has values that differ by case alone: {listed(alike, 6)}")
    if numbers and not all_whole and not folders:
        notes.append(f"{what} holds numbers and words; all are taken as words")
    code = {text: names.index(canonical[text]) for text in known}
    codes = [IGNORE_INDEX if lacks else code[text] for text, lacks in zip(texts, missing, strict=True)]
    return np.array(codes, np.int64), tuple(names), notes


def is_number(text):
    """Whether a text is a number of any kind."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def split_by_group(names, groups, seed):
    """Splits by SHARES within every group: int64 (N,), 0, 1 or 2. Every group keeps at least one training image.

    names: of the images, whose order it depends on, not that of the rows; groups: int64 (N, columns).
    """
    split = np.zeros(len(names), np.int64)
    rng = np.random.default_rng(seed)
    _, member = np.unique(groups, axis=0, return_inverse=True)
    for group in range(member.max() + 1):
        positions = sorted(np.flatnonzero(member.ravel() == group), key=lambda i: names[i])
        order = rng.permutation(positions)
        test = min(round(SHARES[2] * len(order)), len(order) - 1)
        val = min(round(SHARES[1] * len(order)), len(order) - 1 - test)
        split[order[:test]], split[order[test : test + val]] = 2, 1
    return split


def check(table):
    """Raises UserError for what cannot be trained or evaluated on."""
    train = table.split == 0
    for split, word in ((0, "training"), (2, "test")):
        if not (table.split == split).any():
            advice = "call the validation images test" if split and (table.split == 1).any() else "name some"
            raise UserError(f"{table.source} has no {word} images (split {split}, or {SPLITS[split]}); {advice}")
    if len(table.classes) == 1:
        raise UserError(f"{table.source} has one class only, {table.classes[0]}; at least two are needed")
    for label, name in enumerate(table.classes):
        if (mine := table.label == label).any() and not (mine & train).any():
            first = table.place(int(np.flatnonzero(mine)[0]))
            raise UserError(f"the class {name} has no training image ({first}); add some, or leave this class out")
    if len(set(table.label[train].tolist())) == 1:
        raise UserError(f"all training images of {table.source} are of one class; at least two are needed")
    for i, name in enumerate(table.biases):
        seen = set(table.bias[train, i].tolist())
        if len(seen) == 1:
            raise UserError(
                f"{table.source}: all training images have the bias {name} = {table.values[i][min(seen)]}, so there is "
                "none to unlearn; name another column with --bias, or give --bias colour"
            )


def remarks(table):
    """What a person should know of the bias values, as a list of sentences."""
    said = []
    for i, name in enumerate(table.biases):
        for split in (1, 2):
            mine = table.where(split)
            if lacking := int((table.bias[mine, i] == IGNORE_INDEX).sum()):
                said.append(f"{SPLITS[split]}: {lacking} of {len(mine)} images have no {name}, so they are in no group")
        seen = set(table.bias[table.where(0), i].tolist())
        if unseen := [value for b, value in enumerate(table.values[i]) if b not in seen]:
            said.append(f"{name}: {listed(unseen, 5)} does not occur in training")
    return said
