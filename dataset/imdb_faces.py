"""The paper's faces of IMDB: writes the metadata.csv of EB1 or EB2, young women and old men or the other way round.

    python -m dataset.imdb_faces --images DIR --split imdb_split.npz --age_gender imdb_age_gender.npz --out DIR
    bash train.sh --dataset images --data_dir DIR --target gender --bias age

EB1 holds women of 0 to 29 and men of 40 and older, EB2 women of 40 and older and men of 0 to 29, both of the training
list. One is trained on; the test is the other one, or the test list (--test list). Ages are in twelve bins.

The official files, imdb_split.npy and imdb_age_gender.npy, are dictionaries that NumPy pickled, and a pickle can run
anything when it is loaded. They are refused; `CONVERT` turns them into plain arrays where they are trusted. Their form
is that of the official README: {"train_list": names, "test_list": names} and {name: {"age": ..., "gender": ...}}.
That the names are paths below the folder of images, and that gender is 0 for women and 1 for men, as in IMDB-WIKI, is
an assumption. Nobody here has the files or the images: tested on small ones of the form described.
"""

import shlex
import zipfile
from collections import Counter

import numpy as np

from common import Parser, location
from common.errors import UserError, exits
from dataset.metadata import check_images, check_out, write_metadata

BINS = (0, *range(20, 71, 5), 120)  # the ages at which a bin begins, and the end
GENDERS = ("woman", "man")
CONVERT = (
    "import numpy as np; load = lambda name: np.load(name, allow_pickle=True, encoding='latin1').item();"
    " text = lambda n: n.decode() if isinstance(n, bytes) else str(n);"
    " split, people = load('imdb_split.npy'), load('imdb_age_gender.npy');"
    " np.savez('imdb_split.npz', **{k: np.array([text(n) for n in split[k]]) for k in ('train_list', 'test_list')});"
    " np.savez('imdb_age_gender.npz', name=np.array([text(n) for n in people]),"
    " **{k: np.array([int(p[k]) for p in people.values()]) for k in ('age', 'gender')})"
)


def read_arrays(path, keys):
    """The arrays of an .npz file by name, each 1-dimensional; texts as str. Raises UserError; nothing is unpickled."""
    try:
        with open(path, "rb") as file:
            begins = file.read(6)
            if begins[:4] != b"PK\x03\x04" and begins != b"\x93NUMPY":
                raise UserError(f"{path} is no .npz file of NumPy; copy or convert it again")
            file.seek(0)
            arrays = np.load(file, allow_pickle=False)
            if isinstance(arrays, np.ndarray):
                raise UserError(f"{path} is a single array; expected an .npz file with {', '.join(keys)}")
            if lacking := set(keys) - set(arrays.files):
                raise UserError(f"{path} lacks the array {min(lacking)}; it needs {', '.join(keys)}")
            found = {key: arrays[key] for key in keys}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        if "pickle" in str(error).lower():
            advice = "if you trust where it comes from, convert it with the command that --convert prints"
            raise UserError(f"{path} holds pickled objects, which can run anything when loaded; {advice}") from None
        raise UserError(f"{path} is no .npz file of NumPy; copy or convert it again") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the path") from None
    for key, array in found.items():
        if array.ndim != 1 or array.dtype.kind not in "USiuf":
            raise UserError(
                f"{path}: {key} is {array.dtype} of shape {array.shape}; expected a list of names or numbers"
            )
        if array.dtype.kind == "S":
            try:
                found[key] = np.char.decode(array, "utf-8")
            except UnicodeDecodeError:
                raise UserError(f"{path}: {key} holds names that are not UTF-8; rename those files") from None
    return found


def people(path):
    """{name: (age, gender)} of all images, whole numbers. Raises UserError."""
    arrays = read_arrays(path, ("name", "age", "gender"))
    names, age, gender = arrays.values()
    if not len(names) == len(age) == len(gender):
        raise UserError(f"{path}: {len(names)} names, {len(age)} ages and {len(gender)} genders; it needs one of each")
    for what, values, top in (("age", age, BINS[-1] - 1), ("gender", gender, 1)):
        if values.dtype.kind not in "iuf":
            raise UserError(f"{path}: {what} holds texts; expected whole numbers")
        wrong = np.flatnonzero(~((values >= 0) & (values <= top) & (values == np.floor(values))))
        if len(wrong):
            n, of = len(wrong), names[wrong[0]]
            raise UserError(
                f"{path}: {what} of {of} is {values[wrong[0]]} ({n} such), expected a whole number to {top}"
            )
    return {str(n): (int(a), int(g)) for n, a, g in zip(names, age, gender, strict=True)}


def bin_name(age):
    """The bin of an age, as text that sorts by age: 0-19, 20-24, ..., 70-119."""
    low = max(edge for edge in BINS[:-1] if edge <= age)
    return f"{low}-{BINS[BINS.index(low) + 1] - 1}"


def extreme(age, gender):
    """Which of EB1 and EB2 a person belongs to, or None."""
    if 30 <= age < 40:
        return None
    return "EB1" if (age < 30) == (gender == 0) else "EB2"


def rows_of(lists, of, train, test):
    """Rows (name, gender, bin of the age, split). lists: train_list and test_list; of: {name: (age, gender)}."""
    rows = []
    for key, names in lists.items():
        for name in map(str, names):
            if name not in of:
                raise UserError(f"{name} of {key} has no age and gender; give the two files of one download")
            age, gender = of[name]
            part = extreme(age, gender)
            if key == "train_list" and part == train:
                split = "train"
            elif (key == "test_list") if test == "list" else (key == "train_list" and part):
                split = "test"
            else:
                continue
            rows.append((name, GENDERS[gender], bin_name(age), split))
    return rows


@exits
def main(arguments=None):
    """Writes the metadata.csv of the paper's IMDB faces: trained on young women and old men, or the other way round."""
    parser = Parser(prog="-m dataset.imdb_faces", description=main.__doc__)
    parser.add_argument("--images", type=location, help="folder of the images (imdb_crop)")
    parser.add_argument("--split", type=location, help="imdb_split.npz: train_list and test_list, names of images")
    parser.add_argument("--age_gender", type=location, help="imdb_age_gender.npz: name, age and gender of all images")
    parser.add_argument("--out", type=location, help="folder for metadata.csv; made if it is missing")
    parser.add_argument("--train", choices=("EB1", "EB2"), default="EB1", help="what is trained on [EB1]")
    parser.add_argument(
        "--test", choices=("other", "list"), default="other",
        help="what is tested on: the other extreme part, or the test list [other]",
    )  # fmt: skip
    parser.add_argument(
        "--convert", action="store_true", help="print the command that converts the official .npy files"
    )
    option = parser.parse_args(arguments)
    if option.convert:
        print(f"python -c {shlex.quote(CONVERT)}")
        return
    for name in ("images", "split", "age_gender", "out"):
        if getattr(option, name) is None:
            raise UserError(f"--{name} is missing (see `python -m dataset.imdb_faces --help`)")
    check_images(option.images)
    check_out(option.out)
    lists = read_arrays(option.split, ("train_list", "test_list"))
    rows = rows_of(lists, people(option.age_gender), option.train, option.test)
    for split in ("train", "test"):
        if not any(row[-1] == split for row in rows):
            raise UserError(f"no image of {option.split} belongs into the {split} set; check the two files")
    path = write_metadata(option.out, option.images, ("filename", "gender", "age", "split"), rows)
    for (split, gender), n in sorted(Counter((r[3], r[1]) for r in rows).items(), reverse=True):
        print(f"{split}, {gender}: {n}")
    print(f"written: {path}, trained on {option.train}")
    print(f"next: python -m dataset.images {shlex.quote(str(option.out))} --target gender --bias age")


if __name__ == "__main__":
    main()
