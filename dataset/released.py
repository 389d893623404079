"""The files that the authors released: reading them without running what is in them, and writing files like them.

`mnist_10color_jitter_var_0.020.npy` is a dictionary of five arrays, saved by NumPy on Python 2: a pickle inside a
0-dimensional object array. A pickle may call any function that it names: the reader here knows five names alone.
"""

import pickle
import re

import numpy as np

from common.errors import UserError, one_line
from common.files import replacing

ELSE = "give a file like those of the authors (dataset/README.md), or leave --data_dir out to build the data"
SHAPES = {  # of the arrays, N and M images long: uint8, the labels int8; 60,000 and 10,000 in the authors' own
    "train_image": (28, 28, 3), "train_label": (), "test_image": (28, 28, 3), "test_label": (), "test_gray": (28, 28),
}  # fmt: skip


class Refused(Exception):
    """A file is not what it should be."""


def released_name(color_var):
    """The authors' file name for a variance: 0.02 -> mnist_10color_jitter_var_0.020.npy. Raises UserError.

    The name has three decimals, and none is rounded: the file of another variance is not what is asked for.
    """
    if not 0.001 <= color_var == round(color_var, 3):
        raise UserError(f"--color_var {color_var}: a released file's name has three decimals of it; give no more")
    return f"mnist_10color_jitter_var_{color_var:.3f}.npy"


def read_released(path):
    """Reads a released file, or one like it saved by NumPy on Python 2 or 3, as {name: array}, of SHAPES.

    Images become uint8, and labels, which may be any integers, int64; further keys are ignored. Raises UserError, of
    one line, for all else.
    """
    try:
        with open(path, "rb") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            [content] = Unpickler(file, encoding="latin1").load().value  # latin1: Python 2's texts are bytes
        return checked({str(key): getattr(value, "value", value) for key, value in content.items()})
    except OSError as error:
        raise UserError(f"data file {path} cannot be read ({error.strerror}); {ELSE}") from None
    except Refused as refused:
        reason = str(refused)
    except Exception as error:  # of many kinds, as the bytes of a damaged file may mean anything
        reason = f"it is no .npy file of a dictionary, or damaged ({type(error).__name__}: {error})"
    raise UserError(one_line(f"data file {path} is refused: {reason}; {ELSE}"))


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


NAMES = {
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): DataType,
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: Array(),  # before NumPy 2
    ("numpy._core.multiarray", "_reconstruct"): lambda *_: Array(),
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),  # bytes, as Python 3 writes them
}


class Unpickler(pickle.Unpickler):
    """Makes arrays and plain values, and nothing else."""

    def find_class(self, module, name):
        if (module, name) not in NAMES:
            raise Refused(f"it names {module}.{name}, which no array needs and which might run code")
        return NAMES[module, name]


def checked(content):
    """The arrays of SHAPES in a dictionary, once all are as they should be. Raises Refused."""
    found = {}
    for key, shape in SHAPES.items():
        array, count, kind = content.get(key), content.get(f"{key.split('_')[0]}_label"), "uint8" if shape else "int8"
        if not isinstance(array, np.ndarray) or not isinstance(count, np.ndarray):
            raise Refused(f"its dictionary lacks the array {key} or its labels")
        expected = (len(count), *shape)
        if array.shape != expected or not array.size or array.dtype.kind not in ("u" if shape else "iu"):
            raise Refused(f"{key} is {array.dtype} {array.shape}, expected {kind} {expected}")
        if array.max() > (255 if shape else 9) or array.min() < 0:
            raise Refused(f"{key} holds values that are too large or below 0")
        found[key] = np.array(array, np.uint8 if shape else np.int64, order="C")
    return found


def write_released(path, *arrays):
    """Writes arrays, in the order of SHAPES, in the protocol and under the names that every NumPy reads.

    The original code reads it with `np.load(path, encoding="latin1", allow_pickle=True).item()`.
    """
    box = np.empty((), object)
    box[()] = {name: a.astype(np.uint8 if SHAPES[name] else np.int8) for name, a in zip(SHAPES, arrays, strict=True)}
    pickled = pickle.dumps(box, protocol=2).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        file.write(pickled)
