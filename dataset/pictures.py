"""Image files of every kind as upright RGB bytes of one size: nothing that a person sees in them is lost on the way.

Pillow's own `convert("RGB")` clips 16-bit grey to white, makes floating point images black, and shows the colours that
lie under transparent places.
"""

import argparse
import re
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageColor
from tqdm import tqdm

from common.errors import UserError

warnings.filterwarnings("ignore", module="PIL")  # of odd metadata, and of large photographs
BLACK = (0, 0, 0)
TURNED = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270",
          7: "TRANSVERSE", 8: "ROTATE_90"}  # fmt: skip  # by EXIF's orientation


def color(text):
    """An argparse type: a colour as a name or #RRGGBB."""
    try:
        rgb(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no colour; give a name or #RRGGBB") from None
    return text


def rgb(text):
    """(R, G, B), 0..255 each, of a text that `color` takes. Raises ValueError for another one."""
    return ImageColor.getrgb(text)[:3]


def read_picture(path, size, background=BLACK):
    """Reads an image file as uint8 (size, size, 3), RGB: upright, the first frame, its middle square scaled to `size`.

    The ends of the longer side are cut off. An image of the right size is kept as it is. What is transparent shows
    `background` (0..255 each). Raises UserError, with the path, where it cannot be read.
    """
    try:
        # By name, Pillow maps uncompressed files into memory, and scrambles those TIFFs that have to be turned.
        with open(path, "rb") as file, Image.open(file) as image:
            return np.asarray(middle_square(image, size, background))
    except MemoryError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path} is missing; put it back") from None
    except Exception as error:  # in a damaged file, a decoder raises whatever its parser meets
        reason = getattr(error, "strerror", None) or re.sub(r" *<_io[^>]*>", "", str(error))
        raise UserError(f"{path} cannot be read ({type(error).__name__}: {reason}); replace or remove it") from None


def middle_square(image, size, background):
    """A Pillow image that was opened as an RGB one of `size` pixels: upright, its middle square."""
    image.draft(None, (2 * size, 2 * size))  # JPEG: decodes at half or a quarter where that is still enough
    image.load()
    shown = to_rgb(upright(image), background)
    side = min(shown.size)
    left, top = ((length - side) // 2 for length in shown.size)
    return shown.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side))


def upright(image):
    """A loaded Pillow image, turned as its EXIF says. Not by exif_transpose, which fails where any of it is damaged."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # whatever its parser meets: the picture itself is sound
        orientation = None
    return image.transpose(Image.Transpose[TURNED[orientation]]) if orientation in TURNED else image


def to_rgb(image, background=BLACK):
    """A Pillow image as one of mode RGB: deep greys are scaled (`grey`), transparent places show `background`."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(grey(np.asarray(image), image.mode)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (*background, 255)), image).convert("RGB")
    return image.convert("RGB")


def grey(values, mode):
    """Grey values of a deep image (H, W) as uint8.

    16 bits: 0..65535 becomes 0..255. 32-bit integers: as they are up to 255, as 16 bits up to 65535. Floating point:
    0..1 becomes 0..255, 0..255 stays. Any other range is stretched to 0..255. Raises ValueError for NaN and infinity.
    """
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    tops = {"F": (1, 255), "I": (255, 65535)}.get(mode, (65535,))
    if values.min() < 0 or values.max() > tops[-1]:
        values = values - values.min()
        tops = (max(values.max(), 1e-300),)
    top = next(top for top in tops if values.max() <= top)
    return np.rint(values * (255 / top)).astype(np.uint8)


class Decoded(NamedTuple):
    bad: dict  # {position: why it cannot be read}, in order
    content: np.ndarray  # uint32 (N,): CRC-32 of every file
    brightest: np.ndarray  # uint8 (N,): the largest value of every image


def decode(paths, size, keep, background=BLACK, show=True):
    """Decodes image files in threads, calls keep(position, image) for each, also in threads, and returns Decoded."""
    found = Decoded({}, np.zeros(len(paths), np.uint32), np.zeros(len(paths), np.uint8))

    def read(position):
        try:
            image = read_picture(paths[position], size, background)
        except UserError as error:
            found.bad[position] = str(error)
            return
        keep(position, image)
        found.content[position] = zlib.crc32(Path(paths[position]).read_bytes())
        found.brightest[position] = image.max()

    with ThreadPoolExecutor() as pool:
        try:
            for _ in tqdm(pool.map(read, range(len(paths))), "reading", len(paths), disable=not show or None):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found._replace(bad=dict(sorted(found.bad.items())))


def too_dark(brightest):
    """A note, in a list, where most images are nearly black, as those of 12 bits in files of 16 are."""
    dark = brightest < 64
    if not len(dark) or dark.mean() <= 0.5:
        return []
    top = brightest[dark].max()
    return [
        f"in {dark.sum()} of {len(dark)} images no value is above {top} of 255, so few levels are left; if the files "
        "hold fewer bits than they have room for (12 of 16), scale the values up"
    ]
