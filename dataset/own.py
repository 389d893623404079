"""Makes a data set of your own images, whose colour gives their class away in training, in the released format.

    python -m dataset.own --train DIR --test DIR --out DIR
    bash train.sh --data_dir DIR --color_var 1                  # a baseline on them first, then LNTL

Each tree has a folder of images for every class, up to ten, as torchvision's ImageFolder reads it. In the test, colour
should say nothing of the class: the accuracy there shows what was unlearned. The bias is colour, as for the digits: its
labels are made of the images (`bias_labels` in batches.py), and none have to be given.
"""

import shlex
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from torchvision.datasets import ImageFolder
from tqdm import tqdm

from dataset.batches import luma
from dataset.released import MAX_BYTES, OWN, ReleasedFile, released_name, write_released
from errors import UserError, exits, one_line

SIZE = 28
CLASSES = 10


def read_image(path):
    """Reads an image file as uint8 (28, 28, 3): upright, RGB, scaled without keeping its proportions.

    Raises UserError where it cannot be read.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
            return np.asarray(upright.resize((SIZE, SIZE), Image.Resampling.LANCZOS))
    except Exception as error:  # in a damaged file, a decoder raises whatever its parser meets
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{path} cannot be read ({reason}); replace or remove this image") from None


def find_images(folder):
    """The images of a tree with a folder for each class, as an ImageFolder. Raises UserError."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give one that holds a folder of images for each class")
    try:
        found = ImageFolder(folder, loader=read_image)
    except FileNotFoundError as error:  # no class, or one without an image
        raise UserError(f"{folder}: {error}; it needs a folder of images for each class") from None
    if len(found.classes) > CLASSES:
        raise UserError(f"{folder} has {len(found.classes)} classes; the networks tell {CLASSES} apart, give no more")
    return found


def read_images(found):
    """All images and labels of an ImageFolder: uint8 (N, 28, 28, 3), int64 (N,)."""
    images = np.empty((len(found), SIZE, SIZE, 3), np.uint8)
    for index in tqdm(range(len(found)), desc=str(found.root), unit="image", disable=None):
        images[index] = found[index][0]
    return images, np.array(found.targets)


@exits
def main(arguments=None):
    """Writes a data set of your own images, a folder of them for each class, that train.py reads with --data_dir."""
    from option import Parser

    parser = Parser(prog="-m dataset.own", description=main.__doc__)
    for name in ("train", "test"):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"tree of the {name} images")
    parser.add_argument("--out", type=Path, required=True, help="folder for the file; made if it is missing")
    option = parser.parse_args(arguments)
    train, test = find_images(option.train), find_images(option.test)
    if odd := set(train.classes) ^ set(test.classes):
        where = option.train if min(odd) in test.classes else option.test
        raise UserError(f"{where} lacks the class {min(odd)}; give both trees the same folders")
    size = SIZE * SIZE * (3 * len(train) + 4 * len(test))
    if size > MAX_BYTES - 4096:
        raise UserError(f"the images take {size >> 20} MB, and {MAX_BYTES >> 20} MB can be read; give fewer")
    if option.out.exists() and not option.out.is_dir():
        raise UserError(f"--out {option.out} is a file; give a folder")

    (train_images, train_labels), (test_images, test_labels) = read_images(train), read_images(test)
    option.out.mkdir(parents=True, exist_ok=True)
    path = option.out / released_name(OWN)
    images = (train_images, train_labels, test_images, test_labels, luma(test_images)[..., 0])
    write_released(path, ReleasedFile(*images))
    print(f"written: {path}, {len(train)} training and {len(test)} test images")
    print("classes: " + ", ".join(f"{label} {one_line(name)}" for label, name in enumerate(train.classes)))
    print(f"next: bash train.sh --data_dir {shlex.quote(str(option.out))} --color_var {OWN:g}")


if __name__ == "__main__":
    main()
