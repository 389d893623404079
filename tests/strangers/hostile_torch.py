"""Malicious and malformed PyTorch checkpoints, zip and legacy: `torch_files(canary)`, as in hostile.py."""

import io
import os
import pickle
import struct
import zipfile

import numpy as np
import torch

from tests.strangers.hostile import BOMBS, Call, doubled, integer, opcodes_running_code, running_code, saved, text


def checkpoint():
    """A small value as a checkpoint holds it."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    return {
        "step": 3,
        "net_state_dict": network.state_dict(),
        "lr": 0.1,
        "name": None,
        "betas": (0.9, True),
        "l": [1],
    }


def torch_bytes(value, is_zip=True):
    """What torch.save writes, in the zip or in the legacy format."""
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=is_zip)
    return stream.getvalue()


def zipped(members, folder="archive/", **options):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **options) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(folder + name), content, archive.compression)
    return stream.getvalue()


def torch_zip(pickled, *storages, members=()):
    """A checkpoint of the zip format around any pickle; storage n has the name data/n."""
    numbered = [(f"data/{n}", content) for n, content in enumerate(storages)]
    return zipped([("data.pkl", pickled), ("version", b"3\n"), *members, *numbered])


def torch_legacy(pickled, keys=(), *, tail=b"", system=None):
    """A checkpoint of the legacy format around any pickle, with the storages' raw bytes `tail`."""
    parts = (0x1950A86A20F9469CFC6C, 1001, system or {"protocol_version": 1001, "little_endian": True})
    return b"".join(pickle.dumps(part, 2) for part in parts) + pickled + pickle.dumps(list(keys), 2) + tail


def unicode(value):
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def storage_id(numel=b"K\x04", key="0", kind=b"ctorch\nFloatStorage\n", device="cpu", view=b"", name="storage"):
    return b"(" + unicode(name) + kind + unicode(key) + unicode(device) + numel + view + b"tQ"


def tensor_pickle(storage=None, offset=b"K\0", size=b"K\x04\x85", stride=b"K\x01\x85", end=b".", hooks=b")R"):
    """The pickle of one tensor, by default of four float32 elements."""
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + (storage or storage_id()) + offset + size + stride
        + b"\x89ccollections\nOrderedDict\n" + hooks + b"tR" + end
    )  # fmt: skip


def torch_files(canary):
    """The corpus for `check_torch_file`."""
    files = {}

    def both(name, pickled, message):
        files[f"{name} (zip)"] = torch_zip(pickled), message
        files[f"{name} (legacy)"] = torch_legacy(pickled), message

    for name, (value, message) in running_code(canary).items():
        both(name, pickle.dumps({"step": 1, "net_state_dict": value}, 2), message)
    for name, (operations, message) in opcodes_running_code(canary).items():
        message = {"os.system": "OBJ", "NEWOBJ": "damaged"}.get(message, message) if "OBJ" in name else message
        both(name, b"\x80\x02" + operations.replace(text("x"), unicode("x")) + b".", message)
    for name, (operations, message) in (BOMBS | {"doubled tuples": (doubled(), "deep")}).items():
        message = message.replace("50000 operations", "1000000 operations" if name[0] == "f" else "").strip()
        message = "nested too deeply" if name == "deep lists" else message
        both(name, b"\x80\x02" + operations + b".", message)
    both("os.system, protocol 4", pickle.dumps(Call(os.system, f"touch {canary}"), 4), "")
    both("list in itself", b"\x80\x02]q\0h\0a.", "nested too deeply")
    both("name of torch that is not needed", b"\x80\x02ctorch.hub\nload\n.", "torch.hub.load")
    both("name as the value", b"\x80\x02ctorch\nFloatStorage\n.", "something else")
    both("whole module", b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81.", "torch.nn.modules.linear.Linear")
    both("rebuild from any type", b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n.", "_rebuild_from_type_v2")
    both("NumPy array", pickle.dumps(np.zeros(3), 2), "numpy")
    both("torch.load", pickle.dumps(Call(torch.load, str(canary)), 2), "torch")
    both("set", pickle.dumps({1, 2}, 2), "set")
    both("set, protocol 4", pickle.dumps({1, 2}, 4), "set")
    both("set in a list", pickle.dumps([1, {1, 2}], 2), "set")
    both("weights of NumPy", pickle.dumps({"net_state_dict": {"conv1.weight": np.zeros(3)}}, 2), "no tensors")
    both("tuple of calls", pickle.dumps((Call(os.system, f"touch {canary}"),), 2), "system")
    both(
        "reference to a module",
        b"\x80\x02(" + unicode("module") + b"ctorch\nFloatStorage\nNNtQ.",
        "not a storage",
    )
    both("reference to a number", b"\x80\x02K\x07Q.", "not a storage")
    for name, size, stride, message in (
        ("of 2**40", integer(1 << 40) + b"\x85", b"K\x01\x85", "impossible size"),
        ("of -1", b"J\xff\xff\xff\xff\x85", b"K\x01\x85", "impossible size"),
        ("of 5 in 4", b"K\x05\x85", b"K\x01\x85", "larger than its storage"),
        ("of 2**30 with stride 0", b"J\0\0\0\x40\x85", b"K\0\x85", "larger than its storage"),
        ("with stride 2", b"K\x04\x85", b"K\x02\x85", "larger than its storage"),
        ("with stride -1", b"K\x04\x85", b"J\xff\xff\xff\xff\x85", "impossible size"),
        ("of 9 dimensions", b"(" + b"K\x01" * 9 + b"t", b"(" + b"K\x01" * 9 + b"t", "impossible size"),
        ("of 2**60 by 0", b"J\0\0\0\x40J\0\0\0\x40K\0\x87", b"K\x01K\x01K\x01\x87", "impossible size"),
        ("with fewer strides", b"K\x02K\x02\x86", b"K\x01\x85", "impossible size"),
        ("of a float", b"G" + struct.pack(">d", 2.0) + b"\x85", b"K\x01\x85", "impossible size"),
    ):
        files[f"tensor {name} (zip)"] = torch_zip(tensor_pickle(size=size, stride=stride), bytes(16)), message
        legacy = tensor_pickle(storage_id(view=b"N"), size=size, stride=stride)
        files[f"tensor {name} (legacy)"] = torch_legacy(legacy, "0", tail=struct.pack("<q16x", 4)), message
    none = b"\x80\x02N."
    tensor = tensor_pickle()
    legacy = tensor_pickle(storage_id(view=b"N"))
    tail = struct.pack("<q16x", 4)
    big = storage_id(b"J\xff\xff\xff\x7f")
    second = {"end": b"\x86."}  # of a tuple of two tensors
    files |= {
        "storage larger than its member": (torch_zip(tensor_pickle(big), bytes(16)), "another size"),
        "storage smaller than its member": (torch_zip(tensor, bytes(20)), "another size"),
        "storage without member": (torch_zip(tensor), "missing"),
        "member without storage": (torch_zip(tensor, bytes(16), b"x"), "missing or has another size"),
        "storage of -1": (torch_zip(tensor_pickle(storage_id(b"J" + b"\xff" * 4)), bytes(16)), "impossible"),
        "storage of 2**124": (torch_zip(tensor_pickle(storage_id(integer(1 << 124)))), "impossible"),
        "storage with a path": (torch_zip(tensor_pickle(storage_id(key="../0")), bytes(16)), "missing"),
        "storage of a list": (torch_zip(tensor_pickle(storage_id(kind=b"]")), bytes(16)), "unknown kind"),
        "storage of a function": (
            torch_zip(tensor_pickle(storage_id(kind=b"ctorch._utils\n_rebuild_tensor\n")), bytes(16)),
            "unknown kind",
        ),
        "storage twice": (
            torch_zip(tensor_pickle(end=b"") + tensor_pickle(storage_id(b"K\x05"), **second)[2:], bytes(16)),
            "twice, differently",
        ),
        "storage of two dtypes": (
            torch_zip(
                tensor_pickle(end=b"")
                + tensor_pickle(storage_id(kind=b"ctorch\nIntStorage\n"), **second)[2:],
                bytes(16),
            ),
            "twice, differently",
        ),
        "state of a tensor": (torch_zip(tensor_pickle(end=b"}b."), bytes(16)), "sets the state"),
        "tensor with hooks": (torch_zip(tensor_pickle(hooks=b"]]K\x01aK\x02aa\x85R"), bytes(16)), "hooks"),
        "tensor of a tuple": (torch_zip(tensor_pickle(storage=b"K\x04K\x04\x86"), bytes(16)), "damaged"),
        "legacy: storage of 2**31 - 1": (
            torch_legacy(tensor_pickle(big[:-2] + b"NtQ"), "0", tail=tail), "too early"
        ),
        "legacy: length of 2**60": (torch_legacy(legacy, "0", tail=b"\x10" * 8 + tail[8:]), "another size"),
        "legacy: length of -1": (torch_legacy(legacy, "0", tail=b"\xff" * 8 + tail[8:]), "another size"),
        "legacy: view of a storage": (
            torch_legacy(tensor_pickle(storage_id(view=b"K\0K\0K\x01\x87")), "0", tail=tail), "unknown kind"
        ),
        "legacy: keys missing": (torch_legacy(legacy, "", tail=tail), "does not match"),
        "legacy: key twice": (torch_legacy(legacy, "00", tail=tail * 2), "does not match"),
        "legacy: keys of doubled tuples": (
            torch_legacy(legacy, tail=tail)[: -len(tail) - 4] + doubled() + b"." + tail, ""
        ),
        "legacy: something behind": (torch_legacy(legacy, "0", tail=tail + b"x"), "follows"),
        "legacy: big-endian": (torch_legacy(none, system={"little_endian": False}), "big-endian"),
        "legacy: another magic number": (pickle.dumps(7, 2) * 5, "not a PyTorch file"),
        "zip: compressed": (
            zipped([("data.pkl", none)], compression=zipfile.ZIP_DEFLATED), "compressed"
        ),
        "zip: bomb": (
            zipped([("data.pkl", tensor_pickle(big)), ("data/0", bytes(1 << 24))],
                   compression=zipfile.ZIP_DEFLATED), "compressed"
        ),
        "zip: without data.pkl": (zipped([("version", b"3\n")]), "without data.pkl"),
        "zip: of NumPy": (saved(np.savez, a=np.zeros(3)), "unknown"),
        "zip: TorchScript": (zipped([("data.pkl", none), ("constants.pkl", none)]), "constants.pkl"),
        "zip: big-endian": (torch_zip(none, members=[("byteorder", b"big")]), "big-endian"),
        "zip: empty": (b"PK\x05\x06" + bytes(18), ""),
        "zip: something before": (b"#!/bin/sh\n" + torch_zip(tensor, bytes(16)), ""),
        "zip: something behind": (torch_zip(tensor, bytes(16)) + b"x", ""),
        "zip: two folders": (zipped([("a/data.pkl", none), ("b/version", b"3")], folder=""), "folders"),
        "zip: member twice": (zipped([("data.pkl", none), ("data.pkl", none)]), "comes twice"),
        "zip: pickle with a second one": (torch_zip(none * 2), "follows"),
        "zip: many members": (torch_zip(none) + b"PK\x01\x02" * 30_000, "more than 20000"),
        "tar": (b"\0" * 257 + b"ustar\x0000" + b"\0" * 248, "tar archive"),
        "web page": (b"<!DOCTYPE html><html>404</html>" * 20, "not a PyTorch file"),
        "pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "not a PyTorch file"),
    }  # fmt: skip
    for path in (
        "../evil",
        "/etc/passwd",
        "data/../../x",
        "data/0/../1",
        "..\\x",
        "data/٣",
        "data.pkl/",
        "x\ny",
    ):
        files[f"zip: member {path!r}"] = zipped([("data.pkl", none), (path, b"x")]), "unknown"
    for folder in ("../", "./"):
        files[f"zip: in {folder}"] = zipped([("data.pkl", none)], folder=folder), ""
    files["zip: in /"] = zipped([("data.pkl", none)], folder="/"), "unknown"
    good = torch_zip(tensor, bytes(16))
    directory = good.index(b"PK\x01\x02")
    for name, position, value in (
        ("overlapping members", good.index(b"PK\x01\x02", directory + 1) + 42, bytes(4)),
        ("size of 4 GB", directory + 24, b"\xff\xff\xff\xfe"),
        ("checksum", directory + 16, b"abcd"),
        ("encrypted", directory + 8, b"\x01\0"),
        ("name of the member differs", 30, b"x"),
        ("offset beyond the end", directory + 42, b"\xff\xff\xff\x7f"),
    ):
        files[f"zip: {name}"] = good[:position] + value + good[position + len(value) :], ""
    return files
