"""Released files: what is read, what is written, and that hostile files end in one line and run nothing."""

import base64
import builtins
import contextlib
import os
import pickle
import zlib

import numpy as np
import pytest

from common.errors import UserError
from dataset.released import SHAPES, read_released, released_name, write_released
from tests.models.test_checkpoint import Call

HEADER = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"
# arrays() as np.save of NumPy 1.16.6 on Python 2.7.18 wrote it
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


def npy(value, protocol=2):
    """A .npy file of an object array () that holds `value`."""
    box = np.empty((), object)
    box[()] = value
    return HEADER + pickle.dumps(box, protocol)


def read(tmp_path, content):
    path = tmp_path / "file.npy"
    path.write_bytes(content)
    return read_released(path)


def refused(tmp_path, content):
    """The line with which a file is refused."""
    with pytest.raises(UserError) as error:
        read(tmp_path, content)
    assert "\n" not in str(error.value)
    assert "file.npy is refused: " in str(error.value)
    assert "; " in str(error.value)
    return str(error.value)


def assert_small(released):
    for name, array in released.items():
        assert np.array_equal(array, arrays()[name]), name
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


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("core", [b"numpy._core", b"numpy.core"])  # since NumPy 2, and before
def test_reads_files_of_python_3(tmp_path, protocol, core):
    fortran = {k: np.asfortranarray(v) for k, v in arrays().items()}
    for content in (arrays(), fortran):
        assert_small(read(tmp_path, npy(content, protocol).replace(b"numpy._core", core)))


def test_reads_what_is_nearly_a_released_file(tmp_path):
    labels = {k: v.astype(">i4") for k, v in arrays().items() if "label" in k}
    assert_small(read(tmp_path, npy(arrays() | labels | {"bias_label": np.zeros(3), 7: "x", "of": {}})))


@pytest.mark.parametrize(("change", "said"), [
    ({"train_label": np.eye(3, 10, dtype="i1")}, "train_label is int8 (3, 10), expected int8 (3,)"),
    ({"test_label": np.zeros(2)}, "test_label is float64 (2,), expected int8 (2,)"),
    ({"test_label": np.array([3, 10])}, "test_label holds values that are too large or below 0"),
    ({"test_label": np.array([-1, 3])}, "test_label holds values that are too large or below 0"),
    ({"test_image": np.zeros((2, 3, 28, 28), "u1")}, "test_image is uint8 (2, 3, 28, 28), expected"),
    ({"train_image": np.zeros((3, 28, 28, 3), "f4")}, "train_image is float32"),
    ({"train_label": np.zeros(2, "i1")}, "train_image is uint8 (3, 28, 28, 3), expected uint8 (2, 28, 28, 3)"),
    ({"train_label": [1, 2, 3]}, "lacks the array train_image or its labels"),
    ({"test_gray": None}, "lacks the array test_gray"),
    ({"train_image": np.full(3, None)}, "lacks the array train_image"),  # of objects
])  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, change, said):
    assert said in refused(tmp_path, npy(arrays() | change, protocol=4))


# ---- hostile and damaged files


@pytest.mark.parametrize("function", [os.system, builtins.eval, np.load, pickle.loads])
def test_hostile_files_run_nothing(tmp_path, function):
    canary = tmp_path / "canary"
    arguments = {
        os.system: (f"touch {canary}",),
        builtins.eval: (f"open({str(canary)!r}, 'w').close()",),
        np.load: (str(canary),),
        pickle.loads: (pickle.dumps(Call(os.system, f"touch {canary}")),),
    }[function]
    call = Call(function, *arguments)
    for protocol in (2, 4):
        in_an_array = np.full(3, None)
        in_an_array[1] = call
        for value in (call, arrays() | {"x": call}, arrays() | {"train_label": in_an_array}):
            assert "might run code" in refused(tmp_path, npy(value, protocol))
        assert "might run code" in refused(tmp_path, HEADER + pickle.dumps(call, protocol))
    assert not list(tmp_path.glob("canary*"))


def test_bytes_are_never_taken_for_pointers_to_objects(tmp_path):
    """NumPy follows them where the pickle says of the data type `object` that it is none (flags 0, as of u1)."""
    honest = b"h\x04U\x02u1K\x00K\x01\x87R"
    assert honest in PYTHON_2
    line = refused(tmp_path, PYTHON_2.replace(honest, honest.replace(b"u1", b"O8")))
    assert "lacks the array" in line


def test_damaged_files_end_in_one_line(tmp_path):
    for end in range(0, len(PYTHON_2), 97):
        refused(tmp_path, PYTHON_2[:end])
    rng = np.random.default_rng(0)
    for _ in range(300):  # any byte of what describes the arrays
        damaged = bytearray(PYTHON_2)
        for at in rng.integers(0, 600, 2):
            damaged[at] = rng.integers(256)
        with contextlib.suppress(UserError):  # and nothing else
            read(tmp_path, bytes(damaged))


def test_the_original_code_reads_what_is_written(tmp_path):
    content = arrays()
    write_released(tmp_path / "file.npy", *(content[name] for name in SHAPES))
    assert_small(read_released(tmp_path / "file.npy"))
    read = np.load(tmp_path / "file.npy", encoding="latin1", allow_pickle=True).item()
    assert list(read) == list(SHAPES)
    assert all(np.array_equal(read[key], content[key]) for key in SHAPES)
    assert read["train_label"].dtype == read["test_label"].dtype == np.int8
