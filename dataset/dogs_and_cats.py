"""The paper's dogs and cats: writes the metadata.csv of TB1 or TB2 for the images of Kaggle's "Dogs vs. Cats".

    python -m dataset.dogs_and_cats --images DIR --bright list_bright.txt --dark list_dark.txt --out DIR --train TB1
    bash train.sh --dataset images --data_dir DIR

TB1 holds bright dogs and dark cats, TB2 dark dogs and bright cats. One is for training, the other for the test: the
colour of the coat tells the animal in training, and the opposite one in the test. The lists are those of the official
repository (dataset/dogs_and_cats), lines such as `cat.10007.jpg`. Images in neither list are not used.

Not run on the real images, which are Kaggle's to give: tested on small files of the same form.
"""

import re
import shlex
from collections import Counter

from common import Parser, location
from common.errors import UserError, exits, one_line
from dataset.metadata import check_images, check_out, write_metadata

OFFICIAL = {("bright", "cat"): 3086, ("bright", "dog"): 5299, ("dark", "cat"): 4748, ("dark", "dog"): 3652}
TB1 = {("dog", "bright"), ("cat", "dark")}  # the rest is TB2
NAME = re.compile(r"(cat|dog)\.\d+\.jpe?g", re.IGNORECASE)


def read_list(path):
    """The file names of a list, one a line. Raises UserError with the line that is none."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeError) as error:
        raise UserError(f"{path} cannot be read ({getattr(error, 'strerror', 'no text')}); give the list") from None
    names = []
    for number, line in enumerate(lines, 1):
        name = line.strip()
        if name and not NAME.fullmatch(name):
            raise UserError(f"{path}, line {number}: {one_line(name)[:60]} is no name such as cat.0.jpg; give the list")
        names += [name] if name else []
    if not names:
        raise UserError(f"{path} names no image; give the list of the official repository")
    return names


def rows_of(bright, dark, train):
    """Rows (name, animal, coat, split) of the images of two lists of names. train: "TB1" or "TB2"."""
    rows, seen = [], {}
    for coat, names in (("bright", bright), ("dark", dark)):
        for name in names:
            if name in seen:
                raise UserError(f"{name} stands in the list of {seen[name]} and of {coat} coats; remove one line")
            seen[name] = coat
            animal = name[:3].lower()
            is_train = ((animal, coat) in TB1) == (train == "TB1")
            rows.append((name, animal, coat, "train" if is_train else "test"))
    return rows


@exits
def main(arguments=None):
    """Writes the metadata.csv of the paper's dogs and cats: bright dogs and dark cats, or the other way round."""
    parser = Parser(prog="-m dataset.dogs_and_cats", description=main.__doc__)
    parser.add_argument("--images", type=location, required=True, help="folder of Kaggle's training images")
    parser.add_argument("--bright", type=location, required=True, help="list_bright.txt of the official repository")
    parser.add_argument("--dark", type=location, required=True, help="list_dark.txt of the official repository")
    parser.add_argument("--out", type=location, required=True, help="folder for metadata.csv; made if it is missing")
    parser.add_argument(
        "--train", choices=("TB1", "TB2"), default="TB1", help="what is trained on [TB1]; tested on the other"
    )
    option = parser.parse_args(arguments)
    check_images(option.images)
    check_out(option.out)
    rows = rows_of(read_list(option.bright), read_list(option.dark), option.train)
    path = write_metadata(option.out, option.images, ("filename", "label", "bias", "split"), rows)
    found = Counter((coat, animal) for _, animal, coat, _ in rows)
    for coat, animal in OFFICIAL:
        n, official = found[coat, animal], OFFICIAL[coat, animal]
        print(f"{coat} {animal}s: {n}" + ("" if n == official else f" (the official list has {official})"))
    print(f"written: {path}, trained on {option.train}")
    print(f"next: python -m dataset.images {shlex.quote(str(option.out))}")


if __name__ == "__main__":
    main()
