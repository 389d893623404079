"""The paper's dogs and cats: writes the metadata.csv of TB1 or TB2 for the images of Kaggle's "Dogs vs. Cats".

    python -m scripts.dogs_and_cats --images DIR --bright list_bright.txt --dark list_dark.txt --out DIR --train TB1
    python train.py -e cats --dataset images --data_dir DIR

TB1 holds bright dogs and dark cats, TB2 dark dogs and bright cats. One is for training, the other for the test: the
colour of the coat tells the animal in training, and the opposite one in the test. The lists are those of the official
repository (dataset/dogs_and_cats), lines such as `cat.10007.jpg`. Images in neither list are not used.

Not run on the real images, which are Kaggle's to give: tested on small files of the same form.
"""

import re
from collections import Counter

from common import Parser, location
from common.errors import UserError, exits
from scripts.metadata import check_folders, write_metadata

OFFICIAL = {("bright", "cat"): 3086, ("bright", "dog"): 5299, ("dark", "cat"): 4748, ("dark", "dog"): 3652}
TB1 = {("bright", "dog"), ("dark", "cat")}  # the rest is TB2


def read_list(path):
    """The file names of a list, one a line. Raises UserError with the line that is none."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeError) as error:
        raise UserError(f"{path} cannot be read ({getattr(error, 'strerror', 'no text')}); give the list") from None
    for number, line in enumerate(lines, 1):
        if line.strip() and not re.fullmatch(r"(cat|dog)\.\d+\.jpe?g", line.strip(), re.IGNORECASE):
            raise UserError(f"{path}, line {number}: {line.strip()[:60]} is no name such as cat.0.jpg; give the list")
    return [line.strip() for line in lines if line.strip()]


@exits
def main(arguments=None):
    """Writes the metadata.csv of the paper's dogs and cats: bright dogs and dark cats, or the other way round."""
    parser = Parser(prog="-m scripts.dogs_and_cats", description=main.__doc__)
    parser.add_argument("--images", type=location, required=True, help="folder of Kaggle's training images")
    parser.add_argument("--bright", type=location, required=True, help="list_bright.txt of the official repository")
    parser.add_argument("--dark", type=location, required=True, help="list_dark.txt of the official repository")
    parser.add_argument("--out", type=location, required=True, help="folder for metadata.csv; made if it is missing")
    parser.add_argument("--train", choices=("TB1", "TB2"), default="TB1", help="what is trained on [TB1]; else tested")
    option = parser.parse_args(arguments)
    check_folders(option.out, option.images)
    coats = [(name, coat) for coat in ("bright", "dark") for name in read_list(getattr(option, coat))]
    for name, n in Counter(name for name, _ in coats).items():
        if n > 1:
            raise UserError(f"{name} stands in the lists {n} times; remove a line")
    rows = []
    for name, coat in coats:
        animal = name[:3].lower()
        is_train = ((coat, animal) in TB1) == (option.train == "TB1")
        rows.append((name, animal, coat, "train" if is_train else "test"))
    found = Counter((coat, animal) for _, animal, coat, _ in rows)
    write_metadata(option.out, option.images, ("filename", "label", "bias", "split"), rows)
    for (coat, animal), official in OFFICIAL.items():
        n = found[coat, animal]
        print(f"{coat} {animal}s: {n}" + ("" if n == official else f" (the official list has {official})"))


if __name__ == "__main__":
    main()
