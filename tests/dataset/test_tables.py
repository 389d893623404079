"""Sets of images as people hold them become tables; everything that is wrong with one ends in one line."""

import os
import shutil
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from dataset.batches import IGNORE_INDEX
from dataset.tables import make_table, read_table, split_by_group
from dataset.trees import Row
from tests.dataset.sets import BIRDS, birds, picture, table, tree


def test_waterbirds(tmp_path):
    rows = birds(tmp_path)
    read = read_table(tmp_path)
    assert (read.classes, read.biases, read.values) == (("0", "1"), ("place",), (("0", "1"),))
    assert read.label.tolist() == [r[2] for r in rows]
    assert read.split.tolist() == [r[3] for r in rows]
    assert read.bias[:, 0].tolist() == [r[4] for r in rows]
    assert read.names == [r[1] for r in rows]
    assert all(os.path.samefile(p, tmp_path / r[1]) for p, r in zip(read.paths, rows, strict=True))
    assert all(map(os.path.exists, read.paths))
    assert read.notes == ("columns: image img_filename, label y, bias place, split split",)
    assert read.places[0] == f"{tmp_path}/metadata.csv, row 2: {rows[0][1]}"


@pytest.mark.parametrize("change", [
    lambda text: text.replace(",", ";"),
    lambda text: text.replace(",", "\t"),
    lambda text: "sep=;\n" + text.replace(",", ";"),  # of Excel
    lambda text: "\ufeff" + text.replace("\n", "\r\n"),
    lambda text: text.replace("\n", f",{'1 3 ' * 40_000}\n").replace(f",{'1 3 ' * 40_000}", ",mask", 1),
    lambda text: text.replace("\n", ",\n"),
    lambda text: text.replace("\n", "\n\n,,,,,\n"),
    lambda text: text.replace(",", " , "),
])  # fmt: skip
def test_tables_as_programs_write_them(tmp_path, change):
    birds(tmp_path)
    plain, path = read_table(tmp_path), tmp_path / "metadata.csv"
    path.write_bytes(change(path.read_text()).encode())
    assert read_table(tmp_path).fingerprint() == plain.fingerprint()


@pytest.mark.parametrize(("header", "bias"), [
    (("img_filename", "y", "split", "spurious"), "spurious"),
    (("filename", "y", "split", "a"), "a"),
    (("PATH", "Target", " Partition ", "Attribute"), "Attribute"),
    (("image", "y", "split", "anything"), None),
])  # fmt: skip
def test_columns_that_need_no_flag(tmp_path, header, bias):
    rows = birds(tmp_path)
    table(tmp_path / "metadata.csv", header, [r[1:5] for r in rows])
    read = read_table(tmp_path)
    assert read.biases == ((bias,) if bias else ())
    assert read.bias.shape == (len(rows), len(read.biases))
    assert read.label.tolist() == [r[2] for r in rows]


def test_columns_by_flag(tmp_path):
    rows = birds(tmp_path)
    header = ("img_id", "picture", *BIRDS[2:], "Wing Colour", "size")
    rows = [[*r, ("red", "blue", "grey")[i % 3], f"{i % 2 + 9}.0"] for i, r in enumerate(rows)]
    table(tmp_path / "metadata.csv", header, rows)
    read = read_table(tmp_path, "wing_colour", ("place", "size"), "picture")
    assert read.classes == ("blue", "grey", "red")
    assert (read.biases, read.values) == (("place", "size"), (("0", "1"), ("9", "10")))
    assert read.bias[:, 1].tolist() == [i % 2 for i in range(len(rows))]
    assert read_table(tmp_path, "place", (), "Picture").biases == ()  # a label is not its own bias
    with pytest.raises(UserError, match=r"for the image, called one of .*; name it with --image COLUMN.*picture"):
        read_table(tmp_path)


def test_splits_in_words_and_a_test_without_bias(tmp_path):
    words = (("train", " Training "), ("valid", "VALIDATION"), ("test", "testing"))
    rows = [
        [*r[:3], words[r[3]][i % 2], "" if r[3] == 2 else ("sea", "land")[r[4]], ""]
        for i, r in enumerate(birds(tmp_path))
    ]
    table(tmp_path / "metadata.csv", BIRDS, rows)
    read = read_table(tmp_path)
    assert np.bincount(read.split).tolist() == [20, 8, 8]
    assert read.values == (("land", "sea"),)
    assert (read.bias[read.split == 2] == IGNORE_INDEX).all()
    assert (read.bias[read.split < 2] < 2).all()


def test_two_spellings_of_one_accent_are_one_name(tmp_path):
    rows = birds(tmp_path)
    forms = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    assert forms[0] != forms[1]
    rows = [[*r[:4], "lab" if r[4] else forms[i % 2], ""] for i, r in enumerate(rows)]
    rows[1][1] = rows[1][1].replace("/", "\\")  # as Windows writes paths
    for column in (0, 1):
        header = [*BIRDS[:4], unicodedata.normalize(("NFC", "NFD")[column], "école"), BIRDS[5]]
        table(tmp_path / "metadata.csv", header, rows)
        read = read_table(tmp_path, None, (unicodedata.normalize(("NFD", "NFC")[column], "école"),))
        assert read.values == ((forms[0], "lab"),)
        assert read.bias[:, 0].tolist() == [r[4] == "lab" for r in rows]
        assert all(map(os.path.exists, read.paths))
    tree(tmp_path / "tree", splits=("train",), classes=("a", forms[1]), biases=("x", forms[1]))
    tree(tmp_path / "tree", splits=("test",), classes=("a", forms[0]), biases=("x", forms[0]))
    read = read_table(tmp_path / "tree")
    assert (read.classes, read.values) == (("a", forms[0]), ((forms[0], "x"),))


@pytest.mark.parametrize("below", ["", "img_align_celeba", "img_align_celeba/img_align_celeba"])
def test_celeba(tmp_path, below):
    names = [f"{i:06d}.jpg" for i in range(1, 13)]
    for name in names:
        picture(tmp_path / below / name)
    rows = [[name, (-1, 1)[i % 2], (-1, 1)[i // 2 % 2]] for i, name in enumerate(names)]
    table(tmp_path / "list_attr_celeba.csv", ("image_id", "Blond_Hair", "Male"), rows)
    partition = [[name, i % 3] for i, name in enumerate(names)]
    table(tmp_path / "list_eval_partition.csv", ("image_id", "partition"), partition)
    read = read_table(tmp_path, "Blond_Hair", ("male",))
    assert (read.classes, read.values, read.biases) == (("-1", "1"), (("-1", "1"),), ("Male",))
    assert read.label.tolist() == [0, 1] * 6
    assert read.bias[:, 0].tolist() == [0, 0, 1, 1] * 3
    assert read.split.tolist() == [0, 1, 2] * 4
    assert all(map(os.path.exists, read.paths))
    with pytest.raises(UserError, match=r"no column for the label.*name it with --target.*Blond_Hair, Male"):
        read_table(tmp_path)
    (tmp_path / "list_eval_partition.csv").unlink()
    with pytest.raises(UserError, match=r"list_attr_celeba\.csv without list_eval_partition"):
        read_table(tmp_path, "Male")


@pytest.mark.parametrize("within", [True, False], ids=["train/metadata.csv", "train.csv beside train"])
def test_a_table_for_each_split(tmp_path, within):
    header = ("file_name", "label", "bias")
    for split in ("train", "test"):
        rows = [[f"{i}.png", ("cat", "dog")[i % 2], i // 2] for i in range(4)]
        for name, *_ in rows:
            picture(tmp_path / split / name)
        table(tmp_path / (f"{split}/metadata.csv" if within else f"{split}.csv"), header, rows)
    read = read_table(tmp_path)
    assert (read.classes, np.bincount(read.split).tolist()) == (("cat", "dog"), [4, 0, 4])
    assert all(map(os.path.exists, read.paths))
    name = "train/metadata.csv" if within else "train.csv"
    table(tmp_path / name, header, [*rows, ["4.png", "cat", ""]])
    with pytest.raises(UserError, match=rf"/{name}, row 6, bias has no value"):
        read_table(tmp_path)
    table(tmp_path / name, header, rows)
    table(tmp_path / name.replace("train", "test"), header[:2], [row[:2] for row in rows])  # a test without the bias
    read = read_table(tmp_path)
    assert (read.bias[read.where(2)] == IGNORE_INDEX).all()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=60), st.randoms())
def test_a_split_by_group_depends_on_names_not_on_order(groups, random):
    names = [f"{i:02d}" for i in range(len(groups))]
    split = split_by_group(names, np.array(groups), 3)
    for group in set(groups):
        assert 0 in split[[g == group for g in groups]]
    order = list(range(len(groups)))
    random.shuffle(order)
    assert (split_by_group([names[i] for i in order], np.array(groups)[order], 3) == split[order]).all()


def of(labels, biases=None, splits=None):
    """A Table of texts alone."""
    splits, texts = splits or [i % 3 for i in range(len(labels))], biases or labels
    rows = [Row(f"{i}", f"{i}", f"t.csv, row {i + 2}", splits[i], y, [texts[i]]) for i, y in enumerate(labels)]
    return make_table("t.csv", "y", ["b"] if biases else [], rows, [])


def test_whole_numbers_are_ordered_as_numbers():
    values = [10, 9, -3, 2000]
    for ending in ("", ".0"):
        read = of([f"{v}{ending}" for v in values * 2], splits=[0] * 4 + [2] * 4)
        assert read.classes == ("-3", "9", "10", "2000")
        assert [int(read.classes[y]) for y in read.label] == values * 2
    assert of(["0", "1"] * 3, ["20", "70+", "9"] * 2, [0] * 5 + [2]).values == (("20", "70+", "9"),)


# ---- wrong tables


def edit(column, value, row=0, split=None):
    """A change of one cell, of a row counted within a split."""

    def change(folder, rows):
        mine = [r for r in rows if split is None or r[3] == split]
        mine[row][BIRDS.index(column)] = value

    return change


def rename(old, new):
    return lambda folder, rows: table(folder / "metadata.csv", [new if c == old else c for c in BIRDS], rows)


def write(text):
    return lambda folder, rows: (folder / "metadata.csv").write_bytes(text)


def every(column, value):
    def change(folder, rows):
        for row in rows:
            row[BIRDS.index(column)] = value(row)

    return change


@pytest.mark.parametrize(("change", "how", "said"), [
    (rename("y", "species"), {}, r"metadata.csv has no column for the label, .*--target.*img_id, img_filename, spec"),
    (edit("y", 0), {"bias": ("zzz",)}, r"no column zzz \(--bias\)\. Its columns: img_id"),
    (rename("img_id", "label"), {}, "both y and label could be the label; say which with --target"),
    (rename("img_id", "b"), {}, "both b and place could be the bias; say which with --bias"),
    (rename("img_id", "PLACE"), {"bias": ("Place",)}, "both PLACE and place could be the bias; rename one"),
    (rename("img_id", "y"), {"target": "y"}, "has two columns y; rename one"),
    (edit("split", "trian", 4), {}, r"row 6, column split: trian is no split; write train, val or test"),
    (edit("split", ""), {}, r"row 2, column split: an empty cell is no split"),
    (edit("y", "", 2), {}, r"row 4, y has no value; fill it in"),
    (write(b"sep=,\nimage,y,split\n\nx.png,,0\n"), {}, r"row 4, y has no value"),
    (edit("place", "NA", 1), {}, r"row 3, place has no value \(NA counts as missing\); fill it in"),
    (edit("img_filename", ""), {}, r"row 2 has no img_filename"),
    (edit("y", 2, 0, 2), {}, r"the class 2 has no training image .*row 30: .*add some"),
    (every("y", lambda r: 1), {}, r"has one class only, 1"),
    (every("place", lambda r: 1), {}, r"all training images have the bias place = 1"),
    (every("split", lambda r: min(r[3], 1)), {}, r"no test images .*; call the validation images test"),
    (every("split", lambda r: max(r[3], 1)), {}, r"has no training images \(split 0, or train\)"),
    (write(b""), {}, "metadata.csv is empty"),
    (write(b"img_filename,y,split,place\n"), {}, "metadata.csv is empty"),
    (write(b"img_filename,y,split\nx.png,1,0\ny.png,0\n"), {}, "row 3: it has 2 cells, and there are 3 column"),
    (write(b'img_filename,y,split\nx.png,"1,0\n'), {}, "row 2: unexpected end of data; mend"),
    (write(b"\x89PNG\r\n\x1a\n\0\0"), {}, "is no UTF-8 text"),
])  # fmt: skip
def test_wrong_tables_end_in_one_line(tmp_path, change, how, said):
    rows = birds(tmp_path)
    before = (tmp_path / "metadata.csv").read_bytes()
    change(tmp_path, rows)
    if (tmp_path / "metadata.csv").read_bytes() == before:
        table(tmp_path / "metadata.csv", BIRDS, rows)
    with pytest.raises(UserError, match=said) as error:
        read_table(tmp_path, **how)
    assert str(tmp_path) in str(error.value) or "--" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("label", "bias", "said"), [(1001, 1, "y has 1001 values"), (1, 256, "b has 256")])
def test_columns_with_too_many_values_are_refused(label, bias, said):
    with pytest.raises(UserError, match=f"{said}.*make bins"):
        of([f"w{i % label}" for i in range(1500)], [f"v{i % bias}" for i in range(1500)])


def test_a_table_given_itself_and_several_tables(tmp_path):
    rows = birds(tmp_path)
    (tmp_path / "metadata.csv").rename(tmp_path / "metadata_birds.csv")
    assert len(read_table(tmp_path)) == len(rows)
    shutil.copy(tmp_path / "metadata_birds.csv", tmp_path / "other.csv")
    with pytest.raises(UserError, match=r"several tables \(metadata_birds.csv, other.csv\); give one"):
        read_table(tmp_path)
    assert len(read_table(tmp_path / "other.csv")) == len(rows)
