"""Trains one method at one variance, evaluates it at the end, and says where everything lies.

python train.py -e lntl_var0.020 --method lntl --color_var 0.02
python train.py -e lntl_var0.020 --resume                                     # after any interruption
python train.py -e again --from checkpoint/lntl_var0.020/options.json         # the same once more
"""

import contextlib
import ctypes
import hashlib
import os
import shlex
import signal
import sys
import tempfile
from pathlib import Path

import torch

import option as options
import recorded
import records
from dataset.load import DRY_RUN, load_data
from errors import Stopped, UserError, exits
from evaluate import report
from models.checkpoint import load_weights
from run_folder import RunFolder
from trainer import Trainer


def choose_device(option):
    """The torch.device that the flags ask for."""
    keep_memory()
    if option.threads:
        torch.set_num_threads(option.threads)
    if option.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch finds no GPU here; use --device cpu, or install a GPU driver")
    if option.cuda and not torch.cuda.is_available():
        print("WARNING: no GPU is available, going on on the CPU")
    cuda = option.device != "cpu" and torch.cuda.is_available()
    torch.backends.cudnn.benchmark = option.cudnn_benchmark
    tf32 = getattr(option, "precision", None) == "tf32"  # PyTorch's own default is tf32 in convolutions alone
    if tf32 and not cuda:
        raise UserError("--precision tf32 is arithmetic of a GPU, and this runs on the CPU; use float32 or bfloat16")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    return torch.device("cuda" if cuda else "cpu")


def keep_memory():
    """Lets glibc keep freed memory: giving 12 MB buffers back to the system costs page faults in every iteration."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


def starting_weights(option):
    """Path of the weights to start from, or None for random ones."""
    if not options.starts_trained(option.method, option.checkpoint, option.from_scratch):
        return None
    if option.checkpoint:
        return Path(option.checkpoint)
    shipped = records.weights_of(records.cell_name("baseline", option.color_var, 1))
    if shipped.exists():
        return shipped
    raise UserError(
        f"--method {option.method} starts from a pretrained baseline, and none is shipped for {option.color_var}; "
        "train one (--method baseline) and give it with --checkpoint, or say --from_scratch"
    )


def pin_start(option):
    """Sets --checkpoint_sha256 to the SHA-256 of the weights to start from; raises UserError where it is another."""
    if not (start := starting_weights(option)):
        return
    if not start.is_file():
        shipped = records.weights_of(start.parent.name)
        hint = f": {os.path.relpath(shipped)} has those of {start.parent.name}" if shipped.exists() else ""
        raise UserError(f"{start} is not a file; give the weights to start from with --checkpoint{hint}")
    found = hashlib.sha256(start.read_bytes()).hexdigest()
    if option.checkpoint_sha256 not in (None, found):
        raise UserError(f"{start} is not the file of --checkpoint_sha256; put that one back, or give --checkpoint")
    option.checkpoint_sha256 = found


@contextlib.contextmanager
def stops(trainer):
    """SIGINT and SIGTERM stop the trainer after the iteration; an evaluation they end at once, by Stopped."""

    def stop(number, _):
        trainer.stop = number
        if trainer.evaluating:
            raise Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(option):
    """Trains by resolved options. Returns the exit status."""
    device = choose_device(option)
    with RunFolder(option.save_dir, option.exp_name) as run:
        state = prepare(option, run)
        if state and state["epoch"] >= option.max_step and (run / "metrics.json").exists():
            run.say(f"{run.path} is finished ({state['epoch']} epochs); see {run / 'metrics.json'}")
            return 0
        for note in options.notes(option):
            print(note)

        data = load_data(option, device)
        trainer = Trainer(option, data.train, run, device, data.test)
        if state:
            go_on(trainer, state)
        elif start := starting_weights(option):
            trainer.method.start_from(load_weights(start, trainer.method.f, trainer.method.g))
            run.say(f"starting from the weights {start}")

        with stops(trainer):
            run.say(
                f"{option.method} at variance {option.color_var} on {device}, {option.max_step} epochs, "
                f"lr {option.lr:g}, seed {option.random_seed}; everything lies in {run.path}"
            )
            return fit_and_report(trainer, data.test)


def fit_and_report(trainer, test):
    """Trains and evaluates. Returns the exit status: 0, or 128 + the signal that stopped it."""
    option, run, method = trainer.option, trainer.run, trainer.method
    try:
        if trainer.fit():
            with trainer.interruptible():  # --resume evaluates again
                report(option, run.path, method.f, method.g, test, run / "final.pth", run.say)
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
    run.extend(option.max_step)
    run.trim_log(trainer.epoch)
    if trainer.epoch == option.max_step:  # --max_step may be another one now: final.pth is of another epoch
        trainer.save()
    (run / "metrics.json").unlink(missing_ok=True)
    run.say(f"going on after epoch {trainer.epoch}, iteration {trainer.iteration}")


def prepare(option, run):
    """Checks the folder against --resume. Returns the checkpoint to go on from, or None for a new run."""
    if option.resume and run.begun():
        run.check_options(option)
        state = run.load()
        if not isinstance(state, dict) or not isinstance(state.get("epoch"), int):
            raise UserError(f"{run / 'last.pt'} is not a checkpoint of train.py; choose another -e")
        return state
    if run.begun():
        raise UserError(f"{run.path} holds a run already; continue it with --resume, choose another -e, or delete it")
    if option.random_seed is None:
        option.random_seed = int(torch.randint(1, 10001, ()))
    pin_start(option)
    (run / "log.jsonl").unlink(missing_ok=True)  # of a run that was killed before its first checkpoint
    run.write_options(option)
    return None


@exits
def main(arguments=None):
    option = options.resolve_training(recorded.parse(arguments))
    if not option.dry_run:
        return train(option)
    with tempfile.TemporaryDirectory() as folder:
        option.save_dir, option.max_step, option.average = folder, 1, min(option.average, 1)
        option.holdout = min(option.holdout, DRY_RUN // 2)
        status = train(option)
    print("dry run: one batch of everything went well; nothing was kept")
    return status


if __name__ == "__main__":
    sys.exit(main())
