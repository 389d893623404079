"""Images of one's own as the data set that train.py takes."""

from types import SimpleNamespace

import pytest
import torch

from common.errors import UserError
from dataset.images import ImageSet
from tests.dataset import sets


def option(folder, **changes):
    given = {flag.name: flag.default for flag in ImageSet.flags} | {"skip_broken": False, "dry_run": False}
    own = {"data_dir": str(folder), "image_size": 16, "network": "resnet18", "split_at": None}
    return SimpleNamespace(**(given | own | changes))


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("birds")
    sets.birds(folder, (40, 2, 2))
    return folder


def test_a_set(birds):
    data = ImageSet(option(birds), "cpu")
    assert (data.classes, data.biases, data.values, data.heads) == (("0", "1"), ("place",), (("0", "1"),), (2,))
    assert [len(part) for part in (data.train, data.held_out, *data.test.values())] == [100, 8, 8]
    x, y, b = data.train.batch(torch.arange(4))
    assert (x.shape, y.shape, b.shape) == ((4, 3, 16, 16), (4,), (4, 1, 1, 1))
    assert data.inputs() == {"size": 16, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert data.found == {"target": "y", "bias": ["place"]}
    assert data.map_bias is False
    assert (data.test_files()[0], len(data.test_files())) == ("000.bird/2_0_0.jpg", 8)
    assert "a bias, " in data.overview()
    assert "images with the bytes of another: " in data.overview()
    assert data.names() == {"classes": ["0", "1"], "biases": {"place": ["0", "1"]}}


@pytest.mark.parametrize(("how", "said"), [
    ({"data_dir": None}, "needs --data_dir DIR"),
    ({"network": "paper", "init": "imagenet"}, "--init is for networks of torchvision"),
])  # fmt: skip
def test_what_cannot_go_together(birds, how, said):
    with pytest.raises(UserError, match=said):
        ImageSet.check(option(birds, **how))


def test_no_bias_label(tmp_path):
    sets.tree(tmp_path)
    with pytest.raises(UserError, match="has no bias label; name its column with --bias"):
        ImageSet(option(tmp_path), "cpu")


def test_images_that_were_changed_are_other_data(tmp_path):
    sets.birds(tmp_path)
    one, *_, other = sorted(tmp_path.glob("*/*.jpg"))
    size = 2000  # of the file before and after
    one.write_bytes(one.read_bytes().ljust(size, b"\0"))
    before = ImageSet(option(tmp_path), "cpu")
    one.write_bytes(other.read_bytes().ljust(size, b"\0"))
    assert before.fingerprint() == before.fingerprint() != ImageSet(option(tmp_path), "cpu").fingerprint()


def test_a_dry_run_has_every_class(tmp_path):
    rows = []
    for i in range(300):
        y, split = (2 if i % 100 == 99 else i % 2), (0 if i < 200 else 2)
        sets.picture(tmp_path / f"{i}.png", (90, 10 * y, 10))
        rows.append([f"{i}.png", y, split, i % 3])
    sets.table(tmp_path / "metadata.csv", ["image", "y", "split", "b"], rows)
    data = ImageSet(option(tmp_path, dry_run=True), "cpu")
    assert data.train.label.unique().tolist() == [0, 1, 2]
    assert len(data.train) <= 70
