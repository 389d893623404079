"""torchvision's ResNets, cut in two."""

import pytest
import torch
from torchvision import models

from common.errors import UserError
from models.checkpoint import join_net
from models.resnet import LAYERS, RESNETS, cut


@pytest.mark.parametrize("split_at", LAYERS)
def test_the_parts_joined_are_torchvisions_network(split_at):
    whole = models.resnet18(num_classes=7).double().eval()
    f, g = cut("resnet18", split_at, 7, whole.state_dict())
    f.double().eval(), g.double().eval()
    assert join_net(f, g).keys() == whole.state_dict().keys()
    x = torch.randn(2, 3, 65, 40, dtype=torch.float64)
    features = f(x)
    scale = 4 * 2 ** LAYERS.index(split_at)
    assert features.shape == (2, f.channels, -(-65 // scale), -(-40 // scale))
    torch.testing.assert_close(g(features), whole(x), rtol=0, atol=0)
    whole.load_state_dict(join_net(f, g))


def test_bottlenecks_and_batch_statistics():
    torch.manual_seed(0)
    f, g = cut("resnet50", "layer2", 4)
    whole = models.resnet50(num_classes=4)
    whole.load_state_dict(join_net(f, g))
    x = torch.randn(2, 3, 33, 33)
    assert f.channels == 512
    assert torch.equal(g(f(x)), whole(x))
    state = whole.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in join_net(f, g).items())


def test_random_weights_are_drawn_as_torchvision_draws_them():
    torch.manual_seed(3)
    f, g = cut("resnet18", "layer3", 5)
    torch.manual_seed(3)
    state = models.resnet18(num_classes=5).state_dict()
    assert all(torch.equal(v, state[k]) for k, v in join_net(f, g).items())


def test_weights_of_another_number_of_classes_get_a_new_last_layer():
    state = models.resnet18(num_classes=1000).state_dict()
    old = {k: v for k, v in state.items() if "num_batches" not in k}  # as PyTorch 0.4 wrote them
    f, g = cut("resnet18", "layer2", 2, old)
    assert g.fc.weight.shape == (2, 512)
    assert torch.equal(g.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    assert torch.equal(f.bn1.running_var, state["bn1.running_var"])


def test_imagenet_weights(monkeypatch):
    state = models.resnet18(num_classes=1000).state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: state)
    f, g = cut("resnet18", "layer2", 2, "imagenet")
    assert torch.equal(f.conv1.weight, state["conv1.weight"])
    assert g.fc.out_features == 2


def test_no_network_is_told_in_a_line(monkeypatch):
    def fails(*_, **__):
        raise OSError("<urlopen error [Errno -3]\nTemporary failure in name resolution>")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fails)
    with pytest.raises(UserError, match=r"resnet34.*https://.*resnet34-.*--init FILE") as error:
        cut("resnet34", "layer2", 2, "imagenet")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["missing", "extra", "shape", "a list", "another network"])
def test_unfit_weights_are_refused(damage):
    state = dict(models.resnet18(num_classes=3).state_dict())
    if damage == "missing":
        del state["layer3.0.conv1.weight"]
    elif damage == "extra":
        state["head.weight"] = torch.zeros(1)
    elif damage == "shape":
        state["conv1.weight"] = torch.zeros(1)
    elif damage == "a list":
        state = list(state)
    else:
        state = models.resnet34(num_classes=3).state_dict()
    with pytest.raises(UserError, match="do not fit resnet18") as error:
        cut("resnet18", "layer2", 3, state)
    assert "\n" not in str(error.value)


def test_names():
    assert set(RESNETS) <= set(models.list_models(models))
    with pytest.raises(UserError, match="vgg11"):
        cut("vgg11", "layer2", 2)
    with pytest.raises(UserError, match="layer5"):
        cut("resnet18", "layer5", 2)
