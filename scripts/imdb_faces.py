"""The paper's faces of IMDB: writes the metadata.csv of EB1 or EB2, young women and old men or the other way round.

    python -m scripts.imdb_faces --images DIR --split imdb_split.npz --age_gender imdb_age_gender.npz --out DIR
    python train.py -e faces --dataset images --data_dir DIR --target gender --bias age

EB1 holds women of 0 to 29 and men of 40 and older, EB2 women of 40 and older and men of 0 to 29, both of the training
list. One is trained on; the test is the other one, or the test list (--test list). Ages are in twelve bins.

The official files, imdb_split.npy and imdb_age_gender.npy, are dictionaries that NumPy pickled, and a pickle can run
anything when it is loaded. They are refused; --convert prints a command that turns them into plain arrays where they
are trusted. Their form is that of the official README: {"train_list": names, "test_list": names} and
{name: {"age": ..., "gender": ...}}. That the names are paths below the folder of images, and that gender is 0 for women
and 1 for men, as in IMDB-WIKI, is an assumption. Nobody here has the files: tested on small ones of that form.
"""

import shlex
from collections import Counter

import numpy as np

from common import Parser, location
from common.errors import UserError, exits
from scripts.metadata import check_folders, write_metadata

BINS = (0, *range(20, 71, 5), 120)  # the ages at which a bin begins, and the end
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
        with np.load(path, allow_pickle=False) as file:
            found = {key: file[key] for key in keys}
    except Exception as error:  # whatever a file that is no such archive does to its readers
        why = getattr(error, "strerror", None) or ("pickle" in str(error) and "it is a pickle") or type(error).__name__
        advice = f"it needs an .npz file with {', '.join(keys)}: see --convert"
        raise UserError(f"{path} cannot be read ({why}); {advice}") from None
    for key, array in found.items():
        if array.ndim != 1 or array.dtype.kind not in "USiuf":
            raise UserError(f"{path}: {key} is {array.dtype} of shape {array.shape}; expected a list: see --convert")
    return [np.char.decode(a, "utf-8", "backslashreplace") if a.dtype.kind == "S" else a for a in found.values()]


def people(path):
    """{name: (age, gender)} of all images, whole numbers. Raises UserError."""
    names, ages, genders = read_arrays(path, ("name", "age", "gender"))
    if not len(names) == len(ages) == len(genders):
        raise UserError(f"{path}: {len(names)} names, {len(ages)} ages, {len(genders)} genders; it needs one of each")
    for what, values, top in (("age", ages, BINS[-1] - 1), ("gender", genders, 1)):
        wrong = [i for i, value in enumerate(values.tolist()) if value not in range(top + 1)]
        if wrong:
            of, n = names[wrong[0]], len(wrong)
            raise UserError(f"{path}: {what} of {of} is {values[wrong[0]]} ({n} such), expected 0 to {top}")
    return {str(n): (int(a), int(g)) for n, a, g in zip(names, ages, genders, strict=True)}


def bin_name(age):
    """The bin of an age, as text that sorts by age: 0-19, 20-24, ..., 70-119."""
    low = max(edge for edge in BINS[:-1] if edge <= age)
    return f"{low}-{BINS[BINS.index(low) + 1] - 1}"


def rows_of(train_list, test_list, of, train, test):
    """Rows (name, gender, bin of the age, split). of: {name: (age, gender)}. Raises UserError."""
    rows = []
    for is_test, name in [(False, name) for name in map(str, train_list)] + [(True, n) for n in map(str, test_list)]:
        if name not in of:
            raise UserError(f"{name} has no age and gender; give the two files of one download")
        age, gender = of[name]
        part = None if 30 <= age < 40 else "EB1" if (age < 30) == (gender == 0) else "EB2"
        split = None
        if is_test:
            split = "test" if test == "list" else None
        elif part:
            split = "train" if part == train else "test" if test == "other" else None
        if split:
            rows.append((name, ("woman", "man")[gender], bin_name(age), split))
    return rows


@exits
def main(arguments=None):
    """Writes the metadata.csv of the paper's IMDB faces: trained on young women and old men, or the other way round."""
    parser = Parser(prog="-m scripts.imdb_faces", description=main.__doc__)
    parser.add_argument("--images", type=location, help="folder of the images (imdb_crop)")
    parser.add_argument("--split", type=location, help="imdb_split.npz: train_list and test_list, names of images")
    parser.add_argument("--age_gender", type=location, help="imdb_age_gender.npz: name, age and gender of all images")
    parser.add_argument("--out", type=location, help="folder for metadata.csv; made if it is missing")
    parser.add_argument("--train", choices=("EB1", "EB2"), default="EB1", help="what is trained on [EB1]")
    parser.add_argument("--test", choices=("other", "list"), default="other", help="tested on: the other, or the list")
    parser.add_argument("--convert", action="store_true", help="print the command that converts the official files")
    option = parser.parse_args(arguments)
    if option.convert:
        print(f"python -c {shlex.quote(CONVERT)}")
        return
    for name in ("images", "split", "age_gender", "out"):
        if getattr(option, name) is None:
            raise UserError(f"--{name} is missing (see `python -m scripts.imdb_faces --help`)")
    check_folders(option.out, option.images)
    lists = read_arrays(option.split, ("train_list", "test_list"))
    rows = rows_of(*lists, people(option.age_gender), option.train, option.test)
    found = Counter((row[3], row[1]) for row in rows)
    for split in ("train", "test"):
        if not any(row[3] == split for row in rows):
            raise UserError(f"no image of {option.split} belongs into the {split} set; check the two files")
    write_metadata(
        option.out, option.images, ("filename", "gender", "age", "split"), rows, " --target gender --bias age"
    )
    print(", ".join(f"{split} {gender}: {n}" for (split, gender), n in sorted(found.items(), reverse=True)))


if __name__ == "__main__":
    main()
