"""Makes small sets of images with a bias of a known kind, which `--dataset images --data_dir DIR` reads.

    python -m scripts.biases texture --out DIR                  shapes on textures, 95 % of each shape on its own
    python -m scripts.biases texture --out DIR --share 0.25     the same without the bias: the ceiling

DIR gets PNG images of 32 pixels and metadata.csv: filename, label, bias, split (train, val, test). Of a label's
training images the share `--share` has its own value of the bias, and the others share the rest. In validation and
test all pairs are equally frequent. The same arguments give the same pixels. Test digits are MNIST's test digits.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from common import Parser, location, number, seed
from common.errors import exits
from dataset.mnist import load_mnist
from scripts.metadata import check_out, write_metadata

SIZE, TRAIN, VAL, TEST = 32, 1600, 200, 400
NOISE = 12  # standard deviation of every value, in grey levels
SHAPES = {"disc": (40, 1), "square": (4, 1), "triangle": (3, 1), "star": (8, 0.4)}  # corners, every second one's radius


def digit(pool, side, rng, at=None):
    """A random image of uint8 (N, 28, 28), `side` pixels wide, in the middle or `at` a corner: float (SIZE, SIZE)."""
    mask = Image.new("L", (SIZE, SIZE))
    mask.paste(Image.fromarray(pool[rng.randint(len(pool))]).resize((side, side)), at or ((SIZE - side) // 2,) * 2)
    return np.asarray(mask) / 255


def shape(name, rng):
    """A shape of random size and place: float (SIZE, SIZE), 0 to 1."""
    corners, inner = SHAPES[name]
    turn = 2 * np.pi * (np.arange(corners) + 0.5) / corners
    r = rng.uniform(7, 10)
    x, y = rng.uniform(r, SIZE - r, (2, 1)) + np.resize([r, inner * r], corners) * [np.cos(turn), np.sin(turn)]
    mask = Image.new("L", (4 * SIZE, 4 * SIZE))  # four times as large, for smooth edges
    ImageDraw.Draw(mask).polygon([*zip(4 * x, 4 * y, strict=True)], fill=255)
    return np.asarray(mask.resize((SIZE, SIZE), Image.Resampling.BOX)) / 255


def pattern(name, rng):
    """Stripes or a grid with a period of four to six pixels: float (SIZE, SIZE), 0 or 1."""
    u, v = np.indices((SIZE, SIZE)) + rng.uniform(0, 6)
    period = rng.uniform(4, 6)
    lying, upright, slanted = (z % period < period / 2 for z in (u, v, u + v))
    return {"lying": lying, "upright": upright, "slanted": slanted, "checks": lying ^ upright}[name].astype(float)


def over(mask, colour, ground):
    """`colour` where the mask is 1, `ground` where it is 0: float (SIZE, SIZE, 3)."""
    return mask[..., None] * colour + (1 - mask[..., None]) * ground


def texture(label, bias, rng, pool):
    ground = over(pattern(bias, rng), rng.uniform(60, 130, 3), rng.uniform(0, 70, 3))
    return over(shape(label, rng), rng.uniform(140, 255, 3), ground)


def place(label, bias, rng, pool):
    at = (1 if bias == "left" else 13) + rng.randint(0, 4), rng.randint(0, 15)
    return over(digit(pool, 16, rng, at), rng.uniform(150, 255, 3), rng.uniform(0, 90, 3))


def mark(label, bias, rng, pool):
    picture = over(digit(pool, 26, rng), rng.uniform(120, 255, 3), rng.uniform(0, 90, 3))
    turn = 2 * np.pi * int(bias) / 10
    u, v = (round(15 + 14 * np.clip(1.4 * t, -1, 1)) for t in (np.sin(turn), np.cos(turn)))
    picture[max(u - 1, 0) : u + 2, max(v - 1, 0) : v + 2] = rng.uniform(180, 255, 3)
    return picture


def brightness(label, bias, rng, pool):
    ground = rng.uniform(30, 100) if bias == "dark" else rng.uniform(155, 225)
    return over(shape(label, rng), ground + rng.choice([-1, 1]) * rng.uniform(15, 30), ground + np.zeros(3))


def blur(label, bias, rng, pool):
    picture = over(digit(pool, 26, rng), rng.uniform(150, 255, 3), rng.uniform(0, 100, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1.5 * (bias == "blurred"))))


class Bias(NamedTuple):
    draw: Callable  # (label, value, np.random.RandomState, the label's digits of MNIST) -> RGB, (SIZE, SIZE, 3)
    labels: tuple
    values: tuple  # label k's own is the one at k * len(values) // len(labels)
    share: float  # default of --share


DIGITS = tuple("0123456789")
BIASES = {
    "texture": Bias(texture, tuple(SHAPES), ("lying", "upright", "slanted", "checks"), 0.95),
    "place": Bias(place, ("4", "9"), ("left", "right"), 0.95),
    "mark": Bias(mark, DIGITS, DIGITS, 0.95),
    "brightness": Bias(brightness, ("disc", "square"), ("dark", "bright"), 0.99),
    "blur": Bias(blur, DIGITS, ("sharp", "blurred"), 0.99),
}


def pairs(kind, count, share, rng):
    """`count` or a few more pairs (label, value of the bias), in random order."""
    found, each = [], -(-count // len(kind.labels))
    for k, label in enumerate(kind.labels):
        own = kind.values[k * len(kind.values) // len(kind.labels)]
        others = [value for value in kind.values if value != own]
        aligned = round(each * share)
        found += [(label, own)] * aligned + [(label, others[i % len(others)]) for i in range(each - aligned)]
    return [found[i] for i in rng.permutation(len(found))]


def images(kind, share, seed):
    """Yields (split, label, value of the bias, uint8 (SIZE, SIZE, 3)) of every image."""
    mnist, rng = load_mnist(), np.random.RandomState(seed)
    cells, even = len(kind.labels) * len(kind.values), 1 / len(kind.values)
    val, test = (-(-count // cells) * cells for count in (VAL, TEST))  # as many of every pair
    for split, count, own in (("train", TRAIN, share), ("val", val, even), ("test", test, even)):
        raw, of = mnist[2:] if split == "test" else mnist[:2]
        pools = {label: raw[of == int(label)] for label in kind.labels if label.isdigit()}
        for label, bias in pairs(kind, count, own, rng):
            picture = kind.draw(label, bias, rng, pools.get(label)) + rng.normal(0, NOISE, (SIZE, SIZE, 3))
            yield split, label, bias, picture.clip(0, 255).astype(np.uint8)


@exits
def main(arguments=None):
    """Makes a small set of images with a bias of a known kind."""
    parser = Parser(prog="-m scripts.biases", description=main.__doc__)
    parser.add_argument("name", choices=BIASES)
    parser.add_argument("--out", type=location, required=True, help="folder that is made")
    parser.add_argument("--share", type=number(float, 0, 1), help="of a label's images with its own value of the bias")
    parser.add_argument("--seed", type=seed, default=0)
    option = parser.parse_args(arguments)
    check_out(option.out)
    option.out.mkdir(parents=True, exist_ok=True)
    kind, rows = BIASES[option.name], []
    share = kind.share if option.share is None else option.share
    for n, (split, label, bias, picture) in enumerate(images(kind, share, option.seed)):
        rows.append((f"{split}_{n:05d}.png", label, bias, split))
        Image.fromarray(picture).save(option.out / rows[-1][0])
    write_metadata(option.out, option.out, ("filename", "label", "bias", "split"), rows)


if __name__ == "__main__":
    main()
