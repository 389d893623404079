"""The files that the authors released: reading them without unpickling, writing files that their code reads.

`mnist_10color_jitter_var_0.020.npy` is a dictionary of five arrays, saved by NumPy on Python 2 as a pickle
inside a 0-dimensional object array. The arrays are taken from the bytes by this module: NumPy's own reader,
which would run whatever the pickle names, is not involved.
"""

import math
from collections import Counter
from typing import NamedTuple

import numpy as np

from errors import UserError, one_line
from files import replacing
from strangers.pickle_interpreter import PROTOCOL_2, Callee, LongText, Refused, StandIn, read_pickle, read_whole

MAX_BYTES = 320 << 20  # Python 2 writes 173 MB; as text (protocol 2 on Python 3) it takes up to 260 MB
HEADER = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"  # what np.save writes for a dictionary
PYTHON_2_ORDER = ("test_image", "test_label", "test_gray", "train_label", "train_image")  # of this dictionary
LABEL_TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
PROTOCOL_5 = PROTOCOL_2 | {
    "BINSTRING", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8", "SHORT_BINUNICODE", "BINUNICODE8",
    "FRAME", "MEMOIZE", "STACK_GLOBAL",
}  # fmt: skip


class ReleasedFile(NamedTuple):
    """The content of a released file; N is 60,000 and M 10,000 in the authors' own."""

    train_image: np.ndarray  # uint8 (N, 28, 28, 3), RGB
    train_label: np.ndarray  # int64 (N,), 0..9; int8 in the file
    test_image: np.ndarray  # uint8 (M, 28, 28, 3)
    test_label: np.ndarray  # int64 (M,)
    test_gray: np.ndarray  # uint8 (M, 28, 28), the raw MNIST test images


def released_name(color_var):
    """The authors' file name for a variance: 0.02 -> mnist_10color_jitter_var_0.020.npy."""
    return f"mnist_10color_jitter_var_{color_var:.3f}.npy"


def read_released(path):
    """Reads a released file, or one like it saved by Python 2 or 3 (protocols 2 to 5), as a ReleasedFile.

    Labels may be any integers up to 64 bits, arrays in C or Fortran order. Big-endian arrays are refused.
    Needs about twice the file's size of memory. Raises UserError, of one line, for everything else.
    """
    data = read_whole(path, MAX_BYTES, "data file")
    try:
        return _checked(_read_dictionary(data))
    except Refused as reason:
        advice = "copy it again, or leave --data_dir out to build the data"
        raise UserError(f"data file {one_line(path)} is refused: {reason}; {advice}") from None


def _read_dictionary(data):
    """{key: _Array} of the pickle behind the .npy header."""
    if data[:6] != b"\x93NUMPY":
        raise Refused("it does not begin as a .npy file")
    start = 10 + int.from_bytes(data[8:10], "little")
    if start > len(data):
        raise Refused("it ends too early")
    if data[6:8] != b"\x01\x00" or data[10:start].strip() != HEADER:
        raise Refused("it holds an array instead of the dictionary of a released file")
    outside, end = read_pickle(data, start, _NAMES, PROTOCOL_5)
    if end != len(data):
        raise Refused("something follows its pickle")
    content = outside.content if type(outside) is _Array and outside.shape == () else None
    if type(content) is not list or len(content) != 1 or type(content[0]) is not dict:
        raise Refused("it does not hold a dictionary")
    return content[0]


def _checked(arrays):
    names = [key.decode("latin1") if type(key) is bytes else str(key) for key in arrays]
    for wrong, keys in (
        ("lacks the key", set(ReleasedFile._fields) - set(names)),
        ("has the unknown key", set(names) - set(ReleasedFile._fields)),
        ("has twice the key", {name for name, count in Counter(names).items() if count > 1}),
    ):
        if keys:
            raise Refused(f"its dictionary {wrong} {one_line(min(keys))[:40]}")
    checked = {}
    for name, array in zip(names, arrays.values(), strict=True):
        if type(array) is not _Array or array.content is None:
            raise Refused(f"{name} is not an array")
        checked[name] = array.numbers(name, LABEL_TYPES if "label" in name else ("u1",))
    return _validated(ReleasedFile(**checked))


def _validated(data):
    """`data` with labels of int64, once shapes, dtypes and ranges are right. Raises Refused."""
    n, m = data.train_label.size, data.test_label.size
    shapes = ((n, 28, 28, 3), (n,), (m, 28, 28, 3), (m,), (m, 28, 28))
    for name, array, shape in zip(data._fields, data, shapes, strict=True):
        if array.shape != shape or not array.size:
            raise Refused(f"{name} has the shape {array.shape}, expected {shape if array.size else 'at least one'}")
        if "label" not in name and array.dtype != np.uint8:
            raise Refused(f"{name} has the data type {array.dtype}, expected uint8")
        if "label" in name and not (array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 9):
            raise Refused(f"{name} holds something else than the whole numbers 0 to 9")
    return data._replace(train_label=data.train_label.astype(np.int64), test_label=data.test_label.astype(np.int64))


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
            expected = "uint8" if codes == ("u1",) else "int8"
            raise Refused(f"{name} has the data type {one_line(self.dtype.code)}, expected {expected}")
        if self.dtype.order not in ("|", "<"):
            raise Refused(f"{name} is big-endian; save it as little-endian numbers")
        if type(self.content) not in (bytes, memoryview):
            raise Refused(f"{name} holds objects instead of numbers")
        if math.prod(self.shape) * int(self.dtype.code[1]) != len(self.content):
            raise Refused(f"{name} has {len(self.content)} bytes, which do not fit its shape {self.shape}")
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


_NDARRAY = object()
_NAMES = {
    ("numpy", "ndarray"): _NDARRAY,
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
    except Refused as reason:
        raise UserError(
            f"data file {one_line(path)} is not written: {reason}; give what read_released returns"
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
