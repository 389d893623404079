"""Trains one method on one data set, evaluates it at the end, and says where everything lies.

python train.py -e lntl_var0.020 --method lntl --color_var 0.02
python train.py -e lntl_var0.020 --resume                                     # after any interruption
python train.py -e again --from checkpoint/lntl_var0.020/options.json         # the same once more
"""

import shlex
import sys
import tempfile

import torch

import methods
import option as options
from dataset import data_sets
from errors import Stopped, UserError, exits
from models.checkpoint import load_weights
from run import health, recorded
from run.device import choose_device, stops
from run.evaluate import report
from run.folder import RunFolder
from run.start import pin_data, pin_start, starting_weights
from trainer import Trainer

DRY_RUN = 64  # held-out images at most


def train(option):
    """Trains by resolved options. Returns the exit status."""
    device = choose_device(option)
    method = methods.kind(option)
    with RunFolder(option.save_dir, option.exp_name) as run:
        state = prepare(option, run, method)
        data = data_sets()[option.dataset](option, device, grey=method.grey)
        pin_data(option, data, run.path)
        if state and state["epoch"] >= option.max_step and (run / "metrics.json").exists():
            run.say(f"{run.path} is finished ({state['epoch']} epochs); see {run / 'metrics.json'}")
            return 0
        if not state:
            (run / "log.jsonl").unlink(missing_ok=True)  # of a run that was killed before its first checkpoint
            run.write_options(option)
        for note in options.notes(option):
            print(note)

        trainer = Trainer(option, data, run, device)
        if state:
            go_on(trainer, state)
        elif start := starting_weights(option, method):
            trainer.method.start_from(load_weights(start, trainer.method.f, trainer.method.g))
            known = health.measure_start(trainer.method, trainer.train)
            run.say(f"starting from the weights {start}, which know {known:.4f} of the training images")

        with stops(trainer):
            run.say(
                f"{method.title} at {data.setting(option)} on {device}, {option.max_step} epochs, "
                f"lr {option.lr:g}, seed {option.random_seed}; everything lies in {run.path}"
            )
            return fit_and_report(trainer)


def fit_and_report(trainer):
    """Trains and evaluates. Returns the exit status: 0, or 128 + the signal that stopped it."""
    option, run, method = trainer.option, trainer.run, trainer.method
    try:
        if trainer.fit():
            with trainer.interruptible():  # --resume evaluates again
                report(option, run.path, method.f, method.g, trainer.data, run / "final.pth", run.say)
            return 0
        where = f"epoch {trainer.epoch + 1}, iteration {trainer.iteration}"
    except Stopped:
        if trainer.epoch < option.max_step:
            trainer.save()
        where = f"the evaluation after epoch {trainer.epoch + bool(trainer.iteration)}"
    run.say(
        f"stopped in {where}, and saved; to go on: python train.py -e {option.exp_name} --save_dir "
        f"{shlex.quote(option.save_dir)} --resume, or the same command with --resume"
    )
    return 128 + trainer.stop


def go_on(trainer, state):
    """Takes the trainer to where the checkpoint `state` was written. Raises UserError where that cannot be."""
    option, run = trainer.option, trainer.run
    try:
        trainer.restore(state)
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise UserError(f"{run / 'last.pt'} is not a checkpoint of this run ({error}); start anew") from None
    if (begun := trainer.epoch + bool(trainer.iteration)) > option.max_step:
        raise UserError(f"{run.path} has begun epoch {begun}; --max_step {option.max_step} is less, give more")
    run.extend(option)
    run.trim_log(trainer.epoch)
    if trainer.epoch == option.max_step:  # --max_step may be another one now: final.pth is of another epoch
        trainer.save()
    (run / "metrics.json").unlink(missing_ok=True)
    run.say(f"going on after epoch {trainer.epoch}, iteration {trainer.iteration}")


def prepare(option, run, method):
    """Checks the folder against --resume. Returns the checkpoint to go on from, or None for a new run."""
    if option.resume and run.begun():
        run.check_options(option, options.defaults(option.method))
        state = run.load()
        if not isinstance(state, dict) or not isinstance(state.get("epoch"), int):
            raise UserError(f"{run / 'last.pt'} is not a checkpoint of train.py; choose another -e")
        return state
    if run.begun():
        raise UserError(f"{run.path} holds a run already; continue it with --resume, choose another -e, or delete it")
    if option.random_seed is None:
        option.random_seed = int(torch.randint(1, 10001, ()))
    pin_start(option, method)
    return None


@exits
def main(arguments=None):
    option = options.resolve_training(recorded.parse(options.train_parser, arguments))
    if not option.dry_run:
        return train(option)
    with tempfile.TemporaryDirectory() as folder:
        option.save_dir, option.max_step, option.average = folder, 1, min(option.average, 1)
        option.holdout = min(option.holdout, DRY_RUN)
        status = train(option)
    print("dry run: one batch of everything went well; nothing was kept")
    return status


if __name__ == "__main__":
    sys.exit(main())
