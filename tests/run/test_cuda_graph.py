"""The CUDA path: what can be proved without a GPU, and what needs one."""

import contextlib
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch

from methods import METHODS
from run.cuda_graph import EAGER, GraphedIteration
from tests.dataset.sets import on_device
from tests.test_trainer import digits, options
from trainer import Trainer

UPDATING = [name for name in METHODS if METHODS[name].updates and name != "group_dro"]  # on labels of positions
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU here")


@pytest.mark.parametrize(
    ("name", "factored"),
    [(name, f) for name in UPDATING for f in (True, False) if not (f and METHODS[name].needs_pixels)],
)
def test_an_iteration_never_waits_for_the_device(monkeypatch, name, factored):
    """On the meta device there are no values: whatever would copy one to the host, or depend on one, raises."""
    images, labels = digits(40)
    if not factored:
        images[0, 0, 0] = (1, 2, 3)
    data = on_device(images, labels, "meta")
    assert type(data).__name__ == ("FactoredData" if factored else "ImageData")
    method = METHODS[name](options(), "meta")
    monkeypatch.setattr(method, "autocast", contextlib.nullcontext)  # knows no such device
    method.prepare(data)
    method.start_epoch(0)
    trainer = SimpleNamespace(
        method=method, train=data, totals=torch.zeros(len(method.metrics), device="meta").double()
    )
    measured = Trainer.iterate(trainer, torch.zeros(8, dtype=torch.long, device="meta"))
    assert [m.shape for m in measured] == [()] * len(method.metrics)
    with pytest.raises((RuntimeError, NotImplementedError)):  # the check can fail
        measured[0].item()


def test_every_batch_is_trained_on_once_and_in_order(monkeypatch):
    """With stand-ins for torch.cuda: a graph that calls the recorded function again when it is replayed."""
    events, seen, expected, recording, constants = [], [], [], [], [0.1]

    def iterate(index):
        if not recording:  # a recording runs nothing
            seen.append(index.tolist())

    @contextlib.contextmanager
    def graph(_, stream):
        recording.append(stream)
        yield
        events.append(f"record on {recording.pop()}")

    def replay():
        events.append("replay")
        iterate(iteration.index)

    stands_in = {
        "Stream": lambda: MagicMock(__str__=lambda _: "s"), "CUDAGraph": lambda: SimpleNamespace(replay=replay),
        "graph": graph, "stream": contextlib.nullcontext, "current_stream": lambda: None,
    }  # fmt: skip
    for name, value in stands_in.items():
        monkeypatch.setattr(torch.cuda, name, value)
    iteration = GraphedIteration(iterate, lambda: list(constants), size=4)
    for epoch in range(4):
        if epoch == 2:
            constants[0] = 0.01  # the learning rate drops: what is baked in is out of date
        events.clear()
        with iteration as step:
            for index in torch.randperm(23).split(4):  # of five whole batches; the sixth is shorter
                step(index)
                expected.append(index.tolist())
        new = epoch in (0, 2)
        assert events == ["record on s"] * new + ["replay"] * (5 - EAGER * new)
        iteration.stream.synchronize.assert_called()
    assert seen == expected


def state(method):
    """[weights and running statistics of f, copied, those of g, those of h]: lists of tensors."""
    return [[v.double().clone() for v in n.state_dict().values()] for n in method.networks().values()]


@needs_gpu
@pytest.mark.parametrize("name", [name for name in UPDATING if not METHODS[name].needs_pixels])
def test_graph_and_eager_agree_on_a_gpu(monkeypatch, name):
    data = on_device(*digits(1024), "cuda")
    order = torch.randperm(1024, generator=torch.Generator().manual_seed(3)).cuda()
    start, weights = None, []
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # as train.py has it where tf32 is not asked for
    for graphed in (False, True):
        torch.manual_seed(0)
        method = METHODS[name](options(), "cuda")
        start = state(method)
        method.prepare(data)
        method.start_epoch(0)
        totals = torch.zeros(len(method.metrics), device="cuda").double()
        trainer = SimpleNamespace(method=method, train=data, totals=totals)
        step = GraphedIteration(lambda index, t=trainer: Trainer.iterate(t, index), method.constants, 64)
        with step if graphed else contextlib.nullcontext(step.iterate) as iterate:  # waits for the device at its end
            torch.cuda.set_sync_debug_mode("error")
            try:
                for index in order.split(64):
                    iterate(index)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        weights.append(state(method))
    # The GPU adds up in no fixed order, so two runs differ in the last bits, and training makes more of them: what is
    # held against the difference is how far a tensor has come. A bias before BatchNorm comes nowhere, but for rounding.
    for networks in zip(start, *weights, strict=True):
        everything = torch.cat([(eager - first).flatten() for first, eager, _ in zip(*networks, strict=True)]).norm()
        for first, eager, graph in zip(*networks, strict=True):
            assert (graph - eager).norm() <= 0.02 * (eager - first).norm() + 1e-3 * everything
