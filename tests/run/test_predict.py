"""Predictions for new images."""

import csv
import os

import pytest
import torch
from torch import nn

from common.errors import UserError
from run.predict import predict, write_predictions
from tests.dataset import sets

SIZE, CLASSES = 8, ("dark", "bright")


class Brightness(nn.Module):
    """Logits of dark and bright, by the mean of the image."""

    def forward(self, x):
        mean = x.mean(dim=(1, 2, 3))
        return torch.stack([-mean, mean], dim=1)


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def run(source, out, **how):
    return predict(nn.Identity(), Brightness(), source, out, SIZE, CLASSES, **how)


def test_a_folder(tmp_path):
    for i in range(3):
        sets.picture(tmp_path / "new" / f"d{i}.png", (5, 5, 5))
        sets.picture(tmp_path / "new" / "below" / f"b{i}.png", (250, 250, 250))
    (tmp_path / "new" / ".hidden.png").touch()
    run(tmp_path / "new", tmp_path / "out.csv")
    header, *found = rows(tmp_path / "out.csv")
    assert header == ["file", "class", "probability"]
    assert [r[:2] for r in found] == [
        *([f"below/b{i}.png", "bright"] for i in range(3)),
        *([f"d{i}.png", "dark"] for i in range(3)),
    ]
    assert all(0.5 < float(r[2]) <= 1 for r in found)
    run(tmp_path / "new" / "below", tmp_path / "out.csv")
    assert len(rows(tmp_path / "out.csv")) == 4  # predictions of before are replaced


def test_a_table_and_a_single_image(tmp_path):
    image = sets.picture(tmp_path / "a" / "x.png", (255, 255, 255))
    sets.table(tmp_path / "list.csv", ("id", "filename"), [(1, "a/x.png"), (2, "a/x.png")])
    run(tmp_path / "list.csv", tmp_path / "out.csv")
    assert [r[:2] for r in rows(tmp_path / "out.csv")[1:]] == [["a/x.png", "bright"]] * 2
    run(image, tmp_path / "one.csv")
    assert rows(tmp_path / "one.csv")[1][:2] == ["x.png", "bright"]
    sets.table(tmp_path / "list.csv", ("photo",), [("a/x.png",)])
    run(tmp_path / "list.csv", tmp_path / "out.csv", image="photo")
    assert rows(tmp_path / "out.csv")[1][:2] == ["a/x.png", "bright"]


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "p.csv").touch()
    (tmp_path / "p.csv").symlink_to("shared/p.csv")
    write_predictions(tmp_path / "p.csv", [("a", "dark", "0.9000")])
    assert (tmp_path / "p.csv").is_symlink()
    assert rows(tmp_path / "shared" / "p.csv") == [["file", "class", "probability"], ["a", "dark", "0.9000"]]


def test_a_broken_image_is_named_or_left_out(tmp_path, capsys):
    sets.picture(tmp_path / "new" / "good.png")
    (tmp_path / "new" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"bad\.png"):
        run(tmp_path / "new", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
    run(tmp_path / "new", tmp_path / "out.csv", skip_broken=True)
    assert [r[0] for r in rows(tmp_path / "out.csv")[1:]] == ["good.png"]
    assert "left out: 1 image that cannot be read, bad.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "out", "why"),
    [
        ("nowhere", "out.csv", "is no folder, table"),
        ("empty", "out.csv", "holds no image"),
        ("empty.csv", "out.csv", "has no column for the image, .*name it with --image"),
        ("new", "no/such/out.csv", "a folder that exists"),
        ("new", "new", "a folder that exists"),
        ("new", "empty.csv", "holds no predictions"),
        ("new", "noted.csv", "holds no predictions"),  # somebody made more of them
        ("new", "pipe", "holds no predictions"),  # reading from it would never end
    ],
)
def test_wrong_input(tmp_path, source, out, why):
    sets.picture(tmp_path / "new" / "x.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "noted.csv").write_text("file,class,probability,mynote\n")
    os.mkfifo(tmp_path / "pipe")
    sets.table(tmp_path / "empty.csv", ("a", "b"), [(1, 2)])
    with pytest.raises(UserError, match=why):
        run(tmp_path / source, tmp_path / out)
