"""Released files: what is read, what is written, and that hostile files end in one line."""

import base64
import io
import os
import pickle
import pickletools
import random
import subprocess
import sys
import tempfile
import warnings
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from dataset import colored_mnist
from dataset.released import ReleasedFile, read_released, released_name, write_released
from tests.strangers import hostile
from tests.strangers.hostile_torch import torch_files

ROOT = Path(__file__).resolve().parents[2]
CANARY = Path(tempfile.gettempdir(), f"canary-{os.getpid()}")
FILES = hostile.released_files(CANARY)

# hostile.arrays() as np.save of NumPy 1.16.6 on Python 2.7.18 wrote it
PYTHON_2 = zlib.decompress(
    base64.b85decode(
        "c-rmRXHe5%7zgkqWd@Mt2DQ!x#VSt3ffJQTK_n_Fmb4AD+Lbg#E1)<k)`{ZYd+)vX-h1!8_x_@3DaZ9r@4Qn#@g#T2"
        "<$d4#Uw)sSyXVQ5QE>^$D3XC>N>q$V$w{KblB{@1xLA^A;CPPK%MF~0u`kEaS`#Czo7A+C5x$AAaB;Ty?=CzCQ|iq+"
        "qeZGTaEw%E*76#f<7f*m=NP3yZ{j(#lE+!J;1sS`73{JYiC8IAk(<bh2oeo*ZmW2Uk-=Fv3X6{<5fT-)-3d}ep;<DS"
        "EcS<RIUZy*udt=C9@(rXLE$`O;^i70ozAdcYE)g6>@6e{Bu0h`w}@8@spbf0D*mffL`Y3a4MGqE#YArI9-dy_xR0-2"
        "3IBk=px~0FN|z~Hu6#&ng^HELm8(>(R=tLV2&-8uytcGX-H3Yi8#HXxII>Ap(`L<EM7M0!x=q`5G3`5aj3qn8$>I|_"
        "Cw57qx_0ZH+@oi&l-}}GTA@@iY3XWBpT1h1-e6=o6K~Gw*WWTAGb?-Gpq#-&h7Pk1&mCbKIcoHnvE%Z_PspD*Y4Vh*"
        ")27duIcxTux%1{PSh#5MlBLU*uUNTi^_sQo)^FIjY4et?+qUo6xoh{Hz5DhbIC$vrk)y|spE!By^qI5g&R@8A>GGAU"
        "*RJ2VdF%F_yZ7!tc=+h?lc&#~zj*oT^_#Z<1~7mD3}65Q7{CAqFn|FJU;qOczySWIU|!+uT4`woqh)<ux>mjfiISMr"
        "-mcOVwyXSp*RG;4RCrO|j<j@+wy-5!!u%a!_6}IC8n-2hJ&Ij(3%I}qE^vYShg_kY`0yO9(L1YCfJ;FMv=<bSRqbb^"
        "M8f|T9WEHa1i2gzb_`%dg##F&0Of@g!|BSq_a8of`uyeVx9>m)I?#a*bf5zr=s*WL(18wgpaUJ~KnFU|fev(_10Co<"
        "2l{`f^9nP~E2KXGC2Uj+"
    )
)


def read(tmp_path, content):
    path = tmp_path / "file.npy"
    path.write_bytes(content)
    return read_released(path)


def small():
    return ReleasedFile(*(hostile.arrays()[key] for key in ReleasedFile._fields))


def assert_small(released):
    for name, array, expected in zip(released._fields, released, small(), strict=True):
        assert np.array_equal(array, expected), name
        assert array.dtype == (np.int64 if "label" in name else np.uint8)
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_names_of_the_authors():
    assert released_name(0.02) == "mnist_10color_jitter_var_0.020.npy"
    assert released_name(0.045) == "mnist_10color_jitter_var_0.045.npy"
    for color_var in (0.0204, 0.02 + 1e-9, 1e-9):
        with pytest.raises(UserError, match="three decimals"):
            released_name(color_var)


# ---- well-formed files


def test_reads_a_file_of_python_2(tmp_path):
    assert_small(read(tmp_path, PYTHON_2))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_files_of_python_3(tmp_path, protocol):
    assert_small(read(tmp_path, hostile.npy(hostile.arrays(), protocol)))
    assert_small(read(tmp_path, hostile.npy({k.encode(): v for k, v in hostile.arrays().items()}, protocol)))
    fortran = {key: np.asfortranarray(value) for key, value in hostile.arrays().items()}
    assert_small(read(tmp_path, hostile.npy(fortran, protocol)))
    read_only = hostile.arrays()
    for value in read_only.values():
        value.flags.writeable = False
    assert_small(read(tmp_path, hostile.npy(read_only, protocol)))


@pytest.mark.parametrize("protocol", [2, 3])
def test_reads_files_of_numpy_before_and_since_2(tmp_path, protocol):
    content = hostile.npy(hostile.arrays(), protocol)
    names = (b"numpy._core", b"numpy.core") if b"numpy._core" in content else (b"numpy.core", b"numpy._core")
    assert_small(read(tmp_path, content.replace(*names)))


def test_reads_what_np_save_writes_now(tmp_path):
    np.save(tmp_path / "file.npy", hostile.arrays())
    assert_small(read_released(tmp_path / "file.npy"))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_reads_labels_of_any_integer_type(tmp_path, dtype):
    labels = {key: value.astype(dtype) for key, value in hostile.arrays().items() if "label" in key}
    assert_small(read(tmp_path, hostile.npy(hostile.arrays() | labels)))


def test_reads_long_arrays_that_python_3_wrote_as_text(tmp_path):
    arrays = hostile.arrays(1000, 10)  # a text of 2.4 million characters under protocol 2
    released = read(tmp_path, hostile.npy(arrays, 2))
    assert all(np.array_equal(getattr(released, key), value) for key, value in arrays.items())


@pytest.mark.parametrize(
    "extra", [{"bias_label": np.zeros(3)}, {"\x1b[2J\n\ud800": 1}, {7: "x", None: 0.5}, {"of": {}}]
)
def test_keys_of_the_makers_own_are_ignored(tmp_path, extra):
    assert_small(read(tmp_path, hostile.npy(hostile.arrays() | extra)))


def test_reads_what_is_nearly_a_released_file(tmp_path):
    without = {k: v for k, v in hostile.arrays().items() if k != "test_gray"}
    assert read(tmp_path, hostile.npy(without)).test_gray is None
    column = {k: v[:, None] for k, v in hostile.arrays().items() if "label" in k}
    assert_small(read(tmp_path, hostile.npy(hostile.arrays() | column)))
    mapped = np.memmap(tmp_path / "map", "u1", "w+", shape=(3, 28, 28, 3))
    mapped[:] = hostile.arrays()["train_image"]
    for protocol in (2, 4, 5):
        assert_small(read(tmp_path, hostile.npy(hostile.arrays() | {"train_image": mapped}, protocol)))
        assert_small(read(tmp_path, hostile.npy(OrderedDict(hostile.arrays()), protocol)))


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"train_label": np.eye(3, 10, dtype="i1")}, ["train_label has the shape (3, 10)", "train_label.argmax(1)"]),
        ({"test_label": np.zeros((2, 10))}, ["test_label has the data type f8 (float64)", "test_label.astype('int8')"]),
        ({"test_image": np.zeros((2, 3, 28, 28), "u1")}, ["channels come first", "test_image.transpose(0, 2, 3, 1)"]),
        ({"train_image": np.zeros((3, 28, 28, 3), "f4")}, ["train_image has the data type f4 (float32)", "* 255"]),
        ({"train_label": np.zeros(2, "i1")}, ["train_image has 3 images and train_label 2 labels"]),
        ({"test_gray": np.zeros((2, 32, 32), "u1")}, ["test_gray has the shape (2, 32, 32), expected (2, 28, 28)"]),
        ({"train_label": [1, 2, 3]}, ["train_label is not an array", "np.array(train_label)"]),
        ({"train_label": np.arange(3, dtype=">i8")}, ["train_label is big-endian", "little-endian"]),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(tmp_path, change, parts):
    with pytest.raises(UserError) as caught:
        read(tmp_path, hostile.npy(hostile.arrays() | change))
    line = hostile.message_of(caught.value)
    assert all(part in line for part in parts), line
    assert "copy it again" not in line


def test_a_mistyped_key_is_named(tmp_path):
    arrays = hostile.arrays()
    arrays["train_images"] = arrays.pop("train_image")
    with pytest.raises(UserError, match=r"lacks the key train_image \(it has train_images\)"):
        read(tmp_path, hostile.npy(arrays))


# ---- writing


def test_writes_what_python_2_wrote(tmp_path):
    write_released(tmp_path / "file.npy", small())
    assert (tmp_path / "file.npy").read_bytes() == PYTHON_2


def test_the_original_code_reads_what_is_written(tmp_path):
    write_released(tmp_path / "file.npy", small())
    content = np.load(tmp_path / "file.npy", encoding="latin1", allow_pickle=True).item()
    assert set(content) == set(ReleasedFile._fields)
    assert all(np.array_equal(content[key], value) for key, value in hostile.arrays().items())
    assert content["train_label"].dtype == np.int8


def test_written_files_name_only_what_every_numpy_has(tmp_path):
    write_released(tmp_path / "file.npy", small())
    content = (tmp_path / "file.npy").read_bytes()
    operations = [(operation.name, argument) for operation, argument, _ in pickletools.genops(content[128:])]
    assert operations[0] == ("PROTO", 2)
    assert {argument for name, argument in operations if name == "GLOBAL"} == {
        "numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"
    }  # fmt: skip
    assert all(pickletools.code2op[chr(content[128])].proto <= 2 for _ in operations)


@pytest.mark.parametrize("n", [1, 255, 256, 300, 70_000])
def test_written_files_of_any_length_read_back(tmp_path, n):
    arrays = hostile.arrays(2, 1) | {"train_label": np.zeros(n, np.int64)}
    arrays["train_image"] = np.broadcast_to(arrays["train_image"][:1], (n, 28, 28, 3))
    written = ReleasedFile(*(arrays[key] for key in ReleasedFile._fields))
    write_released(tmp_path / "file.npy", written)
    assert all(map(np.array_equal, read_released(tmp_path / "file.npy"), written))
    content = np.load(tmp_path / "file.npy", encoding="latin1", allow_pickle=True).item()
    assert content["train_image"].shape == (n, 28, 28, 3)


def test_the_command_exports_what_is_built(tmp_path, capsys):
    colored_mnist.main(["--color_var", "0.03", "--out", str(tmp_path / "new" / "folder")])
    (npy, png) = sorted((tmp_path / "new" / "folder").iterdir())
    assert npy.name == released_name(0.03)
    assert png.read_bytes().startswith(b"\x89PNG")
    built, exported = colored_mnist.build(0.03), read_released(npy)
    assert np.array_equal(exported.train_image, built.train.images())
    assert np.array_equal(exported.train_label, built.train.label)
    assert np.array_equal(exported.test_image, built.test.images())
    assert np.array_equal(exported.test_label, built.test.label)
    assert np.array_equal(exported.test_gray, built.test_gray)
    assert colored_mnist.sha256(built) in capsys.readouterr().out


def test_the_command_refuses_what_it_cannot_do(tmp_path):
    (tmp_path / "file").touch()
    for wrong in (
        ["--color_var", "0.0234", "--out", "x"],
        ["--color_var", "0.02", "--out", str(tmp_path / "file")],
    ):
        with pytest.raises(UserError) as caught:
            colored_mnist.main(wrong)
        hostile.message_of(caught.value)


def test_does_not_write_what_cannot_be_read(tmp_path):
    path = tmp_path / "file.npy"
    for wrong in ({"train_label": np.array([0, 1, 10])}, {"train_image": np.zeros((3, 28, 28, 3))},
                  {"test_gray": np.zeros((1, 28, 28), np.uint8)}):  # fmt: skip
        with pytest.raises(UserError, match="is not written"):
            write_released(path, small()._replace(**wrong))
    assert not list(tmp_path.iterdir())


# ---- hostile and damaged files


def test_the_canary_sings():
    """The corpus is real: Python's own reader runs what is in it."""
    try:
        content, _ = FILES["os.system as the whole"]
        np.load(io.BytesIO(content), allow_pickle=True)
        assert CANARY.exists()
    finally:
        CANARY.unlink(missing_ok=True)


def test_the_corpus_is_large():
    assert len(FILES) >= 150


@pytest.mark.parametrize("name", FILES)
def test_hostile_files_end_in_one_line(tmp_path, name):
    content, part = FILES[name]
    with pytest.raises(UserError) as caught:
        read(tmp_path, content)
    assert part in hostile.message_of(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert not CANARY.exists()


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_truncated_files_end_in_one_line(tmp_path, protocol):
    content = hostile.npy(hostile.arrays(), protocol) if protocol else PYTHON_2
    for part in range(20):
        with pytest.raises(UserError) as caught:
            read(tmp_path, content[: len(content) * part // 20])
        hostile.message_of(caught.value)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_flipped_bits_end_in_one_line_or_in_valid_data(tmp_path, protocol):
    content = hostile.npy(hostile.arrays(1, 1), protocol) if protocol else PYTHON_2
    draw = random.Random(protocol)
    refused = 0
    for _ in range(300):
        flipped = bytearray(content)
        for _ in range(draw.choice((1, 1, 8))):
            flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        try:
            released = read(tmp_path, bytes(flipped))
            assert released.train_label.max() <= 9
        except UserError as error:
            refused += 1
            hostile.message_of(error)
    assert 0 < refused < 300


def test_paths_that_are_no_files_end_in_one_line(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty.npy").touch()
    with open(tmp_path / "large.npy", "wb") as file:
        file.truncate((320 << 20) + 1)
    for path, part in (
        (tmp_path, "is a folder"),
        (tmp_path / "none.npy", "does not exist"),
        (tmp_path / "empty.npy" / "x", "Not a directory"),
        (tmp_path / "empty.npy", "is empty"),
        (tmp_path / "large.npy", "more than 320 MB"),
        (tmp_path / "pipe", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("a\0b", "not a valid path"),
        (tmp_path / ("x" * 300), "File name too long"),
        (tmp_path / "new\nline\x1b", "does not exist"),
    ):
        with pytest.raises(UserError, match=part) as caught:
            read_released(path)
        hostile.message_of(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_files_end_in_one_line(tmp_path):
    (tmp_path / "file.npy").write_bytes(PYTHON_2)
    (tmp_path / "file.npy").chmod(0)
    with pytest.raises(UserError, match="Permission denied"):
        read_released(tmp_path / "file.npy")


IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from dataset.released import read_released
from common.errors import UserError
from strangers.safe_pickle import check_torch_file
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
"".encode("cp437")  # zipfile's; it would be imported at the first name that is not UTF-8
events = set()
sys.addaudithook(lambda event, _: events.add(event))
refused = 0
for path in Path(sys.argv[1]).iterdir():
    try:
        (read_released if path.suffix == ".npy" else check_torch_file)(path)
    except UserError:
        refused += 1
print(refused, *sorted(events - {"os.scandir", "os.listdir"}))
"""


def test_hostile_files_need_little_memory(tmp_path):
    """Both corpora, and files of the largest allowed size, in an address space of 1 GB.

    Python's audit events show that nothing but opening the files happens: no import, no look-up, no process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile warns of a member that comes twice
        torch_corpus = torch_files(CANARY)
    for suffix, files in ((".npy", FILES), (".pth", torch_corpus)):
        for number, (content, _) in enumerate(files.values()):
            (tmp_path / f"{number}{suffix}").write_bytes(content)
    for name, begin, size in (
        ("bytes.npy", hostile.HEADER + b"\x80\x04\x8e" + (300 << 20).to_bytes(8, "little"), 320),
        ("text.npy", hostile.HEADER + b"\x80\x04X" + (300 << 20).to_bytes(4, "little"), 320),
        ("zeros.npy", b"", 320),
        ("zeros.pth", b"", 256),
        ("zip.pth", b"PK\x03\x04", 256),
        ("text.pth", b"\x80\x02X" + (250 << 20).to_bytes(4, "little"), 256),
    ):
        with open(tmp_path / name, "wb") as file:
            file.write(begin)
            file.truncate(size << 20)
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", IN_LITTLE_MEMORY, str(tmp_path)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert result.stderr == ""
    assert result.stdout.split() == [str(len(FILES) + len(torch_corpus) + 6), "open"]
    assert not CANARY.exists()


FULL_SIZE = """
import sys
from dataset.released import read_released
read_released(sys.argv[1])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) >> 10)
"""


@pytest.mark.parametrize("is_text", [False, True])
def test_a_file_of_full_size_is_read_in_little_memory(tmp_path, is_text):
    """173 MB of arrays, as they were written or as text of twice the size."""
    arrays = hostile.arrays(60, 10)
    arrays = {key: np.repeat(value, 1000, axis=0) for key, value in arrays.items()}
    if is_text:  # protocol 2 of Python 3
        (tmp_path / "file.npy").write_bytes(hostile.HEADER + pickle.dumps(hostile.boxed(arrays), 2))
    else:
        write_released(tmp_path / "file.npy", ReleasedFile(*(arrays[key] for key in ReleasedFile._fields)))
    command = [sys.executable, "-c", FULL_SIZE, str(tmp_path / "file.npy")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 700
