"""Cut-outs: animals and food pasted on photographs of plants and of water, a set with a bias that anyone can make.

    apt-get install tuxpaint-stamps-default mate-backgrounds plasma-workspace-wallpapers
    python -m scripts.cutouts --out DIR
    python train.py -e NAME --dataset images --data_dir DIR --image_size 64

In training 95 % of the animals are on plants and 95 % of the food on water and sky; in validation and test, half are.
The label `y` is what is pasted; the bias is the kind of photograph, `place`. All pastings of one thing are in one
split, and all cuttings of one photograph too: the test shows new things on new photographs.

The pictures are those of three Debian packages, all under the GNU GPL 2 or later: photographs of
tuxpaint-stamps-default (Bill Kendrick and others), mate-backgrounds, and plasma-workspace-wallpapers (KDE's Visual
Design Group). Their authors are named in /usr/share/doc/PACKAGE/copyright. What is made of them is under the same
licence.
"""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from common import Parser, location, number, seed
from common.errors import UserError, exits
from dataset.pictures import to_rgb
from scripts.metadata import check_out, write_metadata

STAMPS = Path("/usr/share/tuxpaint/stamps")  # where Debian's packages put them
CLASSES = {"animal": ("animals/birds", "animals/mammals", "animals/marsupials"), "food": ("food",)}  # folders in it
DRAWN = {"cartoon", "toys", "echidna.png", "hedgehog.png", "pizza.png"}  # folders and stamps that are no photographs
MATE, KDE = Path("/usr/share/backgrounds/mate/nature"), Path("/usr/share/wallpapers")
KINDS = {  # photographs: NAME.jpg of MATE, or the folder NAME of KDE, which has one in several sizes
    "plants": "Blinds FallenLeaf FreshFlower Garden GreenMeadow LadyBird OneStandsOut Path RainDrops TwoWings "
    "YellowFlower",
    "water": "Aqua BytheWater ColdRipple DarkestHour EveningGlow Kite Storm Volna summer_1am",
}
COUNTS = (800, 100, 200)  # images of each class in training, validation, test
SHARES = (0.2, 0.2)  # of the things, and of the photographs, in validation and test
CUT = (0.3, 0.8)  # side of the part of a photograph, as a share of its shorter side
LONGER = (0.6, 0.95)  # longer side of a pasted stamp, as a share of the image
LARGEST = 800  # shorter side in pixels to which photographs are scaled down before anything else
BILINEAR = Image.Resampling.BILINEAR


def debian_stamps(folder=STAMPS):
    """{class: {thing: [paths]}} of Tux Paint's photographs. Stamps whose names begin with one word are one thing."""
    found = {name: {} for name in CLASSES}
    for name, folders in CLASSES.items():
        for path in sorted(p for part in folders for p in (folder / part).rglob("*.png")):
            if not DRAWN.intersection(path.relative_to(folder).parts):
                found[name].setdefault(re.split(r"[-_]", path.stem)[0].lower(), []).append(path)
    return found


def debian_photographs(mate=MATE, kde=KDE):
    """{kind: {photograph: [path]}} of those of KINDS that are there; of several sizes, the largest file."""
    found = {kind: {} for kind in KINDS}
    for kind, names in KINDS.items():
        for name in names.split():
            if files := [p for p in (mate / f"{name}.jpg", *(kde / name / "contents/images").glob("*")) if p.is_file()]:
                found[kind][name] = [max(files, key=lambda p: (p.stat().st_size, p.name))]
    return found


def split_things(things, rng):
    """Three or more things by name, shuffled and cut by SHARES: three lists of names, none of them empty."""
    names = [sorted(things)[i] for i in rng.permutation(len(things))]
    val, test = (max(1, round(share * len(names))) for share in SHARES)
    return names[val + test :], names[:val], names[val : val + test]


def read_photograph(path):
    """A photograph as an RGB image, LARGEST pixels at its shorter side where it has more."""
    image = Image.open(path)
    image.draft("RGB", (2 * LARGEST, 2 * LARGEST))
    image = to_rgb(image)
    scale = min(1, LARGEST / min(image.size))
    return image.resize([round(scale * side) for side in image.size], BILINEAR)


def read_stamp(path):
    """An RGBA image, cut to what is not transparent."""
    image = Image.open(path).convert("RGBA")
    return image.crop(image.getchannel("A").point(lambda a: 255 * (a > 32)).getbbox())


def cutting(photograph, size, rng):
    """A random square of a photograph, mirrored or not, as an RGB image of `size` pixels."""
    side = round(rng.uniform(*CUT) * min(photograph.size))
    left, top = (int(rng.integers(0, length - side + 1)) for length in photograph.size)
    return mirrored(photograph.resize((size, size), BILINEAR, (left, top, left + side, top + side)), rng)


def pasted(stamp, ground, rng):
    """A stamp of random size, mirrored or not, somewhere on `ground`, all of it visible. Returns a new RGB image."""
    scale = ground.width * rng.uniform(*LONGER) / max(stamp.size)
    small = [max(1, round(scale * side)) for side in stamp.size]
    stamp = mirrored(stamp.resize(small, BILINEAR), rng)
    image = ground.copy()
    image.paste(stamp, tuple(int(rng.integers(0, ground.width - side + 1)) for side in small), stamp)
    return image


def mirrored(image, rng):
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image


def plan(stamps, photographs, counts, bias, rng):
    """Which image is made of what: a list of (class, kind, split, thing, photograph), names all but the split.

    counts: as COUNTS. bias: share of a class's training images that are on its own kind of photograph. Things and
    photographs take turns, so all of one split and kind are equally frequent (but for one image).
    """
    classes, kinds = sorted(stamps), sorted(photographs)
    things = {name: split_things(stamps[name], rng) for name in classes}
    grounds = {name: split_things(photographs[name], rng) for name in kinds}
    rows = []
    for split, count in enumerate(counts):
        for own_kind, name in enumerate(classes):
            own = round((bias if split == 0 else 0.5) * count)
            for kind, n in zip(kinds, (own, count - own) if own_kind == 0 else (count - own, own), strict=True):
                turns = (rng.permutation(np.resize(names[split], n)) for names in (things[name], grounds[kind]))
                rows += [(name, kind, split, str(thing), str(ground)) for thing, ground in zip(*turns, strict=True)]
    return rows


def make(out, stamps, photographs, counts, bias, seed, size=64):
    """Writes `out`/images/*.png, of `size` pixels, and `out`/metadata.csv."""
    rng = np.random.default_rng(seed)
    rows = plan(stamps, photographs, counts, bias, rng)
    cut = {(c, n): [read_stamp(p) for p in paths] for c, things in stamps.items() for n, paths in things.items()}
    grounds = {(k, n): read_photograph(paths[0]) for k, found in photographs.items() for n, paths in found.items()}
    (out / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for position, (name, kind, split, thing, ground) in enumerate(rows):
        several = cut[name, thing]
        image = pasted(several[rng.integers(len(several))], cutting(grounds[kind, ground], size, rng), rng)
        lines.append((f"images/{position:05d}.png", name, split, kind, thing, ground))
        image.save(out / lines[-1][0])
    write_metadata(out, out, ("img_filename", "y", "split", "place", "thing", "photograph"), lines)


@exits
def main(arguments=None):
    """Pastes animals and food on photographs of plants and of water: a set with a known bias."""
    parser = Parser(prog="-m scripts.cutouts", description=main.__doc__)
    parser.add_argument("--out", type=location, required=True, help="folder for images/ and metadata.csv")
    parser.add_argument("--share", type=number(float, 0, 1), default=0.95, help="of a class on its own kind [0.95]")
    parser.add_argument("--seed", type=seed, default=0, help="of the splits and of every image [0]")
    parser.add_argument("--size", type=number(int, 8, 1024), default=64, help="side of the images in pixels [64]")
    option = parser.parse_args(arguments)
    check_out(option.out)
    stamps, photographs = debian_stamps(), debian_photographs()
    if any(len(things) < 3 for found in (stamps, photographs) for things in found.values()):  # one for each split
        packages = "tuxpaint-stamps-default mate-backgrounds plasma-workspace-wallpapers"
        raise UserError(f"the photographs are not installed; apt-get install {packages}")
    make(option.out, stamps, photographs, COUNTS, option.share, option.seed, option.size)


if __name__ == "__main__":
    main()
