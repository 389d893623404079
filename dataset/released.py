"""The files that the authors released: reading them without running what is in them, and writing files like them.

`mnist_10color_jitter_var_0.020.npy` is a dictionary of five arrays, saved by NumPy on Python 2: a pickle inside a
0-dimensional object array. A pickle may call any function that it names: the reader here knows five names alone.
"""

import difflib
import pickle
import re
from typing import NamedTuple

import numpy as np

from common.errors import UserError, one_line
from common.files import replacing

OPTIONAL = ("test_gray",)
ELSE = "give a file like those of the authors (dataset/README.md), or leave --data_dir out to build the data"


class ReleasedFile(NamedTuple):
    """The content of a released file; N is 60,000 and M 10,000 in the authors' own."""

    train_image: np.ndarray  # uint8 (N, 28, 28, 3), RGB
    train_label: np.ndarray  # int64 (N,), 0..9; int8 in the file
    test_image: np.ndarray  # uint8 (M, 28, 28, 3)
    test_label: np.ndarray  # int64 (M,)
    test_gray: np.ndarray | None = None  # uint8 (M, 28, 28), the raw MNIST test images; None where the file has none


class Refused(Exception):
    """A file is not what it should be: what is wrong; what to do, where it is not `ELSE`."""


def released_name(color_var):
    """The authors' file name for a variance: 0.02 -> mnist_10color_jitter_var_0.020.npy. Raises UserError.

    The name has three decimals, and none is rounded: the file of another variance is not what is asked for.
    """
    if not 0.001 <= color_var == round(color_var, 3):
        raise UserError(f"--color_var {color_var}: a released file's name has three decimals of it; give no more")
    return f"mnist_10color_jitter_var_{color_var:.3f}.npy"


def read_released(path):
    """Reads a released file, or one like it saved by NumPy on Python 2 or 3, as a ReleasedFile.

    Labels may be any integers, (N,) or (N, 1); further keys are ignored. Raises UserError, of one line, for all else.
    """
    try:
        with open(path, "rb") as file:
            return checked(dictionary(file))
    except OSError as error:
        raise UserError(f"data file {path} cannot be read ({error.strerror}); {ELSE}") from None
    except Refused as refused:
        what, _, advice = str(refused).partition("; ")
        raise UserError(one_line(f"data file {path} is refused: {what}; {advice or ELSE}")) from None


def dictionary(file):
    """The dictionary in an open .npy file. Raises Refused."""
    try:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if shape or not dtype.hasobject:
            raise Refused("it holds an array instead of the dictionary of a released file")
        [content] = Unpickler(file, encoding="latin1").load().value  # latin1: Python 2's texts are bytes
    except Refused:
        raise
    except Exception as error:  # of many kinds, as the bytes of a damaged file may mean anything
        raise Refused(f"it is no .npy file of a dictionary, or damaged ({type(error).__name__}: {error})") from None
    if not isinstance(content, dict):
        raise Refused("it does not hold a dictionary")
    return {key: getattr(value, "value", value) for key, value in content.items()}


class DataType:
    """What stands for np.dtype in a pickle."""

    def __init__(self, code, align=False, copy=True):
        self.code, self.order = str(code), "|"

    def __setstate__(self, state):
        self.order = state[1]


class Array:
    """What stands for np.ndarray. NumPy's own believes the pickle: bytes as pointers to objects would be followed."""

    value = None  # np.ndarray of numbers, or a list of objects

    def __setstate__(self, state):
        _, shape, dtype, is_fortran, content = state
        if isinstance(content, list):
            self.value = content
        elif re.fullmatch("[iu][1248]|f[248]|b1", dtype.code):
            content = content.encode("latin1") if isinstance(content, str) else content
            flat = np.frombuffer(content, np.dtype(dtype.code).newbyteorder(dtype.order))
            self.value = flat.reshape(shape, order="F" if is_fortran else "C")


def reconstruct(kind, shape, code):
    """numpy.core.multiarray._reconstruct: an array before its state."""
    return Array()


def encode(text, encoding):
    """_codecs.encode: bytes from text, as protocol 2 of Python 3 writes them."""
    return text.encode("latin1")


NAMES = {
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): DataType,
    ("numpy.core.multiarray", "_reconstruct"): reconstruct,  # before NumPy 2
    ("numpy._core.multiarray", "_reconstruct"): reconstruct,
    ("_codecs", "encode"): encode,
}


class Unpickler(pickle.Unpickler):
    """Makes arrays and plain values, and nothing else."""

    def find_class(self, module, name):
        if (module, name) not in NAMES:
            raise Refused(f"it names {module}.{name}, which no array needs and which might run code")
        return NAMES[module, name]


def checked(content):
    """The ReleasedFile in a dictionary: keys, then arrays, their data types, shapes and ranges. Raises Refused."""
    content = {key.decode("latin1") if isinstance(key, bytes) else str(key): v for key, v in content.items()}
    for key in ReleasedFile._fields:
        if key not in content and key not in OPTIONAL:
            near = difflib.get_close_matches(key, content, 1)
            raise Refused(f"its dictionary lacks the key {key}" + (f" (it has {near[0]})" if near else ""))
    data = ReleasedFile(**{key: content[key] for key in ReleasedFile._fields if key in content})
    data = data._replace(**{key: label(key, getattr(data, key)) for key in ("train_label", "test_label")})
    check_images("train_image", data.train_image, len(data.train_label), (28, 28, 3))
    check_images("test_image", data.test_image, len(data.test_label), (28, 28, 3))
    if data.test_gray is not None:
        check_images("test_gray", data.test_gray, len(data.test_label), (28, 28))
    return data._replace(**{k: np.array(v, order="C") for k, v in data._asdict().items() if v is not None})


def label(name, array):
    """An array of labels as int64 (N,), N > 0. Raises Refused."""
    if not isinstance(array, np.ndarray):
        raise Refused(f"{name} is not an array; save np.array({name}) in its place")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not array.size:
        advice = f"; one-hot labels become numbers by {name}.argmax(1)" if array.ndim == 2 else ""
        raise Refused(f"{name} has the shape {array.shape}, expected (N,){advice}")
    if array.dtype.kind not in "iu":
        advice = f"save {name}.astype('int8'), whole numbers from 0 to 9"
        raise Refused(f"{name} has the data type {array.dtype}, expected int8; {advice}")
    if array.min() < 0 or array.max() > 9:
        raise Refused(f"{name} holds something else than the whole numbers 0 to 9; save the digits as labels")
    return array.astype(np.int64)


def check_images(name, array, count, size):
    """Raises Refused unless `array` is uint8 (count, *size)."""
    if not isinstance(array, np.ndarray):
        raise Refused(f"{name} is not an array; save np.array({name}) in its place")
    if array.dtype != np.uint8:
        advice = f"0 to 255: from 0 to 1 it becomes that by ({name} * 255).round().astype('uint8')"
        raise Refused(f"{name} has the data type {array.dtype}, expected uint8; save it as uint8, {advice}")
    if array.shape != (count, *size):
        advice = ""
        if array.shape[1:] == (3, 28, 28):
            advice = f"; its channels come first: save {name}.transpose(0, 2, 3, 1)"
        elif array.shape[1:] == size:
            advice = f"; it has {len(array)} images for {count} labels: save one for each"
        raise Refused(f"{name} has the shape {array.shape}, expected {(count, *size)}{advice}")


def write_released(path, data):
    """Writes a ReleasedFile, the labels as int8, in the protocol and under the names that every NumPy reads.

    The original code reads it with `np.load(path, encoding="latin1").item()`, and `allow_pickle=True` since
    NumPy 1.16.3. Raises UserError if `data` is not what a released file holds.
    """
    try:
        content = checked(data._asdict())._asdict()
    except Refused as refused:
        raise UserError(f"data file {path} is not written: {refused}") from None
    content |= {key: content[key].astype(np.int8) for key in ("train_label", "test_label")}
    box = np.empty((), object)
    box[()] = content
    pickled = pickle.dumps(box, protocol=2).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        file.write(pickled)
