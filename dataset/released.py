"""The files that the authors released: reading them without unpickling, writing files that their code reads.

`mnist_10color_jitter_var_0.020.npy` is a dictionary of five arrays, saved by NumPy on Python 2 as a pickle
inside a 0-dimensional object array. The arrays are taken from the bytes by this module: NumPy's own reader,
which would run whatever the pickle names, is not involved.
"""

import difflib
import math
from collections import Counter
from typing import NamedTuple

import numpy as np

from common.errors import UserError, one_line
from common.files import replacing
from strangers.pickle_interpreter import (
    AGAIN,
    PROTOCOL_5,
    Callee,
    LongText,
    OrderedDict,
    Refused,
    StandIn,
    ordered_dict,
    read_pickle,
    read_whole,
)

MAX_BYTES = 320 << 20  # Python 2 writes 173 MB; as text (protocol 2 on Python 3) it takes up to 260 MB
HEADER = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"  # what np.save writes for a dictionary
PYTHON_2_ORDER = ("test_image", "test_label", "test_gray", "train_label", "train_image")  # of this dictionary
NAMES_OF_KINDS = {
    "f2": "float16",
    "f4": "float32",
    "f8": "float64",
    "b1": "bool",
    "i1": "int8",
    "i8": "int64",
}  # NumPy's
LABEL_TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
OPTIONAL = ("test_gray",)
ELSE = "give a file like those of the authors (dataset/README.md), or leave --data_dir out to build the data"


class ReleasedFile(NamedTuple):
    """The content of a released file; N is 60,000 and M 10,000 in the authors' own."""

    train_image: np.ndarray  # uint8 (N, 28, 28, 3), RGB
    train_label: np.ndarray  # int64 (N,), 0..9; int8 in the file
    test_image: np.ndarray  # uint8 (M, 28, 28, 3)
    test_label: np.ndarray  # int64 (M,)
    test_gray: np.ndarray | None = None  # uint8 (M, 28, 28), the raw MNIST test images; None where the file has none


def released_name(color_var):
    """The authors' file name for a variance: 0.02 -> mnist_10color_jitter_var_0.020.npy. Raises UserError.

    The name has three decimals, and none is rounded: the file of another variance is not what is asked for.
    """
    if not 0.001 <= color_var == round(color_var, 3):
        raise UserError(f"--color_var {color_var}: a released file's name has three decimals of it; give no more")
    return f"mnist_10color_jitter_var_{color_var:.3f}.npy"


def read_released(path):
    """Reads a released file, or one like it saved by Python 2 or 3 (protocols 2 to 5), as a ReleasedFile.

    Labels may be any integers up to 64 bits, (N,) or (N, 1), arrays in C or Fortran order. Big-endian arrays are
    refused; keys that a released file has not are ignored.
    Needs about twice the file's size of memory. Raises UserError, of one line, for everything else.
    """
    data = read_whole(path, MAX_BYTES, "data file")
    try:
        return _checked(_read_dictionary(data))
    except Refused as refused:
        raise UserError(f"data file {one_line(path)} is refused: {refused}; {refused.advice or ELSE}") from None


def _read_dictionary(data):
    """{key: _Array} of the pickle behind the .npy header."""
    if data[:6] != b"\x93NUMPY":
        raise Refused("it does not begin as a .npy file", "name one that np.save wrote, or download it again")
    start = 10 + int.from_bytes(data[8:10], "little")
    if start > len(data):
        raise Refused("it ends too early", AGAIN)
    if data[6:8] != b"\x01\x00" or data[10:start].strip() != HEADER:
        raise Refused("it holds an array instead of the dictionary of a released file")
    outside, end = read_pickle(data, start, _NAMES, PROTOCOL_5)
    if end != len(data):
        raise Refused("something follows its pickle", AGAIN)
    content = outside.content if type(outside) is _Array and outside.shape == () else None
    if type(content) is not list or len(content) != 1 or type(content[0]) not in (dict, OrderedDict):
        raise Refused("it does not hold a dictionary")
    return content[0]


def _checked(arrays):
    names = [key.decode("latin1") if type(key) is bytes else str(key) for key in arrays]
    if twice := {name for name, count in Counter(names).items() if count > 1}:
        raise Refused(f"its dictionary has twice the key {one_line(min(twice))[:40]}")
    if lacking := sorted(set(ReleasedFile._fields) - set(names) - set(OPTIONAL)):
        near = difflib.get_close_matches(lacking[0], names[:100], 1)
        others = f" (it has {one_line(near[0])[:40]})" if near else ""
        raise Refused(f"its dictionary lacks the key {lacking[0]}{others}")
    checked = {}
    for name, array in zip(names, arrays.values(), strict=True):
        if name not in ReleasedFile._fields:  # of the maker's own
            continue
        if type(array) is not _Array or array.content is None:
            raise Refused(f"{name} is not an array", f"save np.array({name}) in its place")
        checked[name] = array.numbers(name, LABEL_TYPES if "label" in name else ("u1",))
    return _validated(ReleasedFile(**checked))


def _validated(data):
    """`data` with labels of int64, once shapes, dtypes and ranges are right. Raises Refused."""
    data = data._replace(**{part: _label(part, getattr(data, part)) for part in ("train_label", "test_label")})
    for name, label, size in (
        ("train_image", data.train_label, (28, 28, 3)),
        ("test_image", data.test_label, (28, 28, 3)),
        ("test_gray", data.test_label, (28, 28)),
    ):
        if (array := getattr(data, name)) is None:
            continue
        if array.dtype != np.uint8:
            raise Refused(f"{name} has the data type {array.dtype}, expected uint8", _advice(name))
        if array.shape != (len(label), *size):
            advice = f"save {name} in that shape"
            if array.shape[1:] == (3, 28, 28) and len(size) == 3:
                advice = f"its channels come first: save {name}.transpose(0, 2, 3, 1)"
            elif array.shape[1:] == size:
                part = name.partition("_")[0]
                advice = f"{name} has {len(array)} images and {part}_label {len(label)} labels: save one for each"
            raise Refused(f"{name} has the shape {array.shape}, expected {(len(label), *size)}", advice)
    return data


def _label(name, array):
    """An array of labels as int64 (N,), N > 0. Raises Refused."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        advice = f"one-hot labels become numbers by {name}.argmax(1)" if array.ndim == 2 else f"save {name} like that"
        raise Refused(f"{name} has the shape {array.shape}, expected {array.shape[:1] or ('N',)}", advice)
    if not array.size:
        raise Refused(f"{name} is empty, expected at least one label", f"save {name} with a label for each image")
    if not (array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 9):
        raise Refused(f"{name} holds something else than the whole numbers 0 to 9", "save the digits as labels")
    return array.astype(np.int64)


def _advice(name):
    """What to do where an array of this name has another data type."""
    if "label" in name:
        return f"save {name}.astype('int8'), whole numbers from 0 to 9"
    return f"save it as uint8, 0 to 255: from 0 to 1 it becomes that by ({name} * 255).round().astype('uint8')"


# ---- what stands for NumPy's names in the pickle


class _DataType(StandIn):
    def __init__(self, code, align=False, copy=False):
        self.code = _short_text(code)
        self.order = "|"

    def build(self, state):
        """state: (version, byte order, five times None or -1 for a plain number, flags)."""
        self.order = _short_text(state[1])
        if any(part is not None for part in state[2:5]):
            raise Refused("an array in it has a compound data type")


class _Array(StandIn):
    """An array as the pickle describes it. `numbers` compares it with its bytes before allocating."""

    def __init__(self):
        self.shape = self.dtype = self.content = None

    def build(self, state):
        """state: (version, shape, data type, whether in Fortran order, bytes or list of objects)."""
        if self.content is not None or len(state) != 5:
            raise TypeError
        self._set(*state[1:])

    def _set(self, shape, dtype, is_fortran, content):
        if type(dtype) is not _DataType or type(shape) is not tuple or len(shape) > 4:
            raise TypeError
        if not all(type(n) is int and 0 <= n < 1 << 31 for n in shape):
            raise Refused("an array in it has an impossible shape")
        self.shape, self.dtype, self.content = shape, dtype, content
        self.order = "F" if is_fortran else "C"

    def numbers(self, name, codes):
        """The array as NumPy's, a writable copy in C order. name: for messages; codes: the allowed types."""
        if self.dtype.code not in codes:
            kind = one_line(self.dtype.code)
            kind += f" ({NAMES_OF_KINDS[kind]})" if kind in NAMES_OF_KINDS else ""
            expected = "uint8" if codes == ("u1",) else "int8"
            raise Refused(f"{name} has the data type {kind}, expected {expected}", _advice(name))
        if self.dtype.order not in ("|", "<"):
            little = "save it as little-endian numbers, such as int8" if "label" in name else "save it as uint8"
            raise Refused(f"{name} is big-endian", little)
        if type(self.content) not in (bytes, memoryview):
            raise Refused(f"{name} holds objects instead of numbers")
        if math.prod(self.shape) * int(self.dtype.code[1]) != len(self.content):
            raise Refused(f"{name} has {len(self.content)} bytes, which do not fit its shape {self.shape}", AGAIN)
        flat = np.frombuffer(self.content, np.dtype(self.dtype.code).newbyteorder("<"))
        return flat.reshape(self.shape, order=self.order).copy(order="C")


def _short_text(value):
    """Python 2 pickles text as bytes. Raises TypeError for anything but a short one."""
    value = value.decode("latin1") if type(value) is bytes else value
    if type(value) is not str or len(value) > 8:
        raise TypeError
    return value


def _reconstruct(kind, shape, code):
    if kind is not _NDARRAY:
        raise TypeError
    return _Array()


def _from_buffer(content, dtype, shape, order):
    """Protocol 5 gives the bytes at once instead of a state."""
    if order not in ("C", "F"):
        raise Refused("an array in it is neither in C nor in Fortran order")
    array = _Array()
    array._set(shape, dtype, order == "F", content)
    return array


def _encode(text, encoding):
    """Protocol 2 of Python 3 has no bytes; it pickles a call that makes them from text."""
    if encoding != "latin1" or type(text) not in (str, LongText):
        raise TypeError
    text = str(text.view, "utf-8") if type(text) is LongText else text
    return text.encode("latin1")


class _ArrayClass:
    name = "numpy.ndarray or numpy.memmap"  # in the message where something calls it


_NDARRAY = _ArrayClass()
_NAMES = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "memmap"): _NDARRAY,  # pickled as an array that lies in memory
    ("numpy.core.memmap", "memmap"): _NDARRAY,
    ("numpy._core.memmap", "memmap"): _NDARRAY,
    ("collections", "OrderedDict"): Callee(ordered_dict),
    ("numpy", "dtype"): Callee(_DataType),
    ("_codecs", "encode"): Callee(_encode),
}
for _core in ("numpy.core", "numpy._core"):  # before NumPy 2, and since
    _NAMES[f"{_core}.multiarray", "_reconstruct"] = Callee(_reconstruct)
    _NAMES[f"{_core}.numeric", "_frombuffer"] = Callee(_from_buffer)


# ---- writing


def write_released(path, data):
    """Writes a ReleasedFile, byte for byte as NumPy 1.16 on Python 2.7 saves it, the labels as int8.

    The original code reads it with `np.load(path, encoding="latin1").item()`, and `allow_pickle=True` since
    NumPy 1.16.3. NumPy itself does not write the bytes, as new versions name modules that old ones lack.
    Raises UserError if `data` is not what a released file holds.
    """
    try:
        data = _validated(data)
        if data.test_gray is None:
            raise Refused("test_gray is missing")
    except Refused as refused:
        raise UserError(
            f"data file {one_line(path)} is not written: {refused}; give what read_released returns"
        ) from None
    labels = {name: getattr(data, name).astype(np.int8) for name in ("train_label", "test_label")}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + HEADER.ljust(117) + b"\n" + _OPENING)
        memo = 8
        types = {}  # data type -> its place in the memo, after its first use
        for name in PYTHON_2_ORDER:
            array = np.ascontiguousarray(labels.get(name, getattr(data, name)))
            file.write(b"U%c%sq%ch\x01h\x02K\x00\x85U\x01b\x87Rq%c(K\x01" % (len(name), name.encode(), memo, memo + 1))
            memo += 2
            lengths = b"".join(_integer(n) for n in array.shape)
            file.write({1: b"%s\x85", 3: b"%s\x87", 4: b"(%st"}[array.ndim] % lengths)
            code = array.dtype.str[1:].encode()
            if code in types:
                file.write(b"h%c" % types[code])
            else:
                types[code], memo = memo, memo + 1
                file.write(
                    b"h\x04U\x02%sK\x00K\x01\x87Rq%c(K\x03U\x01|NNN%sK\x00tb" % (code, types[code], 2 * _MINUS_1)
                )
            size = array.nbytes
            file.write(b"\x89U%c" % size if size < 256 else b"\x89T" + size.to_bytes(4, "little"))
            file.write(array)
            file.write(b"tb")
        file.write(b"uatb.")


def _integer(n):
    if n < 256:
        return b"K%c" % n
    return b"M" + n.to_bytes(2, "little") if n < 1 << 16 else b"J" + n.to_bytes(4, "little")


_MINUS_1 = b"J\xff\xff\xff\xff"
_OPENING = (  # an array () of objects, [{...
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03(K\x01)"
    b"cnumpy\ndtype\nq\x04U\x02O8K\x00K\x01\x87Rq\x05(K\x03U\x01|NNN" + 2 * _MINUS_1 + b"K?tb\x89]q\x06}q\x07("
)
