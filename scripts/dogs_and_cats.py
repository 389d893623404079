"""The paper's dogs and cats: writes the metadata.csv of TB1 or TB2 for the images of Kaggle's "Dogs vs. Cats".

    python -m scripts.dogs_and_cats --images DIR --bright list_bright.txt --dark list_dark.txt --out DIR --train TB1
    python train.py -e cats --dataset images --data_dir DIR

TB1 holds bright dogs and dark cats, TB2 dark dogs and bright cats. One is for training, the other for the test: the
colour of the coat tells the animal in training, and the opposite one in the test. The lists are those of the official
repository (dataset/dogs_and_cats), lines such as `cat.10007.jpg`. Images in neither list are not used.

Not run on the real images, which are Kaggle's to give: tested on small files of the same form.
"""

from common import Parser, location
from common.errors import exits
from scripts.metadata import check_out, write_metadata

TB1 = {("bright", "dog"), ("dark", "cat")}  # the rest is TB2


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
    check_out(option.out)
    rows = []
    for coat in ("bright", "dark"):
        for name in getattr(option, coat).read_text("utf-8").split():
            animal = name[:3]
            is_train = ((coat, animal) in TB1) == (option.train == "TB1")
            rows.append((name, animal, coat, "train" if is_train else "test"))
    write_metadata(option.out, option.images, ("filename", "label", "bias", "split"), rows)


if __name__ == "__main__":
    main()
