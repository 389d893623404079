"""Trains one method on one data set, evaluates it at the end, and says where everything lies.

python train.py -e lntl_var0.020 --method lntl --color_var 0.02
python train.py -e lntl_var0.020 --resume                                     # after any interruption
python train.py -e again --from checkpoint/lntl_var0.020/options.json         # the same once more
"""

import copy
import sys
import tempfile
from pathlib import Path

import common.before_torch  # noqa: F401

# isort: split
import torch

import methods
import option as options
from common.commands import again, evaluation, resume
from common.errors import Diverged, Stopped, UserError, counted, exits
from dataset import data_sets
from dataset.mistakes import BUILD
from models.checkpoint import check_names, load_weights, read_torch_file
from models.shipped import sha256_of
from run import compare, health, recorded
from run.device import choose_device, settle_threads
from run.evaluate import evaluate_all, report
from run.folder import RunFolder, read_options
from run.signals import stops
from run.start import pin_data, pin_init, pin_start, remarks, starting_weights
from trainer import Trainer

DRY_RUN = 16  # held-out images at most


def train(option):
    """Trains by resolved options. Returns the exit status."""
    device = choose_device(option)
    method = methods.method_class(option)
    begun = RunFolder.holds_a_run(option.save_dir, option.exp_name)
    if not begun:
        settle_threads(option, device)
    if option.pretrain and begun and option.resume:
        check_pretrained(option)
    elif option.pretrain and not begun and (status := pretrain(option)):
        return status
    with RunFolder(option.save_dir, option.exp_name) as run:
        state = prepare(option, run, method)
        data = data_sets()[option.dataset](option, device, grey=method.grey)
        pin_data(option, data, run.path)
        if state and state["epoch"] >= option.max_step and (run / "metrics.json").exists():
            run.say(f"{run.path} is finished ({counted(state['epoch'], 'epoch')}); see {run / 'metrics.json'}")
            return 0
        if not state:
            (run / "log.jsonl").unlink(missing_ok=True)  # of a run that was killed before its first checkpoint
            run.write_options(option)
        for note in options.notes(option):
            print(note)

        (run / "diverged.json").unlink(missing_ok=True)  # it is tried again
        trainer = Trainer(option, data, run, device, init="random" if state else None)
        for line in data.overview().splitlines():
            run.say(line)
        if option.holdout and data.held_out:
            run.say(
                f"note: by --holdout, {counted(option.holdout, 'training image')} that are held out take the part of "
                f"the validation images ({len(data.held_out)}), which are not used"
            )
        if state:
            go_on(trainer, state)
        elif start := starting_weights(option, method):
            content = read_torch_file(start)
            check_names(start, content, data)
            content = load_weights(start, trainer.method.f, trainer.method.g, content=content)
            trainer.method.start_from(content)
            known = health.measure_start(trainer.method, trainer.train)
            run.say(f"starting from the weights {start}, which know {known:.4f} of the training images")
            for line in remarks(option, content.get("option")):
                run.say(f"WARNING: {line}")

        with stops(trainer):
            run.say(
                f"{method.title} at {data.setting(option)} on {device}, {counted(option.max_step, 'epoch')}, "
                f"lr {option.lr:g}, seed {option.random_seed}"
                + ("" if option.dry_run else f"; everything lies in {run.path}")
            )
            return fit_and_report(trainer)


def pretrained(option):
    """The folder of the baseline of --pretrain, and its options, {} before it begins.

    Raises UserError where it has another length.
    """
    folder = Path(option.save_dir, f"{option.exp_name}_baseline")
    before = read_options(folder) if RunFolder.holds_a_run(option.save_dir, folder.name) else {}
    if before.get("max_step", option.pretrain) != option.pretrain:
        raise UserError(
            f"{folder} is a baseline of {counted(before['max_step'], 'epoch')}, not of --pretrain "
            f"{option.pretrain}; say --pretrain {before['max_step']}, choose another -e, or delete it"
        )
    return folder, before


def check_pretrained(option):
    """Refuses --pretrain where the run that is to go on began otherwise. Raises UserError."""
    run = Path(option.save_dir, option.exp_name)
    began = read_options(run)
    start = Path(began.get("checkpoint") or "")
    if began and not start.parent.name.endswith("_baseline"):
        raise UserError(f"{run} was begun without --pretrain; leave it out, or choose another -e")
    if start.is_file() and sha256_of(start) == began.get("checkpoint_sha256"):  # else it has been trained on since
        pretrained(option)


def pretrain(option):
    """Trains the baseline of --pretrain, or goes on with it, and makes it the start. Returns the exit status."""
    baseline = copy.copy(option)
    folder, before = pretrained(option)
    for flag, value in options.defaults("baseline").items():
        if flag in methods.owners() and not (flag == "deviation" and option.deviation in BUILD):  # of its data
            setattr(baseline, flag, value)
    if option.random_seed is None:
        option.random_seed = before.get("random_seed") or int(torch.randint(1, 10001, ()))
    baseline.random_seed, baseline.checkpoint, baseline.checkpoint_sha256 = option.random_seed, None, None
    baseline.exp_name, baseline.method = folder.name, "baseline"
    baseline.lr = options.usual_lr(option.optimizer, "baseline")
    baseline.max_step, baseline.pretrain, baseline.average, baseline.resume = option.pretrain, 0, 0, options.OR_START
    if status := train(baseline):
        print(f"that was the baseline of --pretrain; the whole goes on with {again()}")
    option.checkpoint, option.pretrain = str(folder / "final.pth"), 0
    option.data_sha256 = baseline.data_sha256  # the same data for both
    return status


def fit_and_report(trainer):
    """Trains and evaluates. Returns the exit status: 0, or 128 + the signal that stopped it."""
    option, run, method = trainer.option, trainer.run, trainer.method
    try:
        if trainer.fit():
            with trainer.interruptible():  # --resume evaluates again
                evaluated = evaluate_all(method.f, method.g, trainer.test)
            say = say_of_figures(run) if option.dry_run else run.say
            report(option, run.path, evaluated, trainer.data, run / "final.pth", say)
            return 0
        where = f"epoch {trainer.epoch + 1}, iteration {trainer.iteration}"
    except Diverged:
        run.diverged(trainer.epoch + 1)
        raise
    except Stopped:
        if trainer.epoch < option.max_step:
            trainer.save()
        where = f"the evaluation after epoch {trainer.epoch + bool(trainer.iteration)}"
    run.say(f"stopped in {where}" + ("" if option.dry_run else f", and saved; to go on: {resume(option)}"))
    return 128 + trainer.stop


def say_of_figures(run):
    """A dry run's `say`: without the files, as they are deleted."""
    return lambda line: line.startswith("written: ") or run.say(line)


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
        run.check_options(option, options.defaults(option.method, option.dataset))
        state = run.load()
        if not isinstance(state, dict) or not isinstance(state.get("epoch"), int):
            raise UserError(f"{run / 'last.pt'} is not a checkpoint of train.py; choose another -e")
        run.check_record(state.get("option"))
        return state
    if run.begun():
        raise UserError(f"{run.path} holds a run already; continue it with --resume, choose another -e, or delete it")
    if (run / "metrics.json").exists():
        raise UserError(
            f"{run.path} holds the results of a run, and no last.pt to go on from; choose another -e, or delete it"
        )
    if lost := run.would_be_lost():
        raise UserError(f"{run.path} holds {lost}, and no last.pt to go on from; choose another -e, or delete it")
    if option.random_seed is None:
        option.random_seed = int(torch.randint(1, 10001, ()))
    pin_start(option, method)
    pin_init(option)
    return None


@exits
def main(arguments=None):
    option = options.resolve_training(recorded.parse(options.train_parser, arguments))
    if not option.dry_run:
        if not (status := train(option)):
            for line in (*compare.lines(option), f"next: {evaluation(option)}   (evaluates the weights again)"):
                print(line)
        return status
    with tempfile.TemporaryDirectory() as folder:
        option.save_dir, option.max_step, option.average = folder, 1, min(option.average, 1)
        option.pretrain = min(option.pretrain, 1)
        option.holdout = min(option.holdout, DRY_RUN)
        status = train(option)
    if status == 0:
        print("dry run: one batch of everything went well; nothing was kept")
    return status


if __name__ == "__main__":
    sys.exit(main())
