"""Trains one method on one data set, evaluates it at the end, and says where everything lies.

python train.py                                                               # the main job
python train.py -e lntl_var0.020 --method lntl --color_var 0.02
python train.py -e lntl_var0.020 --resume                                     # after any interruption
python train.py -e again --from checkpoint/lntl_var0.020/options.json         # the same once more
"""

import sys
import tempfile
from pathlib import Path

import common.before_torch  # noqa: F401

# isort: split
import option as options
from common.commands import evaluation, resume
from common.errors import Diverged, Stopped, UserError, counted, exits
from common.files import write_json
from dataset import data_sets
from methods import METHODS
from models.checkpoint import check_names, load_weights, read_torch_file
from run import health
from run.device import choose_device
from run.evaluate import evaluate_all, report
from run.folder import RunFolder, read_options
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
        if not (begun := goes_on(option, run)):
            run.check_new()
            run.write_options(option.record())  # for --resume, should the baseline be stopped
    if not begun and (status := run_once(first)):
        return status
    return run_once(option.replace(checkpoint=str(Path(first.save_dir, first.exp_name, "final.pth"))))


def run_once(option):
    """One run: options, data, start, method, trainer, report. Returns the exit status."""
    device = choose_device(option)
    method = METHODS[option.method]
    with RunFolder(option.save_dir, option.exp_name) as run:
        state = continued(option, run)
        data = data_sets()[option.dataset](option, device, grey=method.grey, pixels=method.needs_pixels)
        fingerprint = None if option.dry_run else data.fingerprint()
        check_data(option, run, fingerprint, state)
        if state and state["epoch"] >= option.max_step and (run / "metrics.json").exists():
            run.say(f"{run.path} is finished ({counted(state['epoch'], 'epoch')}); see {run / 'metrics.json'}")
            return 0
        for name in ("diverged.json", "metrics.json"):
            (run / name).unlink(missing_ok=True)
        run.write_options(option.record() | data.found | {"data_sha256": fingerprint})
        trainer = Trainer(option, data, run, device, init="random" if state else None)
        for line in data.overview().splitlines():
            run.say(line)
        if state:
            go_on(trainer, state)
        elif method.starts_trained(option):
            start(trainer)
        with stops(trainer):
            run.say(
                f"{method.title} at {data.setting(option)} on {device}, {counted(option.max_step, 'epoch')}, batches "
                f"of {trainer.batch_size}, lr {option.lr:g}, seed {option.random_seed}"
                + ("" if option.dry_run else f"; everything lies in {run.path}")
            )
            return fit_and_report(trainer)


def goes_on(option, run):
    """Whether the flags ask to go on with a run, and there is one in its folder."""
    return (option.resume or getattr(option, "continue")) and run.begun()


def continued(option, run):
    """The checkpoint to go on from, or None for a new run. Raises UserError where the folder does not fit."""
    if not goes_on(option, run):
        run.check_new()
        return None
    record = read_options(run.path)
    if not record:
        raise UserError(f"{run / 'options.json'} is missing, so nobody can tell how the run was begun; put it back")
    options.check_resumed(option, record, run / "options.json")
    state = run.load()
    if not isinstance(state, dict) or not isinstance(state.get("epoch"), int):
        raise UserError(f"{run / 'last.pt'} is not a checkpoint of train.py; choose another -e")
    return state


def check_data(option, run, fingerprint, state):
    """Refuses data that is other data than was asked for, or than the run was begun with. Raises UserError."""
    known = option.data_sha256 or (read_options(run.path).get("data_sha256") if state else None)
    if fingerprint and known not in (None, fingerprint):
        raise UserError(
            f"this is other data than {run.path} was begun with (SHA-256 {fingerprint[:12]}..., recorded "
            f"{known[:12]}...); put that back, or begin anew with another -e"
        )


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
    content = read_torch_file(option.checkpoint)
    check_names(option.checkpoint, content, trainer.data)
    content = load_weights(option.checkpoint, method.f, method.g, content=content)
    method.start_from(content)
    accuracy = health.measure_start(method, trainer.train)
    trainer.run.say(f"starting from the weights {option.checkpoint}; their training accuracy is {accuracy:.4f}")
    before = content.get("option") or {}
    same = all(before.get(name) == getattr(option, name) for name in ("data_seed", "data_dir", "holdout"))
    if before and before.get("dataset", "colored_mnist") == option.dataset and not same:
        trainer.run.say("WARNING: these weights were trained on another draw of the data, or on held-out images too")


def fit_and_report(trainer):
    """Trains and evaluates. Returns the exit status: 0, or 128 + the signal that stopped it."""
    option, run, method = trainer.option, trainer.run, trainer.method
    try:
        if trainer.fit():
            with trainer.interruptible():  # --resume evaluates again
                evaluated = evaluate_all(method.f, method.g, trainer.test)
                more = probe(method.f, trainer.train, next(iter(trainer.test.values())), option.random_seed)
            more |= {"selected": trainer.selected(), "data_sha256": read_options(run.path).get("data_sha256")}
            report(option, run.path, evaluated, trainer.data, run / "final.pth", run.say, more=more)
            return 0
        where = f"epoch {trainer.epoch + 1}, iteration {trainer.iteration}"
    except Diverged:
        write_json(run / "diverged.json", {"epoch": trainer.epoch + 1})
        raise
    except Stopped:
        if trainer.epoch < option.max_step:
            trainer.save()
        where = f"the evaluation after epoch {trainer.epoch + bool(trainer.iteration)}"
    run.say(f"stopped in {where}" + ("" if option.dry_run else ", and saved"))
    return 128 + trainer.stop


@exits
def main(arguments=None):
    option = options.train_options(arguments)
    if not option.dry_run:
        if status := train(option):
            print(f"to go on: {resume(option)}")
        else:
            from report.published import compare_lines

            for line in (*compare_lines(option), f"next: {evaluation(option)}   (evaluates the weights again)"):
                print(line)
        return status
    with tempfile.TemporaryDirectory() as folder:
        few = {"max_step": 1, "pretrain": min(option.pretrain, 1)}
        status = train(option.replace(save_dir=folder, holdout=min(option.holdout, DRY_RUN), **few))
    if status == 0:
        print("dry run: one batch of everything went well; nothing was kept")
    return status


if __name__ == "__main__":
    sys.exit(main())
