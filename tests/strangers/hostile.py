"""Malicious and malformed files, for the tests of both readers; hostile_torch.py has those for checkpoints.

`released_files(canary)` returns {name: (bytes, a part of the expected message)}. Whatever the files that run
code would run creates the file `canary`.
"""

import builtins
import io
import operator
import os
import pathlib
import pickle
import struct
import subprocess

import numpy as np

HEADER = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"
KEYS = ("train_image", "train_label", "test_image", "test_label", "test_gray")


class Call:
    """Pickles as the call of `function`, optionally with a state for BUILD."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.reduced

    def __call__(self):  # pickle wants functions to be callable, and the result of a call can be one
        raise NotImplementedError


def arrays(n=3, m=2):
    """A small dictionary as in a released file."""
    counter = np.arange(n * 28 * 28 * 3, dtype=np.int64)
    return {
        "train_image": (counter % 251).astype(np.uint8).reshape(n, 28, 28, 3),
        "train_label": np.arange(n, dtype=np.int8) % 10,
        "test_image": (counter[: m * 2352] % 241).astype(np.uint8).reshape(m, 28, 28, 3),
        "test_label": np.arange(m, dtype=np.int8)[::-1] % 10,
        "test_gray": (counter[: m * 784] % 239).astype(np.uint8).reshape(m, 28, 28),
    }


def npy(value, protocol=4):
    """A .npy file of an object array () that holds `value`."""
    return HEADER + pickle.dumps(boxed(value), protocol)


def boxed(value):
    box = np.empty((), object)
    box[()] = value
    return box


def changed(**parts):
    return npy(arrays() | parts)


def raw(pickled, end=b"."):
    """A .npy file with the operations `pickled` after PROTO."""
    return HEADER + b"\x80\x04" + pickled + end


def text(value):
    return b"\x8c" + bytes([len(value)]) + value.encode()


def array_pickle(shape, code=b"u1", order=b"|", content=b"B\x02\0\0\0ab", flag=b"\x89"):
    """Operations that make one array, with any shape (operations), data type and content."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85C\x01btR(K\x01" + shape
        + b"cnumpy\ndtype\n(U" + bytes([len(code)]) + code + b"K\0K\x01tR(K\x03U" + bytes([len(order)])
        + order
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb" + flag + content + b"tb"
    )  # fmt: skip


def with_train_image(pickled):
    """A released file whose train_image is made by the operations `pickled`."""
    dictionary = b"}(" + text("train_image") + pickled
    for key, value in arrays().items():
        if key != "train_image":
            dictionary += text(key) + pickle.dumps(value, 3)[2:-1]
    return raw(array_pickle(b")", b"O8", content=b"]" + dictionary + b"ua"))


def integer(value):
    encoded = value.to_bytes(16, "little", signed=True)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def running_code(canary):
    """{name: (object whose unpickling creates `canary`, or tries to, part of the message)}"""
    command = f"touch {canary}"
    write = f"open({str(canary)!r}, 'w').close()"
    return {
        "os.system": (Call(os.system, command), "system"),
        "eval": (Call(builtins.eval, write), "eval"),
        "exec": (Call(builtins.exec, write), "exec"),
        "open": (Call(builtins.open, str(canary), "w"), "open"),
        "popen": (Call(subprocess.Popen, ["touch", str(canary)]), "Popen"),
        "mkdir": (Call(os.mkdir, str(canary)), "mkdir"),
        "getattr chain": (Call(Call(builtins.getattr, pathlib.Path(canary), "touch")), "getattr"),
        "methodcaller": (Call(operator.methodcaller("touch"), pathlib.Path(canary)), "methodcaller"),
        "map": (Call(builtins.list, Call(builtins.map, os.system, [command])), "list"),
        "memmap": (Call(np.memmap, str(canary), "u1", "w+", 0, (1,)), "memmap"),
        "numpy.load": (Call(np.load, str(canary)), "numpy"),
        "numpy.save": (Call(np.save, str(canary), 1), "numpy"),
        "numpy.fromfile": (Call(np.fromfile, str(canary)), "numpy"),
        "pickle in a pickle": (Call(pickle.loads, pickle.dumps(Call(os.system, command))), "loads"),
        "import": (Call(builtins.__import__, "os"), "__import__"),
        "bytearray of 2**40": (Call(builtins.bytearray, 1 << 40), "bytearray"),
    }


def opcodes_running_code(canary):
    """The same through single opcodes: {name: (operations without PROTO and STOP, part of the message)}"""
    command = f"(S'touch {canary}'\n".encode()
    return {
        "INST": (b"(" + b"ios\nsystem\n", "INST"),
        "text of protocol 0": (command + b"ios\nsystem\n", "STRING"),
        "OBJ": (b"(cos\nsystem\n" + text("x") + b"o", "os.system"),
        "OBJ without name": (b"(]o", "OBJ"),
        "NEWOBJ": (b")\x81", "NEWOBJ"),
        "NEWOBJ_EX": (b"))}\x92", "NEWOBJ_EX"),
        "EXT1": (b"\x82\x01", "EXT1"),
        "PERSID": (b"Pname\n", "PERSID"),
        "GLOBAL of Python 2": (b"c__builtin__\neval\n" + text("1") + b"\x85R", "__builtin__.eval"),
        "GLOBAL with a dotted name": (b"cnumpy\ncore.sys.modules\n", "core.sys.modules"),
        "GLOBAL of a folder": (b"c../x\ny\n", "../x"),
        "GLOBAL with control characters": (b"c\x1b[31m\r\nx\n", "x1b"),
        "GLOBAL without an end": (b"c" + b"a" * 5000, "damaged"),
        "REDUCE of a text": (b"U\x09os.system)R", "calls something"),
        "REDUCE of a list": (b"])R", "calls something"),
        "BUILD of a dict": (b"}}b", "sets the state"),
        "BUILD of None": (b"N}b", "sets the state"),
    }


BOMBS = {  # operations without PROTO and STOP, for both formats
    "flood of operations": (b"N" + b"N0" * 1_000_000, "POP"),
    "flood of values": (b"]" + b"Na" * 1_000_000, "more than 50000 operations"),
    "flood of marks": (b"(" * 1_000_000, "more than 50000 operations"),
    "deep lists": (b"]" * 40_000 + b"a" * 39_999, "more than 50000 operations"),
    "deep tuples": (b")" + b"\x85" * 40_000, ""),
    "stack underflow": (b"a", "damaged"),
    "underflow below a mark": (b"K\x01(\x86", "damaged"),
    "pop of no mark": (b"t", "damaged"),
    "open mark": (b"N(", "damaged"),
    "two values": (b"NN", "damaged"),
    "no value": (b"", "damaged"),
    "memo that was not set": (b"hK", "damaged"),
    "unhashable key": (b"}]Ns", "key of a dictionary"),
    "key of doubled tuples": (b"}" + b")" + b"q\0h\0\x86" * 64 + b"Ns", "key of a dictionary"),
    "append to a tuple": (b")Na", "damaged"),
    "append to a dict": (b"}Na", "damaged"),
    "item of a list": (b"]K\0Ns", "damaged"),
    "odd items": (b"}(Nu", "damaged"),
    "key twice": (b"}(U\x01aNU\x01aNu", "comes twice"),
    "integer of 255 bytes": (b"\x8a\xff" + b"\x01" * 255, "integer of 255 bytes"),
    "integer of 2**31 bytes": (b"\x8b\xff\xff\xff\x7f", "LONG4"),
    "text of 4 GB": (b"X\xff\xff\xff\xff", "too early"),
    "text that is not UTF-8": (b"X\x02\0\0\0\xff\xfe", "damaged"),
    "protocol 99": (b"\x80\x63N", "protocol 99"),
    "unknown opcode": (b"\xff", "0xff"),
}


def doubled(times=40):
    """Operations of a list that is small in memory and has 2**times elements as a tree."""
    return b"]" + b"q\0h\0\x86" * times


def released_files(canary):
    """The corpus for `read_released`."""
    files = {}
    for name, (value, message) in running_code(canary).items():
        files[f"{name} as the whole"] = npy(value), message
        files[f"{name} as an array"] = changed(train_label=value), message
    files["os.system, protocol 2"] = npy(Call(os.system, f"touch {canary}"), 2), "system"
    files["os.system, protocol 0"] = npy(Call(os.system, f"touch {canary}"), 0), ""
    files["os.system beside the array"] = (
        HEADER + pickle.dumps([Call(os.system, f"touch {canary}")], 2),
        "system",
    )
    files["os.system as a key"] = npy({Call(os.system, f"touch {canary}"): 1}), "system"
    for name, (operations, message) in opcodes_running_code(canary).items():
        files[name] = raw(operations), message
    for name, (operations, message) in BOMBS.items():
        files[name] = raw(operations), message
    box = np.array([Call(os.system, f"touch {canary}"), 1], object)
    scalar = np._core.multiarray.scalar
    files |= {
        "BINPERSID": (raw(b"NQ"), "BINPERSID"),
        "STACK_GLOBAL": (raw(text("os") + text("system") + b"\x93" + text("x") + b"\x85R"), "os.system"),
        "STACK_GLOBAL from the memo": (
            raw(text("os") + b"\x94" + text("system") + b"\x940h\0h\x01\x93"),
            "POP",
        ),
        "STACK_GLOBAL of numbers": (raw(b"K\x01K\x02\x93"), "damaged"),
        "STACK_GLOBAL of doubled tuples": (raw(b")" + b"q\0h\0\x86" * 64 + b"h\0\x93"), "damaged"),
        "object array with a call": (changed(train_image=box), "system"),
        "object array of numbers": (changed(train_image=np.array([1, None], object)), "data type O8"),
        "scalar of objects": (changed(train_label=Call(scalar, np.dtype("O"), b"cos\nsystem\n.")), "scalar"),
        "state of a function": (changed(train_label=Call(builtins.dict, state={"x": 1})), "dict"),
        "subclass of ndarray": (changed(train_label=np.zeros(3, np.int8).view(np.matrix)), "matrix"),
        "masked array": (changed(train_label=np.ma.zeros(3, np.int8)), "numpy.ma"),
        "record array": (changed(train_label=np.zeros(3, "i1,i1")), "compound data type"),
        "encode into a file codec": (
            raw(b"c_codecs\nencode\n" + text("x") + text("uu") + b"\x86R"),
            "damaged",
        ),
        "encode of 65 million": (
            raw(b"c_codecs\nencode\n" + b"J\0\0\0\x04" + text("latin1") + b"\x86R"),
            "damaged",
        ),
        "bytes of 2**62": (raw(b"\x8e" + (1 << 62).to_bytes(8, "little")), "too early"),
        "bytearray of 2**63": (raw(b"\x96" + (1 << 63).to_bytes(8, "little")), "too early"),
        "text of 2**62": (raw(b"\x8d" + (1 << 62).to_bytes(8, "little")), "too early"),
        "bytes of -1": (raw(b"T\xff\xff\xff\xff"), "too early"),
        "frame of 2**63": (raw(b"\x95" + (1 << 63).to_bytes(8, "little") + b"N"), "too early"),
        "buffer out of band": (raw(b"\x97"), "NEXT_BUFFER"),
        "memo 2**31": (raw(b"Nr\xff\xff\xff\x7f"), "dictionary"),
        "list in itself": (raw(b"]q\0h\0a"), "dictionary"),
        "doubled tuples": (raw(doubled()), "dictionary"),
        "dictionary in itself": (
            raw(array_pickle(b")", b"O8", content=b"]}q\0U\x01ah\0sa")),
            "lacks the key",
        ),
        "array in itself": (raw(array_pickle(b")", b"O8", content=b"N")), "dictionary"),
        "state set twice": (raw(array_pickle(b")", b"O8", content=b"]") + b"(K\x01)K\0K\0Ntb"), "damaged"),
        "array without a state": (
            raw(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n)NtR"),
            "dictionary",
        ),
        "array as a type": (raw(b"cnumpy.core.multiarray\n_reconstruct\n(N)NtR"), "damaged"),
        "class as the value": (raw(b"cnumpy\nndarray\n"), "dictionary"),
        "frombuffer of objects": (raw(b"cnumpy.core.numeric\n_frombuffer\n(]N)NtR"), ""),
    }
    two = b"K\x02\x85"
    for name, shape, message in (
        ("of 2**40", integer(1 << 40) + b"\x85", "impossible shape"),
        ("of 2**124", integer(1 << 124) + b"\x85", "impossible shape"),
        ("of 2**30 by 2**30", b"J\0\0\0\x40J\0\0\0\x40\x86", "do not fit"),
        ("of -1", b"J\xff\xff\xff\xff\x85", "impossible shape"),
        ("of -1 by -2", b"J\xff\xff\xff\xffJ\xfe\xff\xff\xff\x86", "impossible shape"),
        ("of 2**64", b"J\0\0\0\x40J\0\0\0\x40K\x10\x87", "do not fit"),
        ("of True", b"\x88\x88\x86", "impossible shape"),
        ("of a float", b"G" + struct.pack(">d", 2.0) + b"\x85", "impossible shape"),
        ("of 1000 dimensions", b"(" + b"K\x01" * 1000 + b"t", "damaged"),
        ("as a list", b"]K\x02a", "damaged"),
        ("of 3 for 2 bytes", b"K\x03\x85", "do not fit"),
        ("of none", b"K\0\x85", "do not fit"),
    ):
        files[f"shape {name}"] = with_train_image(array_pickle(shape)), message
    for code, message in (
        (b"O8", "data type O8"),
        (b"V1", "data type V1"),
        (b"S2", "data type S2"),
        (b"f8", "data type f8"),
        (b"u9", "data type u9"),
        (b"u", "data type u"),
        (b"", "data type"),
        (b"u1,u1", "data type u1,u1"),
        (b"u" * 200, "damaged"),
        (b"\n\x1b", "data type"),
    ):
        files[f"data type {code}"] = with_train_image(array_pickle(two, code)), message
    files |= {
        "order >": (with_train_image(array_pickle(two, order=b">")), "big-endian"),
        "content None": (with_train_image(array_pickle(two, content=b"N")), "not an array"),
        "content a list": (with_train_image(array_pickle(two, content=b"](K\x01K\x02e")), "objects instead"),
        "content a text": (with_train_image(array_pickle(two, content=text("ab"))), "objects instead"),
        "content itself": (with_train_image(array_pickle(two, content=b"h\0")), "damaged"),
        "images of float32": (changed(train_image=np.zeros((3, 28, 28, 3), "f4")), "data type f4"),
        "images of int8": (changed(train_image=np.zeros((3, 28, 28, 3), "i1")), "data type i1"),
        "images with channels first": (changed(train_image=np.zeros((3, 3, 28, 28), "u1")), "shape"),
        "images of 27x28": (changed(train_image=np.zeros((3, 27, 28, 3), "u1")), "shape"),
        "images without colour": (changed(train_image=np.zeros((3, 28, 28), "u1")), "shape"),
        "images in five dimensions": (changed(train_image=np.zeros((3, 28, 28, 3, 1), "u1")), "damaged"),
        "gray with colour": (changed(test_gray=np.zeros((2, 28, 28, 3), "u1")), "shape"),
        "labels of float64": (changed(train_label=np.zeros(3)), "data type f8"),
        "labels of bool": (changed(train_label=np.zeros(3, bool)), "data type b1"),
        "labels as text": (changed(train_label=np.array(["1", "2", "3"])), "data type U1"),
        "labels as dates": (changed(train_label=np.zeros(3, "M8[s]")), "data type M8"),
        "labels big-endian": (changed(train_label=np.arange(3, dtype=">i8")), "big-endian"),
        "big-endian, declared little": (changed(train_label=np.arange(3, dtype=">i8").view("<i8")), "0 to 9"),
        "label 10": (changed(train_label=np.array([0, 10, 1], np.int8)), "0 to 9"),
        "label -1": (changed(test_label=np.array([-1, 1], np.int8)), "0 to 9"),
        "label 2**63 - 1": (changed(test_label=np.array([2**63 - 1, 1])), "0 to 9"),
        "one-hot labels": (changed(train_label=np.zeros((3, 10), np.int8)), "shape"),
        "one label": (changed(train_label=np.array(3, np.int8)), "shape"),
        "labels as a list": (changed(train_label=[0, 1, 2]), "not an array"),
        "labels None": (changed(train_label=None), "not an array"),
        "too few labels": (changed(train_label=np.zeros(2, np.int8)), "shape"),
        "too many gray images": (changed(test_gray=np.zeros((3, 28, 28), "u1")), "shape"),
        "no images": (npy({key: value[:0] for key, value in arrays().items()}), "at least one"),
        "key as bytes and as text": (npy(arrays() | {b"test_gray": 1}), "twice the key test_gray"),
        "10000 keys": (npy(dict.fromkeys(map(str, range(10_000)))), "lacks the key"),
        "empty dictionary": (npy({}), "lacks the key"),
        "list instead of a dictionary": (npy(list(arrays().values())), "dictionary"),
        "array of two dictionaries": (HEADER + pickle.dumps(np.array([{}, {}]), 4), "dictionary"),
        "dictionary without the array": (HEADER + pickle.dumps(arrays(), 4), "dictionary"),
        "something behind": (npy(arrays()) + b"x", "follows"),
        "header of two objects": (npy({}).replace(b"'shape': ()", b"'shape': (2,)"), "instead"),
        "header of nested brackets": (b"\x93NUMPY\x01\0\xff\xff" + b"(" * 65535, "instead of the dictionary"),
        "header that calls": (b"\x93NUMPY\x01\0\x20\0" + b"__import__('os').abort()".ljust(32), "instead"),
        "header beyond the end": (b"\x93NUMPY\x01\0\xff\xff{", "too early"),
        "version 3": (HEADER.replace(b"\x01\0v", b"\x03\0v") + pickle.dumps(boxed(arrays())), "instead"),
        "magic alone": (b"\x93NUMPY", ""),
        "bare pickle": (pickle.dumps(arrays(), 2), "begin as a .npy"),
        "zip": (saved(np.savez, **arrays()), "begin as a .npy"),
        "plain array": (saved(np.save, np.zeros(5)), "instead of the dictionary"),
        "web page": (b"<!DOCTYPE html><html>404</html>" * 20, "begin as a .npy"),
        "pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "begin as"),
    }  # fmt: skip
    for key in KEYS[:-1]:
        files[f"without {key}"] = npy({k: v for k, v in arrays().items() if k != key}), f"lacks the key {key}"
    return files


def saved(function, *arguments, **keywords):
    stream = io.BytesIO()
    function(stream, *arguments, **keywords)
    return stream.getvalue()


def message_of(error):
    """The text of a UserError, after checking that it is one short printable line that says what to do."""
    line = str(error)
    assert line.isprintable(), line
    assert len(line) < 500, line
    assert "; " in line, line
    return line
