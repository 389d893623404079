"""Image files of every kind as upright RGB bytes of one size: nothing that a person sees in them is lost on the way.

Pillow's own `convert("RGB")` clips 16-bit grey to white, makes floating point images black, and shows the colours that
lie under transparent places. `to_rgb` does what is meant.
"""

import argparse
import os
import re
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageColor, ImageOps
from tqdm import tqdm

from common.errors import UserError

BLACK = (0, 0, 0)
NOT_PICTURES = {
    "BUFR",
    "GRIB",
    "HDF5",
    "MPEG",
    "EPS",
    "WMF",
}  # Pillow lists them, and needs other programs to read them
CHUNK = 32  # images that a thread takes at a time


def extensions():
    """The endings of the formats that Pillow reads by itself, in lower case with the dot."""
    Image.init()
    return {e for e, form in Image.EXTENSION.items() if form in Image.OPEN and form not in NOT_PICTURES}


def color(text):
    """An argparse type: a colour as a name, #RRGGBB or R,G,B."""
    try:
        rgb(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no colour; give a name, #RRGGBB, or R,G,B of 0 to 255") from None
    return text


def rgb(text):
    """(R, G, B), 0..255 each, of a text that `color` takes. Raises ValueError for another one."""
    if not re.fullmatch(r"\d+,\d+,\d+", text):
        return ImageColor.getrgb(text)[:3]
    values = tuple(map(int, text.split(",")))
    if max(values) > 255:
        raise ValueError(text)
    return values


def read_picture(path, size, background=BLACK):
    """Reads an image file as uint8 (size, size, 3), RGB: upright, the first frame, its middle square scaled to `size`.

    The square is as wide as the shorter side, so proportions are kept and the ends of the longer side are cut off. An
    image of the right size is kept as it is. What is transparent shows `background` (0..255 each).
    Raises UserError, with the path, where it cannot be read.
    """
    try:
        # By name, Pillow maps uncompressed files into memory, and scrambles those TIFFs that have to be turned.
        with open(path, "rb") as file, Image.open(file) as image:
            image.draft(None, (2 * size, 2 * size))  # JPEG: decodes at half or a quarter where that is still enough
            upright = to_rgb(ImageOps.exif_transpose(image), background)
        side = min(upright.size)
        left, top = ((length - side) // 2 for length in upright.size)
        square = upright.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
        return np.asarray(square)
    except MemoryError:
        raise
    except UserError as error:
        raise UserError(f"{path} cannot be read: {error}; replace or remove this image") from None
    except FileNotFoundError:
        raise UserError(f"{path} is missing; put it back") from None
    except Image.DecompressionBombError:
        most = 2 * Image.MAX_IMAGE_PIXELS // 10**6
        raise UserError(f"{path} cannot be read: it has more than {most} million pixels; scale it down") from None
    except Exception as error:  # in a damaged file, a decoder raises whatever its parser meets
        reason = getattr(error, "strerror", None) or re.sub(r" *<_io[^>]*>", "", str(error))
        raise UserError(f"{path} cannot be read ({type(error).__name__}: {reason}); replace or remove it") from None


def to_rgb(image, background=BLACK):
    """A Pillow image of any mode as one of mode RGB.

    Deep greys are scaled (`grey`), transparent places show `background`, the rest is left to Pillow.
    Raises UserError for values that are not finite.
    """
    clear = image.info.get("transparency")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image)
        pixels = np.repeat(grey(values, image.mode)[..., None], 3, axis=2)
        if image.mode != "F" and isinstance(clear, int):
            pixels[values == clear] = background
        return Image.fromarray(pixels)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or clear is not None:
        if image.mode == "La":
            image = image.convert("LA")
        elif image.mode == "PA":  # its alpha belongs to the pixels, while the palette may have one of its own
            alpha = image.getchannel("A")
            image = image.convert("RGBA")
            image.putalpha(alpha)
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (*background, 255)), image).convert("RGB")
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
    return image.convert("RGB")


def grey(values, mode):
    """Grey values of a deep image (H, W) as uint8.

    16 bits: 0..65535 becomes 0..255. 32-bit integers: as they are up to 255, as 16 bits up to 65535. Floating point:
    0..1 becomes 0..255, 0..255 stays. Any other range is stretched to 0..255. Raises UserError for NaN and infinity.
    """
    if mode.startswith("I;16"):
        return np.rint(values / 257).astype(np.uint8)
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise UserError("it holds values that are not finite (NaN)")
    low, high = values.min(), values.max()
    tops = (1, 255) if mode == "F" else (255, 65535)
    top = next((top for top in tops if low >= 0 and high <= top), None)
    if top is None:
        values, top = values - low, max(high - low, 1e-300)
    return np.rint(values * (255 / top)).astype(np.uint8)


def read_pictures(paths, size, background=BLACK, threads=None, show=True, content=None):
    """Decodes image files at once, in threads: (uint8 (N, size, size, 3), {position: reason} of those not readable).

    The places of unreadable images are black. threads: [one for each core, up to 16]; show: a progress bar; content:
    as in each_picture.
    """
    images = np.zeros((len(paths), size, size, 3), np.uint8)

    def keep(position, image):
        images[position] = image

    return images, each_picture(paths, size, keep, background, threads, show, content)


def each_picture(paths, size, work, background=BLACK, threads=None, show=True, content=None):
    """Decodes image files in threads and calls work(position, image) for each, also in threads.

    content: uint32 (N,), into which the CRC-32 of every file is written [None].
    Returns {position: reason} of those that cannot be read, in order.
    """
    bad = {}

    def read(start):
        for position in range(start, min(start + CHUNK, len(paths))):
            try:
                work(position, read_picture(paths[position], size, background))
                if content is not None:
                    content[position] = zlib.crc32(Path(paths[position]).read_bytes())
            except (UserError, OSError) as error:
                bad[position] = str(error)
            bar.update()

    with (
        warnings.catch_warnings(),
        tqdm(total=len(paths), desc="reading", unit="image", disable=not show or None) as bar,
    ):
        warnings.filterwarnings("ignore", module="PIL")  # of odd metadata, and of large photographs
        pool = ThreadPoolExecutor(threads or min(16, usable_cores()))
        try:
            for done in [pool.submit(read, start) for start in range(0, len(paths), CHUNK)]:
                done.result()
        finally:
            pool.shutdown(cancel_futures=True)
    return dict(sorted(bad.items()))


def usable_cores():
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
