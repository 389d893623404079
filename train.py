"""Trains one method on one data set, evaluates it at the end, and says where everything lies.

python train.py                                                    # the main job: LNTL at σ² = 0.02, as in the table
python train.py -e NAME --method lntl_plus --color_var 0.03
python train.py -e NAME --resume                                   # after any interruption
"""

import sys
import tempfile
from pathlib import Path

import common.before_torch  # noqa: F401

# isort: split
import option as options
from common.commands import of_run
from common.errors import Diverged, Stopped, UserError, counted, exits
from common.files import write_json
from dataset import data_sets
from methods import METHODS
from models.checkpoint import check_names, load_weights, read_torch_file
from models.shipped import sha256_of
from run.device import choose_device
from run.evaluate import evaluate, report
from run.folder import RunFolder, read_record
from run.probe import probe
from run.signals import stops
from trainer import Trainer

DRY_RUN = 16  # held-out images at most


def train(option):
    """Trains by resolved options: the baseline of --pretrain first. Returns the exit status."""
    if not option.pretrain:
        return run_once(option)
    first = options.of_pretraining(option)
    with RunFolder(option.save_dir, option.exp_name) as run:
        if not (goes_on := begun(option, run)):
            run.write_options(option.record())  # for --resume, should the baseline be stopped
    if not goes_on and (status := run_once(first)):
        return status
    return run_once(option.replace(checkpoint=str(Path(first.save_dir, first.exp_name, "final.pth"))))


def run_once(option):
    """One run: options, data, start, method, trainer, report. Returns the exit status."""
    device = choose_device(option)
    method = METHODS[option.method]
    with RunFolder(option.save_dir, option.exp_name) as run:
        state = checkpoint(option, run) if begun(option, run) else None
        data = data_sets()[option.dataset](option, device, grey=method.grey, pixels=method.needs_pixels)
        if state:
            record = read_record(run / "options.json")
            options.check_resumed(option.replace(**data.found), record, run / "options.json")
            option = option.replace(data_sha256=option.data_sha256 or record.get("data_sha256"))
        fingerprint = None if option.dry_run else data.fingerprint()
        if fingerprint and option.data_sha256 not in (None, fingerprint):
            raise UserError(f"this is other data than {run.path} was begun with (its data_sha256 tells); put that back")
        if state and state["epoch"] >= option.max_step and (run / "metrics.json").exists():
            run.say(f"{run.path} is finished ({counted(state['epoch'], 'epoch')}); see {run / 'metrics.json'}")
            return 0
        option = option.replace(data_sha256=fingerprint)
        for name in ("diverged.json", "metrics.json"):
            (run / name).unlink(missing_ok=True)
        run.write_options(option.record() | data.found)
        trainer = Trainer(option, data, run, device, init="random" if state else None)
        run.say(data.overview())
        if state:
            go_on(trainer, state)
        elif method.starts_trained(option):
            start(trainer)
        with stops(trainer):
            passes = f" of {trainer.passes} passes" if trainer.passes > 1 else ""
            length = f"{counted(option.max_step, 'epoch')}{passes}, batches of {option.batch_size}, lr {option.lr:g}"
            run.say(f"{method.title} at {data.setting(option)} on {device}, {length}, seed {option.random_seed}")
            return fit_and_report(trainer)


def begun(option, run):
    """Whether there is a run to go on with, as the flags ask. Raises UserError where a new one would overwrite it."""
    if (option.resume or getattr(option, "continue")) and run.begun():
        return True
    run.check_new()
    return False


def checkpoint(option, run):
    """The checkpoint to go on from. Raises UserError where the folder does not fit the options."""
    options.check_resumed(option, read_record(run / "options.json"), run / "options.json")
    state = read_torch_file(run / "last.pt")
    if not isinstance(state, dict) or not isinstance(state.get("epoch"), int):
        raise UserError(f"{run / 'last.pt'} is not a checkpoint of train.py; choose another -e")
    return state


def go_on(trainer, state):
    """Takes the trainer to where the checkpoint `state` was written. Raises UserError where that cannot be."""
    option, run = trainer.option, trainer.run
    trainer.restore(state)
    if (begun := trainer.epoch + bool(trainer.iteration)) > option.max_step:
        raise UserError(f"{run.path} has begun epoch {begun}; --max_step {option.max_step} is less, give more")
    run.trim_log(trainer.epoch)
    if trainer.epoch == option.max_step:  # --max_step may be another one now: final.pth is of another epoch
        trainer.save()
    run.say(f"going on after epoch {trainer.epoch}, iteration {trainer.iteration}")


def start(trainer):
    """Loads the weights that a new run begins with."""
    option, method = trainer.option, trainer.method
    if option.checkpoint_sha256 not in (None, sha256_of(option.checkpoint)):
        raise UserError(f"{option.checkpoint} is not the file that the run was to begin with; put that one back")
    content = load_weights(option.checkpoint, method.f, method.g)
    check_names(option.checkpoint, content, trainer.data)
    trainer.run.say(f"starting from the weights {option.checkpoint}")
    if option.holdout and (content.get("option") or {}).get("holdout") != option.holdout:
        trainer.run.say("WARNING: these weights were trained on the held-out images too")


def fit_and_report(trainer):
    """Trains and evaluates. Returns the exit status: 0, or 128 + the signal that stopped it."""
    option, run, f = trainer.option, trainer.run, trainer.method.f
    where = "epoch"
    try:
        if trainer.fit():
            with trainer.interruptible():  # --resume evaluates again
                evaluated = {name: (part, evaluate(f, trainer.method.g, part)) for name, part in trainer.test.items()}
                more = probe(f, trainer.train, next(iter(trainer.test.values())), option.random_seed)
            more |= {"selected": trainer.selected(), "data_sha256": option.data_sha256}
            report(option, run.path, evaluated, trainer.data, run / "final.pth", run.say, more=more)
            return 128 + trainer.stop if trainer.stop else 0  # heard meanwhile: reproduce.py must not go on
    except Diverged:
        write_json(run / "diverged.json", {"epoch": trainer.epoch + 1})
        raise
    except Stopped:
        if trainer.epoch < option.max_step:
            trainer.save()
        where = "the evaluation after epoch"
    run.say(f"stopped in {where} {trainer.epoch + bool(trainer.iteration)}")
    return 128 + trainer.stop


@exits
def main(arguments=None):
    option = options.train_options(arguments)
    if option.dry_run:
        with tempfile.TemporaryDirectory() as folder:
            few = {"max_step": 1, "pretrain": min(option.pretrain, 1), "holdout": min(option.holdout, DRY_RUN)}
            status = train(option.replace(save_dir=folder, **few))
        print("dry run: nothing was kept")
    elif status := train(option):
        print(f"to go on: {of_run('train.py', option)} --resume")
    else:
        from report.published import compare_lines

        print(*compare_lines(option), f"next: {of_run('test.py', option)}   (evaluates the weights again)", sep="\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
