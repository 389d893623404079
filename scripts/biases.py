"""Makes small sets of images with a bias of a known kind, to try methods on: `--dataset images --data_dir DIR` reads them.

    python -m scripts.biases texture --out DIR                  shapes on textures, 95 % of each shape on its own
    python -m scripts.biases texture --out DIR --share 0.25     the same without the bias: the ceiling

DIR gets PNG images of 32 pixels and metadata.csv: filename, label, bias, split (train, val, test). In the training
images a label has its own value of the bias with the probability `--share`, and every other value equally often; the
counts are exact. In the validation and test images all pairs of label and bias are equally frequent. The same
arguments give the same pixels. Digits are MNIST's: those of the test images come from MNIST's test images.
"""

import argparse
import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from common.errors import UserError, exits
from dataset.mnist import load_mnist

SIZE, TRAIN, VAL, TEST = 32, 1600, 200, 400
NOISE = 12  # standard deviation of every pixel, in grey levels


def digit(pool, side, rng, at=None):
    """A random one of the digits uint8 (N, 28, 28) as a mask, float (SIZE, SIZE), `side` pixels wide, in the middle or `at`."""
    small = Image.fromarray(pool[rng.randint(len(pool))]).resize((side, side), Image.Resampling.BILINEAR)
    mask = Image.new("L", (SIZE, SIZE))
    mask.paste(small, at if at else ((SIZE - side) // 2,) * 2)
    return np.asarray(mask) / 255


def shape(name, rng):
    """A disc, square, triangle or cross of random size and place as a mask, float (SIZE, SIZE)."""
    r = rng.uniform(6, 9)
    x, y = rng.uniform(r + 2, SIZE - r - 2, 2)
    mask = Image.new("L", (4 * SIZE, 4 * SIZE))  # four times as large, for smooth edges
    draw = ImageDraw.Draw(mask)
    box = lambda w, h: [4 * (x - w), 4 * (y - h), 4 * (x + w), 4 * (y + h)]  # noqa: E731
    if name == "disc":
        draw.ellipse(box(r, r), fill=255)
    elif name == "square":
        draw.rectangle(box(0.88 * r, 0.88 * r), fill=255)
    elif name == "triangle":
        draw.polygon([4 * (x - 1.2 * r), 4 * (y + r), 4 * (x + 1.2 * r), 4 * (y + r), 4 * x, 4 * (y - r)], fill=255)
    else:
        draw.rectangle(box(1.1 * r, 0.45 * r), fill=255)
        draw.rectangle(box(0.45 * r, 1.1 * r), fill=255)
    return np.asarray(mask.resize((SIZE, SIZE), Image.Resampling.BOX)) / 255


def pattern(name, rng):
    """Stripes or a grid with a period of four to six pixels, float (SIZE, SIZE), 0 or 1."""
    u, v = np.meshgrid(*[np.arange(SIZE) + rng.uniform(0, 6)] * 2, indexing="ij")
    period = rng.uniform(4, 6)
    across, down = (v % period < period / 2), (u % period < period / 2)
    return {"lying": down, "upright": across, "slanted": (u + v) % period < period / 2, "checks": across ^ down}[name]


def over(mask, colour, ground):
    """`colour` where the mask is 1, `ground` where it is 0: float (SIZE, SIZE, 3)."""
    return mask[..., None] * colour + (1 - mask[..., None]) * ground


def texture(label, bias, rng, pool):
    ground = over(pattern(bias, rng).astype(float), rng.uniform(60, 130, 3), rng.uniform(0, 70, 3))
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
    picture = over(digit(pool, 26, rng), rng.uniform(150, 255, 3), rng.uniform(0, 100, 3))
    if bias == "sharp":
        return picture
    return np.asarray(Image.fromarray(picture.astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.5))).astype(float)


class Bias(NamedTuple):
    """A kind of bias. Label k has for its own value the one at k * len(values) // len(labels)."""

    draw: Callable  # (label, value, np.random.RandomState, that label's digits of MNIST) -> RGB, (SIZE, SIZE, 3)
    labels: tuple
    values: tuple
    share: float


DIGITS = tuple("0123456789")
BIASES = {
    "texture": Bias(texture, ("disc", "square", "triangle", "cross"), ("lying", "upright", "slanted", "checks"), 0.95),
    "place": Bias(place, ("4", "9"), ("left", "right"), 0.95),
    "mark": Bias(mark, DIGITS, DIGITS, 0.95),
    "brightness": Bias(brightness, ("disc", "square"), ("dark", "bright"), 0.99),
    "blur": Bias(blur, DIGITS, ("sharp", "blurred"), 0.99),
}


def pairs(kind, count, share, rng):
    """`count` or a few more pairs (index of the label, index of the bias), in random order; see the top of the file."""
    labels, values = len(kind.labels), len(kind.values)
    found = []
    for k in range(labels):
        n = -(-count // labels)
        own = k * values // labels
        others = [v for v in range(values) if v != own]
        aligned = round(n * share)
        found += [(k, own)] * aligned + [(k, others[i % len(others)]) for i in range(n - aligned)]
    return [found[i] for i in rng.permutation(len(found))]


def images(kind, share, seed):
    """Yields (split, label, bias, uint8 (SIZE, SIZE, 3)) of every image."""
    mnist = load_mnist()
    rng = np.random.RandomState(seed)
    for split, count in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        values = len(kind.values)
        if split != "train":
            share, count = 1 / values, -(-count // (values * len(kind.labels))) * values * len(kind.labels)
        raw, of = (mnist.test_images, mnist.test_labels) if split == "test" else (mnist.train_images, mnist.train_labels)
        pools = {name: raw[of == int(name)] for name in kind.labels if name.isdigit()}
        for k, v in pairs(kind, count, share, rng):
            label, bias = kind.labels[k], kind.values[v]
            picture = kind.draw(label, bias, rng, pools.get(label)) + rng.normal(0, NOISE, (SIZE, SIZE, 3))
            yield split, label, bias, picture.clip(0, 255).astype(np.uint8)


@exits
def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m scripts.biases", description=__doc__.partition("\n")[0])
    parser.add_argument("name", choices=BIASES)
    parser.add_argument("--out", type=Path, required=True, help="folder that is made")
    parser.add_argument("--share", type=float, help="share of a label's images that have its own value of the bias")
    parser.add_argument("--seed", type=int, default=0)
    option = parser.parse_args(argv)
    kind = BIASES[option.name]
    share = kind.share if option.share is None else option.share
    if not 0 <= share <= 1:
        raise UserError(f"--share {share} is not in 0 to 1; give {1 / len(kind.values):g} for a set without the bias")
    if option.out.exists():
        raise UserError(f"{option.out} exists; give another --out, or remove it")
    option.out.mkdir(parents=True)
    rows = []
    for n, (split, label, bias, picture) in enumerate(images(kind, share, option.seed)):
        name = f"{split}_{n:05d}.png"
        Image.fromarray(picture).save(option.out / name)
        rows.append((name, label, bias, split))
    with open(option.out / "metadata.csv", "w", newline="", encoding="utf-8") as file:  # last: a set is whole or unread
        csv.writer(file).writerows([("filename", "label", "bias", "split"), *rows])
    print(f"{len(rows)} images and metadata.csv in {option.out}: {option.name}, share {share:g}, seed {option.seed}")


if __name__ == "__main__":
    main()
