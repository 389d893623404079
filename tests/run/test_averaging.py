"""The averaged weights: their mean, what they leave alone, and an interrupted run."""

import copy
import signal

import pytest
import torch
from torch.optim import swa_utils

import train
from common.errors import Stopped
from dataset.base import DataSet
from dataset.batches import on_device
from models.checkpoint import join_net
from run.evaluate import evaluate
from tests import processes
from tests.test_trainer import BATCH, Run, digits, options
from trainer import Trainer

EPOCHS, LAST = 5, 3


def trained(average, **changes):
    """A trainer after five epochs, and the weights of f and g after each."""
    data = on_device(*digits(4 * BATCH))
    option = options(max_step=EPOCHS, average=average, **changes)
    trainer = Trainer(option, DataSet.of(data, {"t": data}), Run(), torch.device("cpu"))
    trainer.save = lambda: None
    after = []
    keep = trainer.run.record
    trainer.run.record = lambda record: (after.append(join_net(trainer.method.f, trainer.method.g)), keep(record))
    trainer.fit()
    return trainer, after


def test_mean_of_the_last_epochs(monkeypatch):
    """Beside a training that is the same to the bit without it, however PyTorch averages on a GPU."""
    trainer, after = trained(LAST)
    mean = join_net(trainer.average.f, trainer.average.g)
    for name in mean:
        expected = torch.stack([weights[name].double() for weights in after[-LAST:]]).mean(0)
        torch.testing.assert_close(mean[name].double(), expected, rtol=1e-5, atol=1e-6)
    assert not torch.equal(mean["fc.weight"], after[-1]["fc.weight"])
    recorded = ["averaged_t" in record for record in trainer.run.records]
    assert recorded == [False] * (EPOCHS - LAST) + [True] * LAST
    for a, b in zip(after, trained(0)[1], strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)
    monkeypatch.setattr(swa_utils, "_get_foreach_kernels_supported_devices", lambda: ["cpu", "cuda"])
    again = trained(LAST)[0].average
    assert all(torch.equal(value, mean[name]) for name, value in join_net(again.f, again.g).items())


def test_held_out_images_are_evaluated_too_and_an_epoch_counts_once():
    trainer, _ = trained(LAST, holdout=BATCH)
    expected = evaluate(trainer.average.f, trainer.average.g, trainer.held_out).accuracy
    assert len(trainer.held_out) == BATCH
    assert trainer.run.records[-1]["averaged_holdout_accuracy"] == expected
    before = copy.deepcopy(trainer.average.model.state_dict())
    assert trainer.average.update(EPOCHS - 1)
    after = trainer.average.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_signal_in_the_middle_of_it_stops_the_evaluation_alone(monkeypatch):
    trainer, _ = trained(LAST)
    trainer.average.model.n_averaged -= 1
    update = trainer.average.model.update_parameters

    def interrupted(model):
        assert not trainer.evaluating  # a handler raises Stopped in an evaluation, and here notes the signal
        trainer.stop = signal.SIGTERM
        update(model)

    monkeypatch.setattr(trainer.average.model, "update_parameters", interrupted)
    trainer.epoch = EPOCHS - 1
    with pytest.raises(Stopped):
        trainer.end_epoch()
    assert trainer.average.whole(LAST)


def test_no_mean_where_a_run_was_extended_within_it():
    trainer, _ = trained(LAST)
    trainer.average.first = EPOCHS - 1  # two epochs more: epochs 4 to 6 of 7, while the mean has 2 to 4
    assert not trainer.average.update(EPOCHS)
    assert not trainer.average.whole(2)


def test_an_interrupted_run_has_the_same_average(small_data, tmp_path, monkeypatch):
    folders = [tmp_path / "whole", tmp_path / "cut"]
    lines = [processes.flags(folder, small_data, "--average", 2, "--optimizer", "adam", epochs=3) for folder in folders]
    assert train.main(lines[0]) == 0
    end, calls = Trainer.end_epoch, []

    def interrupted(self):
        calls.append(self)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGTERM)
        return end(self)

    monkeypatch.setattr(Trainer, "end_epoch", interrupted)
    assert train.main(lines[1]) == 128 + signal.SIGTERM
    assert not (folders[1] / "run/averaged.pth").exists()
    monkeypatch.undo()
    assert train.main([*lines[1], "--resume"]) == 0
    processes.assert_same(folders[1] / "run", folders[0] / "run")
    one, two = (torch.load(f / "run/averaged.pth", weights_only=True)["net_state_dict"] for f in folders)
    assert all(torch.equal(one[name], two[name]) for name in one)
