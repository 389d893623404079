"""The weights of LNTL+ against their definition, what they achieve, and the update that they change."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import option as options
import train
from dataset.batches import IGNORED, on_device
from dataset.colored_mnist import build
from dataset.load import hold_out, load_data, recolored
from lntl_plus import LNTLPlus, histograms, shares
from models.checkpoint import join_net
from tests.reference import f, g, inputs
from tests.test_trainer import BATCH, digits, distance
from tests.test_trainer import options as numbers
from trainer import LNTL


def method_on(images, labels, **changes):
    method = LNTLPlus(numbers(**changes), dtype=torch.float64)
    data = on_device(images, labels, dtype=torch.float64)
    method.prepare(data)
    method.start_epoch(0)
    return method, data


def weights_by_definition(colors, labels):
    """1 / p(y | b) by naive Bayes from counts, image by image, for images of one colour without zeros; mean 1."""
    n = len(labels)
    weights = []
    for color, label in zip(colors, labels, strict=True):
        joint = []
        for y in range(10):
            p = (labels == y).sum() / n
            for c in range(3):
                same = sum(labels[i] == y and colors[i, c] // 32 == color[c] // 32 for i in range(n))
                p *= (same + 1) / ((labels == y).sum() + 8)
            joint.append(p)
        weights.append(sum(joint) / joint[label])
    return np.array(weights) / np.mean(weights)


def test_histograms_count_the_labelled_positions():
    b = torch.full((2, 3, 14, 14), IGNORED)
    b[0, 1, 3, 4:7] = torch.tensor([5, 5, 2])
    expected = torch.zeros(2, 3, 8)
    expected[0, 1, 5], expected[0, 1, 2] = 2, 1
    assert torch.equal(histograms(b), expected)
    assert torch.equal(shares(b)[0, 1], expected[0, 1] / 3)
    assert not shares(b)[1].any()  # an image without labels says nothing


def test_weights_are_one_over_the_probability_of_the_label_given_the_bias():
    images, labels = digits(60)
    labels[:10] = np.arange(10)
    method, data = method_on(images, labels)
    _, y, b = data.batch(torch.arange(60))
    expected = weights_by_definition(images.max(axis=(1, 2)).astype(int), labels)
    assert method.weights(y, b).numpy() == pytest.approx(expected, rel=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert method.weights(y, b).numpy() == pytest.approx(expected, rel=1e-4)


def test_under_the_weights_the_color_says_little_about_the_digit():
    train = build(0.02).train
    data = on_device(train.images()[:20000], train.label[:20000])
    method = LNTLPlus(numbers())
    method.prepare(data)
    _, y, b = data.batch(torch.arange(20000))

    def information(weight):
        """Mutual information in nats between the digit and the bin of a channel, the mean of the three."""
        found = 0
        for c in range(3):
            joint = torch.zeros(10, 8).index_put_((y, shares(b)[:, c].argmax(1)), weight, accumulate=True)
            joint /= joint.sum()
            product = joint.sum(0) * joint.sum(1, keepdim=True)
            found += torch.where(joint > 0, joint * (joint / product).log(), 0).sum() / 3
        return found.item()

    assert information(torch.ones(20000)) > 0.7
    assert information(method.weights(y, b)) < 0.75 * information(torch.ones(20000))


def test_the_label_loss_alone_is_weighted():
    torch.manual_seed(0)
    images, labels = digits(BATCH)
    labels[:] = [0, 0, 0, 0, 0, 1]
    method, data = method_on(images, labels, lambda_=0.0, mu=0.0, weight_decay=0.0, momentum=0.0)
    plain = LNTL(numbers(), dtype=torch.float64)
    assert plain.metrics == method.metrics
    net = {k: v.requires_grad_() for k, v in join_net(method.f, method.g).items() if v.is_floating_point()}
    batch = data.batch(torch.arange(BATCH))
    weight = method.weights(batch[1], batch[2])
    assert weight.mean().item() == pytest.approx(1)
    assert weight.std() > 0.1
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    loss = (F.cross_entropy(g(net, f(net, inputs(x))), y, reduction="none") * weight).mean()
    parameters = {k: v for k, v in net.items() if "running" not in k}
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    expected = {k: v - 0.02 * d for (k, v), d in zip(parameters.items(), gradients, strict=True)}
    measured = dict(zip(method.metrics, method.update(*batch), strict=True))
    assert measured["cls_loss"].item() == pytest.approx(loss.item(), rel=1e-6)
    assert distance(join_net(method.f, method.g), expected) < 1e-6


def test_its_own_defaults():
    option = options.resolve_training(options.train_parser().parse_args(["-e", "x", "--method", "lntl_plus"]))
    assert (option.lr, option.mu, option.lambda_) == (0.003, 1.0, 0.01)


def test_held_out_images_are_recolored_like_the_test():
    flags = ["-e", "x", "--color_var", "0.02", "--holdout", "5000"]
    option = options.resolve_training(options.train_parser().parse_args(flags))
    _, held = hold_out(load_data(option, torch.device("cpu")).train, option)
    other = recolored(held, option)
    assert torch.equal(other.label, held.label)
    assert torch.equal(other.padded, held.padded)
    for data, tied in ((held, True), (other, False)):
        means = torch.stack([data.color[data.label == y].double().mean(0) for y in range(10)])
        assert (means.std(dim=0).min() > 40) == tied
    assert torch.equal(recolored(held, option).color, other.color)
    option.method = "gray"
    assert recolored(held, option) is None


def test_held_out_images_of_more_than_one_color_are_not_recolored(tmp_path):
    flags = f"-e x --color_var 0.02 --deviation shaded --holdout 20 --dry-run --device cpu --save_dir {tmp_path}"
    assert train.main(flags.split()) == 0
