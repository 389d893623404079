"""Reads PyTorch checkpoints from strangers without PyTorch: tensors as bytes, plain values, and nothing else.

Both formats of torch.save are a pickle that refers to storages, blocks of bytes beside it. The pickle is read
by `pickle_interpreter`, with the stand-ins below for the names of PyTorch, which only compare what the pickle
declares with the bytes that are there. What a training script has put into the file beside its weights, such as its
arguments, sets or NumPy's numbers, is left out, and never built.
"""

import io
import math
import re
import struct
import zipfile
import zlib

from common.errors import UserError, one_line
from strangers.pickle_interpreter import (
    AGAIN,
    OBJECTS,
    PROTOCOL_5,
    Callee,
    OrderedDict,
    Refused,
    Unknown,
    ordered_dict,
    read_pickle,
    read_whole,
)

MAX_BYTES = 1 << 30  # three times a ResNet-152, as its last.pt is with --average
MAX_MEMBERS = 20_000  # of a zip archive
MAX_OPERATIONS = 1_000_000  # of a pickle: losses of every iteration have been seen beside weights
MAX_DEPTH, MAX_VALUES = 32, 1_000_000  # of the value in a checkpoint, shared parts counted each time

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # of the legacy format
ITEM_BYTES = {"Byte": 1, "Char": 1, "Bool": 1, "Half": 2, "BFloat16": 2, "Short": 2}
ITEM_BYTES |= {"Float": 4, "Int": 4, "Double": 8, "Long": 8}
OPERATIONS = PROTOCOL_5 | OBJECTS | {"BINPERSID"}
SAVE_ANEW = "save it anew, torch.save(network.state_dict(), FILE), where it was made"


def check_torch_file(path):
    """The content of a checkpoint, in the zip or the legacy format: tensors (as `Tensor`) and plain values.

    Plain are None, bool, int, float, str, bytes, list, tuple, dict and torch.Size. An entry of a dictionary that has
    anything else in it is left out; what is no dictionary, or has no tensor left, is refused then. Each storage has
    exactly the declared size, files have up to 1 GB.
    Raises UserError.
    """
    data = read_whole(path, MAX_BYTES, "checkpoint")
    try:
        if data.startswith(b"PK\x03\x04"):
            return _read_zip(data)
        if data[257:262] == b"ustar":
            raise Refused("it is a tar archive, the format of PyTorch before 0.1.10")
        return _read_legacy(data)
    except Refused as refused:
        raise UserError(f"checkpoint {one_line(path)} is refused: {refused}; {refused.advice or SAVE_ANEW}") from None


class _StorageType:
    def __init__(self, name):
        self.name, self.item_bytes = name, ITEM_BYTES[name]


class _Storage:
    def __init__(self, kind, numel):
        self.kind, self.numel = kind, numel
        self.nbytes = kind.item_bytes * numel
        self.content = None  # its bytes, a memoryview, once it is known where they are


class _Storages(dict):
    """The storages that a pickle declares by persistent ids: {key: _Storage}."""

    def __init__(self, id_length):
        self.unknown = set()  # keys of storages that are left out, of a type that is not in ITEM_BYTES
        self.id_length = id_length  # 5, and 6 in the legacy format: the last field there is a view

    def declare(self, identity):
        """identity: ("storage", type, key, device, number of elements[, None])."""
        if type(identity) is not tuple or len(identity) != self.id_length or identity[0] not in ("storage", b"storage"):
            raise Refused("it refers to something that is not a storage")
        _, kind, key, device, numel, *view = identity
        if type(kind) is Unknown and type(key) is str and self.id_length == 5:  # in the other format its size is needed
            self.unknown.add(key)
            return kind
        if type(kind) is not _StorageType or type(key) is not str or type(device) not in (str, bytes) or any(view):
            raise Refused("it declares a storage of an unknown kind")
        _check_sizes(numel)
        storage = self.setdefault(key, _Storage(kind, numel))
        if (storage.kind, storage.numel) != (kind, numel):
            raise Refused("it declares a storage twice, differently")
        return storage


class Tensor:
    """A tensor as the file describes it, which fits into its storage."""

    def __init__(self, storage, offset, size, stride):
        """storage: with `kind.name` as of ITEM_BYTES and the bytes `content`. offset, size, stride: in elements."""
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride


def _check_sizes(*values):
    if not all(type(value) is int and 0 <= value < 1 << 31 for value in values):
        raise Refused("it declares an impossible size")


def _rebuild_tensor(storage, offset, size, stride):
    if type(storage) is Unknown:
        return storage
    if type(storage) is not _Storage or type(size) is not tuple or type(stride) is not tuple:
        raise TypeError
    if len(size) != len(stride) or len(size) > 8:
        raise Refused("it declares an impossible size")
    _check_sizes(offset, *size, *stride)
    _check_sizes(math.prod(max(n, 1) for n in size))
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    numel = math.prod(size)
    if numel > storage.numel or offset > storage.numel or (numel and last >= storage.numel):
        raise Refused("it declares a tensor that is larger than its storage")
    return Tensor(storage, offset, size, stride)


def _check_flags(requires_grad, hooks):
    if type(requires_grad) is not bool or type(hooks) is not OrderedDict or hooks:
        raise Refused("it holds a tensor with hooks")


def _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks):
    _check_flags(requires_grad, hooks)
    return _rebuild_tensor(storage, offset, size, stride)


def _rebuild_parameter(tensor, requires_grad, hooks):
    _check_flags(requires_grad, hooks)
    if type(tensor) not in (Tensor, Unknown):
        raise TypeError
    return tensor


def _torch_size(size):
    if type(size) is not tuple:
        raise TypeError
    _check_sizes(*size)
    return size


NAMES = {
    ("collections", "OrderedDict"): Callee(ordered_dict),
    ("torch._utils", "_rebuild_tensor"): Callee(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Callee(_rebuild_tensor_v2),
    ("torch._utils", "_rebuild_parameter"): Callee(_rebuild_parameter),
    ("torch", "Size"): Callee(_torch_size),
} | {("torch", f"{name}Storage"): _StorageType(name) for name in ITEM_BYTES}


def _read_object(data, start, storages):
    """Reads the saved value's pickle and fills `storages`; returns (the value, position after the pickle)."""
    value, end = read_pickle(data, start, NAMES, OPERATIONS, storages.declare, MAX_OPERATIONS)
    _check_extent(value)
    left_out = []
    kept = _kept(value, left_out)
    if isinstance(kept, Unknown):
        raise Refused(f"it holds {kept.name} where a dictionary of tensors should be")
    if left_out and not storages:  # weights that are no tensors, rather than something beside them
        raise Refused(f"it holds no tensors beside {left_out[0]}")
    return kept, end


def _check_extent(value):
    """As a tree the value is bounded too, so that no reader of it can be led in circles. Raises Refused."""
    pending, count = [(value, 0)], 0
    while pending:
        value, depth = pending.pop()
        count += 1
        if depth > MAX_DEPTH or count > MAX_VALUES:
            raise Refused("its content is nested too deeply or is too large")
        if type(value) in (dict, OrderedDict):
            pending.extend((child, depth + 1) for child in value.values())
        elif type(value) in (list, tuple):
            pending.extend((child, depth + 1) for child in value)


def _kept(value, left_out):
    """`value` without the entries of dictionaries that hold `Unknown` things, whose names go to the list `left_out`.

    What is `Unknown` itself, or a list that has such a thing in it, is `Unknown`.
    """
    if type(value) in (dict, OrderedDict):
        kept = {}
        for key, child in value.items():
            if isinstance(child := _kept(child, left_out), Unknown):
                left_out.append(child.name)
                continue
            key = key.decode("latin1") if type(key) is bytes else key  # text, to Python 2
            if key in kept:
                raise Refused(f"its key {one_line(key)[:40]} comes twice")
            kept[key] = child
        return kept
    if type(value) in (list, tuple):
        children = [_kept(child, left_out) for child in value]
        return next((c for c in children if isinstance(c, Unknown)), type(value)(children))
    if value is None or type(value) in (bool, int, float, str, bytes, Tensor, Unknown):
        return value
    return Unknown("something else than tensors and plain values")  # a long text, a function, a kind of storage


def _read_legacy(data):
    """Five pickles (magic number, protocol, system, value, storage keys), each storage after its length."""
    magic, at = read_pickle(data, 0, {}, PROTOCOL_5) if data.startswith(b"\x80") else (None, 0)
    if magic != MAGIC_NUMBER:
        raise Refused("it is not a PyTorch file", "name one that torch.save wrote, or download it again")
    protocol, at = read_pickle(data, at, {}, PROTOCOL_5)
    system, at = read_pickle(data, at, {}, PROTOCOL_5)
    if protocol != 1001 or type(system) is not dict or system.get("little_endian") is not True:
        raise Refused("it comes from a big-endian machine, or its header is damaged")
    storages = _Storages(id_length=6)
    value, at = _read_object(data, at, storages)
    keys, at = read_pickle(data, at, {}, PROTOCOL_5)
    if type(keys) is not list or not all(type(key) is str for key in keys) or sorted(keys) != sorted(storages):
        raise Refused("its list of storages does not match its tensors", AGAIN)
    for key in keys:
        length, storage = int.from_bytes(data[at : at + 8], "little"), storages[key]
        if at + 8 + storage.nbytes > len(data):
            raise Refused("it ends too early", AGAIN)
        if length != storage.numel:
            raise Refused("a storage in it has another size than declared", AGAIN)
        storage.content = memoryview(data)[at + 8 : at + 8 + storage.nbytes]
        at += 8 + storage.nbytes
    if at != len(data):
        raise Refused("something follows its last storage", AGAIN)
    return value


_MEMBER = re.compile(
    r"([^/\\\0]+)/(data\.pkl|byteorder|version|\.format_version|\.storage_alignment|\.data/serialization_id|data/[0-9]+)"
)


def _read_zip(data):
    members = _zip_members(data)
    if not {"data.pkl", "version"} <= members.keys():
        raise Refused("it is a zip archive without data.pkl or version", "name a file that torch.save wrote")
    if members.get("byteorder", b"little") != b"little":
        raise Refused("it comes from a big-endian machine")
    storages = _Storages(id_length=5)
    value, end = _read_object(bytes(members["data.pkl"]), 0, storages)
    if end != len(members["data.pkl"]):
        raise Refused("something follows its pickle", AGAIN)
    stored = {name[5:]: len(member) for name, member in members.items() if name.startswith("data/")}
    measured = {key: length for key, length in stored.items() if key not in storages.unknown}
    if measured != {key: storage.nbytes for key, storage in storages.items()}:
        raise Refused("a storage in it is missing or has another size than declared", AGAIN)
    for key, storage in storages.items():
        storage.content = members[f"data/{key}"]
    return value


def _zip_members(data):
    """{name: memoryview} of a zip archive as torch.save lays it out, without the name of its folder.

    The layout is pinned, so that there is one way to read it: uncompressed members one after another from position 0,
    the directory right behind them, the end.
    """
    if data.count(b"PK\x01\x02") > MAX_MEMBERS:
        raise Refused(f"its zip archive has more than {MAX_MEMBERS} members")
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error):
        raise Refused("it ends too early, or its zip directory is damaged", AGAIN) from None
    entries = archive.infolist()
    size = sum(46 + len(entry.orig_filename.encode()) for entry in entries)
    numbers = (len(entries), len(entries), size, archive.start_dir)
    end = archive.start_dir + size
    if data.startswith(b"PK\x06\x06", end):  # torch.save writes the zip64 records too
        versions = struct.unpack_from("<2H", data, end + 12)
        tail = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, *versions, 0, 0, *numbers)
        tail += struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    else:
        tail = b""
    if data[end:] != tail + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, *numbers, 0):
        raise Refused("its zip directory is not laid out as by torch.save")
    members, folders, at = {}, set(), 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        name = _MEMBER.fullmatch(entry.orig_filename)
        if not name or name[2] in members:
            raise Refused(f"its zip member {one_line(entry.orig_filename)[:60]} is unknown or comes twice")
        if entry.compress_type or entry.file_size != entry.compress_size or entry.flag_bits & ~0x808:
            raise Refused("its zip members are compressed or encrypted")
        if entry.volume or entry.external_attr & 0x10:  # the bit marks a folder
            raise Refused("its zip directory is damaged", AGAIN)
        start = entry.header_offset
        longest_gap = 24 if members else 0  # bytes of a data descriptor, behind each member
        if not 0 <= start - at <= longest_gap:
            raise Refused("its zip members overlap or leave gaps", AGAIN)
        header = data[start : start + 30]
        if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
            raise Refused("its zip directory is damaged", AGAIN)
        name_end = start + 30 + int.from_bytes(header[26:28], "little")
        content_start = name_end + int.from_bytes(header[28:30], "little")
        at = content_start + entry.file_size
        content = memoryview(data)[content_start:at]
        if data[start + 30 : name_end] != entry.orig_filename.encode():
            raise Refused("its zip directory is damaged", AGAIN)
        if len(content) != entry.file_size or zlib.crc32(content) != entry.CRC:
            raise Refused(f"its zip member {name[2]} is damaged (its checksum differs)", AGAIN)
        members[name[2]] = content
        folders.add(name[1])
    if not 0 <= archive.start_dir - at <= 24 or len(folders) > 1 or folders & {".", ".."}:
        raise Refused("its zip members overlap or lie in several folders")
    return members
