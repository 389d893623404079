"""The averaged weights: their mean, what they leave alone, and an interrupted run."""

import copy
import signal

import pytest
import torch
from torch.optim import swa_utils

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


def test_mean_of_the_last_epochs():
    trainer, after = trained(LAST)
    mean = join_net(trainer.average.f, trainer.average.g)
    for name in mean:
        expected = torch.stack([weights[name].double() for weights in after[-LAST:]]).mean(0)
        torch.testing.assert_close(mean[name].double(), expected, rtol=1e-5, atol=1e-6)
    assert not torch.equal(mean["fc.weight"], after[-1]["fc.weight"])
    recorded = ["averaged_t" in record for record in trainer.run.records]
    assert recorded == [False] * (EPOCHS - LAST) + [True] * LAST


def test_nothing_depends_on_how_pytorch_averages_on_a_gpu(monkeypatch):
    """There it takes all tensors of a type at once, and cannot do that for BatchNorm's count of batches."""
    expected = join_net(*(getattr(trained(LAST)[0].average, name) for name in "fg"))
    monkeypatch.setattr(swa_utils, "_get_foreach_kernels_supported_devices", lambda: ["cpu", "cuda"])
    found = join_net(*(getattr(trained(LAST)[0].average, name) for name in "fg"))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_settings_are_chosen_on_held_out_images():
    trainer, _ = trained(LAST, holdout=BATCH)
    expected = evaluate(trainer.average.f, trainer.average.g, trainer.held_out).accuracy
    assert len(trainer.held_out) == BATCH
    assert trainer.run.records[-1]["averaged_holdout_accuracy"] == expected
    assert "averaged_holdout_accuracy" not in trainer.run.records[0]


def test_training_is_the_same_bit_for_bit():
    for a, b in zip(trained(LAST)[1], trained(0)[1], strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_an_epoch_counts_once():
    trainer, _ = trained(LAST)
    before = copy.deepcopy(trainer.average.model.state_dict())
    assert trainer.average.update(EPOCHS - 1)
    after = trainer.average.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_signal_in_the_middle_of_it_stops_the_evaluation_alone(monkeypatch):
    trainer, _ = trained(LAST)
    expected = copy.deepcopy(trainer.average.model.state_dict())
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
    assert trainer.average.model.state_dict().keys() == expected.keys()


def test_no_mean_where_a_run_was_extended_within_it():
    trainer, _ = trained(LAST)
    trainer.average.first = EPOCHS - 1  # two epochs more: epochs 4 to 6 of 7, while the mean has 2 to 4
    assert not trainer.average.update(EPOCHS)
    assert not trainer.average.whole(2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_interrupted_run_has_the_same_average(small_data, tmp_path, number):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert processes.run(*processes.flags(whole, small_data, "--average", 2)).returncode == 0
    process = processes.start(*processes.flags(cut, small_data, "--average", 2))
    processes.wait_for(process, cut / "run" / "log.jsonl", '"epoch": 3')
    process.send_signal(number)
    process.communicate()
    assert not (cut / "run" / "averaged.pth").exists()
    assert processes.run(*processes.flags(cut, small_data, "--average", 2, "--resume")).returncode == 0
    assert processes.result(whole / "run")[1] == processes.result(cut / "run")[1]
    files = [torch.load(f / "run" / "averaged.pth", weights_only=True)["net_state_dict"] for f in (whole, cut)]
    assert all(torch.equal(files[0][name], files[1][name]) for name in files[0])
    final = torch.load(cut / "run" / "final.pth", weights_only=True)["net_state_dict"]
    assert not torch.equal(files[1]["fc.weight"], final["fc.weight"])
