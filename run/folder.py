"""The folder of one experiment: options, environment, log, checkpoints, and the lock that keeps others out."""

import json
import math
import os
import platform
import sys
import time
from pathlib import Path

import numpy
import torch
from tqdm import tqdm

from common.errors import Busy, UserError, counted
from common.files import read_json_lines, replacing, write_json
from models.checkpoint import save_torch_file


class RunFolder:
    """SAVE_DIR/NAME.

    options.json      every option, as resolved        log.jsonl   one record an epoch
    environment.json  versions and hardware            log.txt     what was printed
    last.pt           everything needed to resume      selected.pth  weights of an epoch, where asked for
    checkpoint_step_0010.pth ... and final.pth         weights
    metrics.json      the evaluation at the end        confusion_matrix.png
    diverged.json     in place of these: the epoch in which the losses became NaN
    """

    def __init__(self, save_dir, name):
        self.path = Path(save_dir, name)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock = open(self / ".lock", "w")  # noqa: SIM115 (held as long as the process lives)
        except OSError as error:
            what = f"cannot write to {self.path} ({error.strerror})"
            raise UserError(f"{what}; choose another --save_dir or -e") from None
        if not locked(self.lock):
            self.lock.close()
            raise Busy(f"another process works on {self.path}; wait for it, or choose another -e")
        for leftover in self.path.glob(".*.[0-9]*.tmp"):  # of a process that was killed while it wrote
            leftover.unlink()

    def __truediv__(self, name):
        return self.path / name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lock.close()

    @staticmethod
    def is_busy(save_dir, name):
        """Whether a process works on SAVE_DIR/NAME at this moment; makes nothing, and removes nothing."""
        path = Path(save_dir, name, ".lock")
        if not path.exists():
            return False
        with open(path) as lock:
            return not locked(lock, shared=True)

    def begun(self):
        """Whether there is something to resume here."""
        return (self / "last.pt").exists()

    def check_new(self):
        """Refuses to begin a run over something. Raises UserError.

        A run that was killed before its first checkpoint leaves options, one epoch's record and weights at most.
        """
        if self.begun():
            raise UserError(f"{self.path} holds a run already; go on with --resume, choose another -e, or delete it")
        foreign = not (self / "options.json").exists() and any(self.path.glob("*.pth"))
        if foreign or (self / "metrics.json").exists() or len(self.log()) > 1:
            raise UserError(f"{self.path} holds results, and no last.pt to go on from; choose another -e, or delete it")
        (self / "log.jsonl").unlink(missing_ok=True)

    def save(self, state):
        """Writes a checkpoint in place of the one before it."""
        save_torch_file(self / "last.pt", state)

    def write_options(self, record):
        write_json(self / "options.json", record)
        write_json(self / "environment.json", environment())

    def say(self, line):
        """Prints a line, and keeps it in log.txt with the time."""
        tqdm.write(line, file=sys.stdout)  # around the bar
        sys.stdout.flush()
        with open(self / "log.txt", "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n")

    def record(self, values):
        """Appends one epoch's record to log.jsonl."""
        with open(self / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(without_nan(values), allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def log(self):
        """The records of log.jsonl. Raises UserError."""
        try:
            return read_json_lines(self / "log.jsonl")
        except ValueError:
            raise UserError(f"{self / 'log.jsonl'} is damaged; delete its damaged lines") from None

    def trim_log(self, epochs):
        """Keeps the records of the first `epochs` epochs: a crash may have come between a record and its checkpoint."""
        kept = [record for record in self.log() if record["epoch"] <= epochs]
        if [record["epoch"] for record in kept] != [*range(1, epochs + 1)]:
            raise UserError(f"{self / 'log.jsonl'} does not hold the {counted(epochs, 'epoch')} of last.pt; begin anew")
        with replacing(self / "log.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(without_nan(r)) + "\n" for r in kept), "utf-8")


def locked(file, shared=False):
    """Takes the lock of an open file for as long as the process lives. Returns whether it was free."""
    try:
        import fcntl
    except ModuleNotFoundError:
        return True  # Windows has no flock; there the user takes care
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def without_nan(value):
    """A plain value with None for every NaN and infinity, which JSON has not."""
    if isinstance(value, dict):
        return {k: without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_options(folder):
    """The options that are recorded in the folder of an experiment, {} where there are none. Raises UserError."""
    path = Path(folder, "options.json")
    return read_record(path) if path.exists() else {}


def read_record(path):
    """The dictionary in a JSON file of a run folder. Raises UserError."""
    try:
        record = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give the options.json of a run") from None
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise UserError(f"{path} is damaged, or no record of a run; restore it from a copy, or give another")
    return record


def environment():
    """Versions and hardware, as plain values."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "platform": platform.platform(),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def processor():
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
