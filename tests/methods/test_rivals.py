"""The rivals against plain computations: loops over images in float64, written from the papers."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F

from common.errors import UserError
from dataset.batches import IGNORE_INDEX
from methods import METHODS, dfr
from methods.dfr import C, last_layer
from methods.lisa import beta_2_2, partners

N, CLASSES, VALUES = 12, 3, (2, 3)


class Part(SimpleNamespace):
    def __len__(self):
        return len(self.label)


@pytest.fixture
def part():
    """Random labels and biases of two heads, one of them missing here and there."""
    draw = torch.Generator().manual_seed(0)
    label, *bias = (torch.randint(k, (N,), generator=draw) for k in (CLASSES, *VALUES))
    bias = torch.stack(bias, 1)
    bias[3, 1] = IGNORE_INDEX
    return Part(label=label, image_bias=bias, x=torch.randn(N, 3, 4, 4, generator=draw).double())


def make(name, part, inputs=48, values=VALUES, **changes):
    """The method on a linear network in float64, prepared; plain gradient descent."""
    torch.manual_seed(1)
    h = nn.Linear(1, 1)
    h.num_values = values
    option = {"lr": 0.3, "momentum": 0, "weight_decay": 0, "lr_decay_period": 40, "lr_decay_rate": 0.1, "max_step": 1}
    option |= {"precision": "float32", "eta": 0.5, "random_seed": 4}
    networks = (nn.Flatten(), nn.Linear(inputs, CLASSES), h)
    method = METHODS[name](SimpleNamespace(**option), dtype=torch.float64, networks=networks)
    method.prepare(part)
    return method


def update(method, part):
    return [m.item() for m in method.update(part.x, part.label, part.image_bias[:, :, None, None])]


def stepped(weight, bias, loss, lr=0.3):
    """The weights after a step of gradient descent on loss(weight, bias)."""
    weight, bias = weight.detach().clone().requires_grad_(), bias.detach().clone().requires_grad_()
    return [
        w - lr * d for w, d in zip((weight, bias), torch.autograd.grad(loss(weight, bias), (weight, bias)), strict=True)
    ]


def check_step(method, before, loss):
    for now, then in zip(method.g.parameters(), stepped(*before, loss), strict=True):
        torch.testing.assert_close(now.detach(), then, rtol=1e-5, atol=1e-6)


def weights(method):
    return [p.detach().clone() for p in method.g.parameters()]


def losses(part, weight, bias):
    """Cross-entropy of each image."""
    return [F.cross_entropy(weight @ x.flatten() + bias, y) for x, y in zip(part.x, part.label, strict=True)]


def test_group_dro_is_algorithm_1(part):
    method, q = make("group_dro", part), {}
    groups = [(y, *b) for y, b in zip(part.label.tolist(), part.image_bias.tolist(), strict=True)]
    q = dict.fromkeys(groups, 1 / len(set(groups)))
    half = Part(label=part.label[:5], image_bias=part.image_bias[:5], x=part.x[:5])  # lacks some of the groups
    for some in (half, part):
        before = weights(method)
        each = losses(some, *before)
        mine = groups[: len(some)]
        mean = {k: sum(e for e, m in zip(each, mine, strict=True) if m == k) / mine.count(k) for k in set(mine)}
        q = {k: v * math.exp(0.5 * mean.get(k, 0)) for k, v in q.items()}
        q = {k: v / sum(q.values()) for k, v in q.items()}

        def loss(weight, bias, some=some, mine=mine, q=q):
            found = losses(some, weight, bias)
            return sum(q[k] * e / mine.count(k) for e, k in zip(found, mine, strict=True))

        measured = update(method, some)
        assert measured[0] == pytest.approx(sum(each).item() / len(some))
        assert measured[2] == pytest.approx(max(mean.values()).item())
        check_step(method, before, loss)


def test_group_dro_goes_on_from_its_state(part):
    method, other = make("group_dro", part), make("group_dro", part)
    update(method, part)
    other.load_state({name: value.clone() for name, value in method.state().items()})
    assert torch.equal(other.weights, method.weights)
    assert not torch.equal(other.weights, make("group_dro", part).weights)


def test_group_dro_needs_labels_of_images(part):
    with pytest.raises(UserError, match="bias labels that belong to images"):
        make("group_dro", Part(label=part.label, image_bias=None))


def test_biasbal_adds_the_log_of_the_counts(part):
    method = make("biasbal", part)
    pairs = [(y, tuple(b)) for y, b in zip(part.label.tolist(), part.image_bias.tolist(), strict=True)]

    def loss(weight, bias):
        total = 0
        for x, (y, b) in zip(part.x, pairs, strict=True):
            counts = [1 + pairs.count((k, b)) for k in range(CLASSES)]
            prior = torch.tensor([math.log(c / sum(counts)) for c in counts]).double()
            total = total - (weight @ x.flatten() + bias + prior).log_softmax(0)[y]
        return total / N

    before = weights(method)
    assert update(method, part)[0] == pytest.approx(loss(*before).item(), rel=1e-6)
    check_step(method, before, loss)


def test_partners_share_label_or_bias_alone():
    draw = torch.Generator().manual_seed(2)
    y, b = torch.randint(3, (60,), generator=draw), torch.randint(2, (60, 2), generator=draw)
    y[0] = 7  # its label is alone
    b[1] = torch.tensor([5, 5])  # and its bias
    found = {"label": 0, "bias": 0, "self": 0}
    torch.manual_seed(0)
    seen = set()
    for _ in range(50):
        for n, other in enumerate(partners(y, b).tolist()):
            same_label, same_bias = (y[n] == y[other]).item(), (b[n] == b[other]).all().item()
            assert n == other or same_label != same_bias
            assert n not in (0, 1) or n == other or same_bias == (n == 0)
            found["self" if n == other else "label" if same_label else "bias"] += 1
            seen.add((n, other))
    assert found["self"] < 100  # of the two alone, when the coin falls so
    assert found["label"] == pytest.approx(found["bias"], rel=0.1)  # half and half
    assert len(seen) > 1200  # of about 60 * 30 that are allowed: partners are drawn


def test_beta_2_2_has_its_moments():
    torch.manual_seed(0)
    drawn = beta_2_2(100_000, "cpu").double()
    for power, moment in ((1, 1 / 2), (2, 3 / 10), (3, 1 / 5), (4, 1 / 7)):  # prod of (2 + i) / (4 + i)
        assert (drawn**power).mean().item() == pytest.approx(moment, abs=0.004)


def test_lisa_mixes_images_and_losses(part):
    method = make("lisa", part)
    before = weights(method)
    torch.manual_seed(5)
    other, share = partners(part.label, part.image_bias), beta_2_2(N, "cpu").double()
    assert (other != torch.arange(N)).any()

    def loss(weight, bias):
        total = 0
        for n, m in enumerate(other.tolist()):
            logits = weight @ (share[n] * part.x[n] + (1 - share[n]) * part.x[m]).flatten() + bias
            for target, of_it in ((part.label[n], share[n]), (part.label[m], 1 - share[n])):
                total = total + of_it * F.cross_entropy(logits, target) / N
        return total

    torch.manual_seed(5)
    assert update(method, part)[0] == pytest.approx(loss(*before).item(), rel=1e-6)
    check_step(method, before, loss)


def by_the_protocol(features, y, groups, train_features, seed):
    """DFR's layer as its parts are described, image by image: (mean weight of the fits, mean bias, scaler)."""
    rng = np.random.RandomState(seed)

    def balanced(index):
        members = {
            k: rng.permutation([n for n, i in enumerate(index) if groups[i] == k]) for k in sorted(set(groups[index]))
        }
        least = min(len(m) for m in members.values())
        return [index[n] for m in members.values() for n in m[:least]]

    def fit(x, index, c):
        model = LogisticRegression(l1_ratio=1, solver="liblinear", C=c, random_state=0, max_iter=1000)
        return [
            model.fit(x[index], y[index] == k) and (model.coef_[0].copy(), model.intercept_[0]) for k in range(CLASSES)
        ]

    order = rng.permutation(len(y))
    judged, fitted = order[: (len(y) + 1) // 2], balanced(order[(len(y) + 1) // 2 :])
    x = StandardScaler().fit(features[fitted]).transform(features)
    worst = {}
    for c in C:
        layer = fit(x, fitted, c)
        right = {k: [] for k in set(groups[judged])}
        for n in judged:
            right[groups[n]].append(max(range(CLASSES), key=lambda k: layer[k][0] @ x[n] + layer[k][1]) == y[n])
        worst[c] = min(sum(r) / len(r) for r in right.values())
    c = next(c for c in C if worst[c] == max(worst.values()))
    scaler = StandardScaler().fit(train_features)
    x, everything = scaler.transform(features), np.arange(len(y))
    fits = [fit(x, balanced(everything), c) for _ in range(20)]
    return [[sum(f[k][part] for f in fits) / 20 for k in range(CLASSES)] for part in (0, 1)], scaler


@pytest.fixture(scope="module")
def tied():
    """Features of which one tells the label weakly and one the bias, to which the label is tied: x, y, b, groups."""
    rng = np.random.default_rng(0)
    y = rng.integers(CLASSES, size=300)
    b = np.where(rng.random(300) < 0.7, y, rng.integers(CLASSES, size=300))
    x = rng.normal(size=(300, 6)) * [1, 1, 1, 1, 5, 0.1]
    x[:, 0] += 2 * y
    x[:, 1] += 4 * b
    return x, y, b, y * CLASSES + b


def test_dfr_is_its_protocol(tied):
    x, y, _, groups = tied
    weight, bias = last_layer(x, y, groups, x[:200] + 1, CLASSES, seed=4)
    (mean_weight, mean_bias), scaler = by_the_protocol(x, y, groups, x[:200] + 1, 4)
    expected = scaler.transform(x) @ np.array(mean_weight).T + mean_bias
    np.testing.assert_allclose(x @ weight.T + bias, expected, rtol=1e-9, atol=1e-9)


def test_dfr_puts_the_layer_into_g(tied, monkeypatch):
    x, y, b, _ = tied
    part = Part(label=torch.tensor(y), image_bias=torch.tensor(b)[:, None], x=x)
    method = make("dfr", part, inputs=6, values=(CLASSES,))
    monkeypatch.setattr(dfr, "features", lambda f, part: part.x)
    method.finish(part, part)
    weight, bias = last_layer(x, y, y * (CLASSES + 1) + b, x, CLASSES, seed=4)
    np.testing.assert_allclose(method.g.weight.detach().numpy(), weight, rtol=1e-12)
    np.testing.assert_allclose(method.g.bias.detach().numpy(), bias, rtol=1e-12)
    for missing in (None, Part(label=part.label, image_bias=None)):
        with pytest.raises(UserError, match="validation images with bias labels"):
            method.finish(part, missing)
    monkeypatch.setattr(dfr, "features", lambda f, part: part.x[:, :4])
    with pytest.raises(UserError, match="--split_at last"):
        method.finish(part, part)
