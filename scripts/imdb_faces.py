"""The paper's faces of IMDB: writes the metadata.csv of EB1 or EB2, young women and old men or the other way round.

    python -m scripts.imdb_faces --images DIR --split imdb_split.npz --age_gender imdb_age_gender.npz --out DIR
    python train.py -e faces --dataset images --data_dir DIR --target gender --bias age

EB1 holds women of 0 to 29 and men of 40 and older, EB2 women of 40 and older and men of 0 to 29, both of the training
list. One is trained on; the test is the other one, or the test list (--test list). Ages are in twelve bins.

The official files are dictionaries that NumPy pickled, and a pickle can run anything when it is loaded. Where they are
trusted, this makes plain arrays of them:

    import numpy as np
    split, people = (np.load(f"imdb_{name}.npy", allow_pickle=True, encoding="latin1").item()
                     for name in ("split", "age_gender"))
    np.savez("imdb_split.npz", **{key: np.array(split[key], str) for key in ("train_list", "test_list")})
    np.savez("imdb_age_gender.npz", name=np.array([*people], str),
             **{key: np.array([int(p[key]) for p in people.values()]) for key in ("age", "gender")})

Their form is that of the official README: {"train_list": names, "test_list": names} and {name: {"age": ..., "gender":
...}}. That the names are paths below the folder of images, and that gender is 0 for women and 1 for men, as in
IMDB-WIKI, is an assumption. Nobody here has the files: tested on small ones of that form.
"""

import numpy as np

from common import Parser, location
from common.errors import UserError, exits
from scripts.metadata import check_out, write_metadata

BINS = (0, *range(20, 71, 5), 120)  # the ages at which a bin begins, and the end


def read_arrays(path, *keys):
    """The arrays of an .npz file as lists, in the order of `keys`. Raises UserError; nothing is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return [file[key].tolist() for key in keys]
    except (ValueError, KeyError, AttributeError) as error:
        advice = f"give an .npz file with {', '.join(keys)}, made as scripts/imdb_faces.py says"
        raise UserError(f"{path} cannot be read ({type(error).__name__}); {advice}") from None


def bin_name(age):
    """The bin of an age, as text that sorts by age: 0-19, 20-24, ..., 70-119."""
    low = max(edge for edge in BINS[:-1] if edge <= age)
    return f"{low}-{BINS[BINS.index(low) + 1] - 1}"


def rows_of(train_list, test_list, people, train, test):
    """Rows (name, gender, bin of the age, split). people: {name: (age, gender)}. Raises UserError."""
    splits = {train: "train"} if test == "list" else {"EB1": "test", "EB2": "test"} | {train: "train"}
    if unknown := [name for name in (*train_list, *test_list) if name not in people]:
        raise UserError(f"{unknown[0]} has no age and gender; give the two files of one download")
    found = []
    for name in train_list:
        age, gender = people[name]
        part = None if 30 <= age < 40 else "EB1" if (age < 30) == (gender == 0) else "EB2"
        found.append((name, splits.get(part)))
    found += [(name, "test") for name in test_list if test == "list"]
    return [
        (name, ("woman", "man")[people[name][1]], bin_name(people[name][0]), split) for name, split in found if split
    ]


@exits
def main(arguments=None):
    """Writes the metadata.csv of the paper's IMDB faces: trained on young women and old men, or the other way round."""
    parser = Parser(prog="-m scripts.imdb_faces", description=main.__doc__)
    add, needed = parser.add_argument, {"type": location, "required": True}
    add("--images", help="folder of the images (imdb_crop)", **needed)
    add("--split", help="imdb_split.npz: train_list and test_list, names of images", **needed)
    add("--age_gender", help="imdb_age_gender.npz: name, age and gender of all images", **needed)
    add("--out", help="folder for metadata.csv; made if it is missing", **needed)
    add("--train", choices=("EB1", "EB2"), default="EB1", help="what is trained on [EB1]")
    add("--test", choices=("other", "list"), default="other", help="tested on: the other, or the list")
    option = parser.parse_args(arguments)
    check_out(option.out)
    names, *about = read_arrays(option.age_gender, "name", "age", "gender")
    people = dict(zip(names, zip(*about, strict=True), strict=True))
    rows = rows_of(*read_arrays(option.split, "train_list", "test_list"), people, option.train, option.test)
    write_metadata(option.out, option.images, ("filename", "gender", "age", "split"), rows)


if __name__ == "__main__":
    main()
