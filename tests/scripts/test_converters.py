"""The paper's two other sets, from stand-ins of the form that their files have."""

import csv
import os
import textwrap

import numpy as np
import pytest

from dataset.tables import read_table
from scripts import dogs_and_cats, imdb_faces
from tests.dataset.sets import picture, refused

CATS_AND_DOGS = {"bright": ["cat.0.jpg", "dog.1.jpg", "dog.10.jpg"], "dark": ["cat.1.jpg", "cat.22.jpg", "dog.3.jpg"]}


def read_rows(path):
    """A CSV file as a list of dictionaries."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def animals(tmp_path):
    """The flags for a stand-in of Kaggle's images and the two lists."""
    for names in CATS_AND_DOGS.values():
        for name in names:
            picture(tmp_path / "kaggle/train" / name)
    for coat, names in CATS_AND_DOGS.items():
        (tmp_path / f"list_{coat}.txt").write_text("\n".join(names) + "\n")
    flags = ["--images", tmp_path / "kaggle/train", "--bright", tmp_path / "list_bright.txt"]
    return [*flags, "--dark", tmp_path / "list_dark.txt", "--out", tmp_path / "out"]


@pytest.mark.parametrize("train", ["TB1", "TB2"])
def test_dogs_and_cats(tmp_path, animals, train):
    dogs_and_cats.main([*map(str, animals), "--train", train])
    rows = read_rows(tmp_path / "out/metadata.csv")
    assert len(rows) == 6
    tb1 = {("dog", "bright"), ("cat", "dark")}
    for row in rows:
        name = row["filename"].rpartition("/")[2]
        assert row["label"] == name[:3]
        assert name in CATS_AND_DOGS[row["bias"]]
        assert (row["split"] == "train") == (((row["label"], row["bias"]) in tb1) == (train == "TB1"))
    read = read_table(tmp_path / "out")
    assert (read.classes, read.values) == (("cat", "dog"), (("bright", "dark"),))
    assert np.bincount(read.split).tolist() == ([4, 0, 2] if train == "TB1" else [2, 0, 4])


def test_files_within_the_folder_are_named_from_it_on(tmp_path, animals):
    animals[animals.index("--out") + 1] = tmp_path
    dogs_and_cats.main([*map(str, animals)])
    assert read_rows(tmp_path / "metadata.csv")[0]["filename"] == "kaggle/train/cat.0.jpg"


WRONG_ANIMALS = [
    (lambda f: (f / "list_dark.txt").unlink(), "No such file"),
    (lambda f: (f / "kaggle/train/cat.0.jpg").unlink(), "lacks cat.0.jpg"),
    (lambda f: picture(f / "out/metadata.csv/x.png"), "is there already"),
]


@pytest.mark.parametrize(("change", "said"), WRONG_ANIMALS)
def test_wrong_lists_of_animals(tmp_path, capsys, animals, change, said):
    change(tmp_path)
    assert said in refused(capsys, dogs_and_cats.main, animals)
    assert not (tmp_path / "out/metadata.csv").is_file()


PEOPLE = {  # name: age, gender; those of the training list first
    "01/a.jpg": (3, 0), "01/b.jpg": (29, 0), "01/c.jpg": (29, 1), "01/d.jpg": (40, 1), "02/e.jpg": (80, 0),
    "02/f.jpg": (35, 1), "02/g.jpg": (20, 1), "02/h.jpg": (55, 1), "02/i.jpg": (44, 0),
    "03/j.jpg": (30, 0), "03/k.jpg": (71, 1), "03/l.jpg": (25, 0), "03/m.jpg": (41, 0), "03/n.jpg": (24, 1),
}  # fmt: skip
LISTS = {"train_list": list(PEOPLE)[:9], "test_list": list(PEOPLE)[9:]}
EB1, EB2 = ["01/a.jpg", "01/b.jpg", "01/d.jpg", "02/h.jpg"], ["01/c.jpg", "02/e.jpg", "02/g.jpg", "02/i.jpg"]


@pytest.fixture
def faces(tmp_path):
    """The flags for a stand-in of IMDB's faces, converted."""
    for name in PEOPLE:
        picture(tmp_path / "imdb_crop" / name)
    np.savez(tmp_path / "split.npz", **{k: np.array(v) for k, v in LISTS.items()})
    age, gender = np.array(list(PEOPLE.values())).T
    np.savez(tmp_path / "people.npz", name=np.array(list(PEOPLE)), age=age, gender=gender)
    flags = ["--images", tmp_path / "imdb_crop", "--split", tmp_path / "split.npz"]
    return [*flags, "--age_gender", tmp_path / "people.npz", "--out", tmp_path / "out"]


@pytest.mark.parametrize("train", ["EB1", "EB2"])
@pytest.mark.parametrize("test", ["other", "list"])
def test_imdb_faces(tmp_path, faces, train, test):
    imdb_faces.main([*map(str, faces), "--train", train, "--test", test])
    rows = read_rows(tmp_path / "out/metadata.csv")
    names = {s: ["/".join(r["filename"].split("/")[-2:]) for r in rows if r["split"] == s] for s in ("train", "test")}
    assert names["train"] == (EB1 if train == "EB1" else EB2)
    assert names["test"] == (LISTS["test_list"] if test == "list" else (EB2 if train == "EB1" else EB1))
    for row in rows:
        age, gender = PEOPLE["/".join(row["filename"].split("/")[-2:])]
        low, high = map(int, row["age"].split("-"))
        assert low <= age <= high
        assert row["gender"] == ("woman", "man")[gender]
    read = read_table(tmp_path / "out", "gender", ("age",))
    assert read.classes == ("man", "woman")
    assert all(map(os.path.exists, read.paths))


def test_twelve_bins_that_sort_as_text():
    names = [imdb_faces.bin_name(age) for age in range(120)]
    bins = list(dict.fromkeys(names))
    assert bins == sorted(bins)
    assert (len(bins), bins[0], bins[1], bins[-1]) == (12, "0-19", "20-24", "70-119")
    assert [names[a] for a in (19, 20, 24, 25, 69, 70)] == ["0-19", "20-24", "20-24", "25-29", "65-69", "70-119"]


WRONG_FACES = [
    (lambda f: np.savez(f / "split.npz", train_list=np.array([{}]), test_list=np.array([])), "cannot be read"),
    (lambda f: np.savez(f / "split.npz", train_list=np.array(["x"])), "cannot be read (KeyError)"),
    (lambda f: np.save(f / "people.npy", {}) or (f / "people.npy").rename(f / "people.npz"), "cannot be read"),
    (lambda f: np.savez(f / "split.npz", train_list=["x.jpg"], test_list=["y.jpg"]), "x.jpg has no age and gender"),
    (lambda f: (f / "imdb_crop/01/a.jpg").unlink(), "lacks 01/a.jpg"),
]


@pytest.mark.parametrize(("change", "said"), WRONG_FACES)
def test_wrong_files_of_faces(tmp_path, capsys, faces, change, said):
    change(tmp_path)
    assert said in refused(capsys, imdb_faces.main, faces)
    assert not (tmp_path / "out").exists()


def test_the_official_files_are_converted_as_the_docstring_says(tmp_path, faces, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("imdb_split.npy", LISTS, allow_pickle=True)
    people = {name: {"age": np.float64(age), "gender": np.uint8(gender)} for name, (age, gender) in PEOPLE.items()}
    np.save("imdb_age_gender.npy", people, allow_pickle=True)
    (program,) = [part for part in imdb_faces.__doc__.split("\n\n") if "import numpy" in part]
    exec(textwrap.dedent(program), {})
    faces[3], faces[5] = "imdb_split.npz", "imdb_age_gender.npz"
    imdb_faces.main([*map(str, faces)])
    assert len(read_rows("out/metadata.csv")) == 8
