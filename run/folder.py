"""The folder of one experiment: options, environment, log, checkpoints, and the lock that keeps others out."""

import json
import math
import os
import platform
import shutil
import sys
import time
from pathlib import Path

import numpy
import torch
from tqdm import tqdm

from common import same_path
from common.errors import Busy, UserError, shown
from common.files import read_json_lines, replacing, write_json
from dataset.csv_tables import folded
from models.checkpoint import read_torch_file, save_torch_file
from models.shipped import sha256_of

RESULT_FREE = {  # options that may differ between the parts of a run
    "exp_name", "save_dir", "resume", "device", "cuda", "threads", "log_step", "save_step", "max_step",
    "train_baseline", "use_pretrain", "pretrain", "checkpoint_sha256", "data_sha256",
    "init_sha256",  # said by `method` and the files
    "workers", "debug", "is_train", "seed", "depth", "n_class", "input_size", "num_workers",  # without effect on it
    "data_split",
}  # fmt: skip


class RunFolder:
    """SAVE_DIR/NAME.

    options.json      every option, as resolved        log.jsonl   one record an epoch
    environment.json  versions and hardware            log.txt     what was printed
    last.pt           everything needed to resume      previous.pt the one before it
    checkpoint_step_0010.pth ... and final.pth         weights; averaged.pth with --average
    metrics.json      the evaluation at the end        confusion_matrix.png, and groups.png of image-level biases
    diverged.json     in place of these: the epoch in which the losses became NaN
    """

    def __init__(self, save_dir, name):
        self.path = Path(save_dir, name)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise UserError(f"{self.path} is not a folder; choose another --save_dir or -e") from None
        except OSError as error:
            raise self._unwritable(error) from None
        self._lock()

    def __truediv__(self, name):
        return self.path / name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lock.close()

    def _unwritable(self, error):
        return UserError(f"cannot write to {self.path} ({error.strerror}); choose another --save_dir")

    def _lock(self):
        """Holds a lock until `__exit__`, or for as long as this process lives, however that ends."""
        try:
            self.lock = open(self / ".lock", "w")  # noqa: SIM115 (held as long as the process lives)
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            import fcntl

            for patience in (0.1, 0.2, 0.3, 0):  # one that only looks (`is_busy`) is gone at once
                try:
                    fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not patience:
                        raise
                    time.sleep(patience)
        except ModuleNotFoundError:
            pass  # Windows has no flock; there the user takes care
        except BlockingIOError:
            self.lock.close()
            raise Busy(f"another process works on {self.path}; wait for it, or choose another -e") from None
        except OSError as error:
            raise UserError(f"{self.path} cannot be locked ({error.strerror}); choose another --save_dir") from None
        for leftover in self.path.glob(
            ".*.[0-9]*.tmp"
        ):  # of files.replacing, in a process that was killed while it wrote
            leftover.unlink()

    @staticmethod
    def is_busy(save_dir, name):
        """Whether a process works on SAVE_DIR/NAME at this moment; makes nothing, and removes nothing."""
        try:
            import fcntl

            with open(Path(save_dir, name, ".lock")) as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except (ModuleNotFoundError, OSError):  # no locks here, or none was ever taken
            pass
        return False

    @staticmethod
    def holds_a_run(save_dir, name):
        """Whether SAVE_DIR/NAME has something to resume; makes nothing."""
        return any(Path(save_dir, name, file).exists() for file in ("last.pt", "previous.pt"))

    def begun(self):
        """Whether there is something to resume here."""
        return self.holds_a_run(self.path.parent, self.path.name)

    def would_be_lost(self):
        """What a new run would write over here, in words, or None.

        A run that was killed before its first checkpoint leaves options, one epoch's record and weights at most.
        """
        try:
            epochs = len(read_json_lines(self / "log.jsonl"))
        except ValueError:
            return "a log.jsonl that is no run's"
        if epochs > 1:
            return f"the log of {epochs} epochs"
        foreign = [p.name for p in self.path.glob("*.pth")] if not (self / "options.json").exists() else []
        return f"weights ({foreign[0]})" if foreign else None

    def save(self, state):
        """Writes a checkpoint; the one before it stays as previous.pt."""
        last, previous = self / "last.pt", self / "previous.pt"
        if last.exists():
            with replacing(previous) as kept:
                shutil.copyfile(last, kept)
        save_torch_file(last, state)

    def load(self):
        """The newest checkpoint that can be read; says so where that is not the last one."""
        try:
            return read_torch_file(self / "last.pt")
        except UserError as error:
            if not (self / "previous.pt").exists():
                raise
            state = read_torch_file(self / "previous.pt")
            self.say(f"warning: {error}; going on from previous.pt")
            with replacing(self / "last.pt") as good:  # or the next save would keep the damaged one as the previous
                shutil.copyfile(self / "previous.pt", good)
            return state

    def write_options(self, option):
        """Records the options and the environment."""
        write_json(self / "options.json", vars(option))
        write_json(self / "environment.json", environment())

    def check_options(self, option, defaults):
        """Refuses to resume with options that would change the result.

        An unset seed becomes the recorded one, and so does the SHA-256 of the data, which tells whether it was moved or
        is other data (run.start.pin_data). defaults: {option: value} of flags that are younger than the run.
        """
        recorded = read_options(self.path)
        if not recorded:
            raise UserError(
                f"{self / 'options.json'} is missing, so nobody can tell how the run was begun; "
                "put it back, or choose another -e"
            )
        if option.random_seed is None:
            option.random_seed = recorded.get("random_seed")
        recorded = defaults | recorded
        known = recorded.get("data_sha256") or option.data_sha256
        if option.data_sha256 not in (None, known):
            raise UserError(f"{self.path} was begun with --data_sha256 {known}, not {option.data_sha256}; leave it out")
        option.data_sha256 = known
        for name, value in vars(option).items():
            if name not in RESULT_FREE and not self._agree(name, recorded, value):
                raise UserError(
                    f"{self.path} was begun with --{name} {recorded.get(name)}, not {value}; "
                    "resume with the same options, or choose another -e"
                )

    def check_record(self, option):
        """Refuses to go on where options.json has been changed since. option: that of the checkpoint, a dictionary."""
        recorded = read_options(self.path)
        for name in sorted(recorded.keys() & (option or {}).keys() - RESULT_FREE - {"data_dir", "checkpoint"}):
            if recorded[name] != option[name]:
                raise UserError(
                    f"{self / 'options.json'} has --{name} {recorded[name]}, and the run was trained with "
                    f"{option[name]}; put that back, or begin anew with another -e"
                )

    def _agree(self, name, recorded, value):
        """Whether an option has the value with which the run was begun; files may lie elsewhere, if they are the same.

        Says so where that cannot be told.
        """
        before = recorded.get(name)
        if name in ("target", "bias"):  # None: found, not given; pin_data compares what was found
            return (recorded.get("data_sha256") and None in (before, value)) or same_columns(before, value)
        if name not in ("checkpoint", "data_dir") or before is None or value is None or same_path(before, value):
            return before == value or (name in ("checkpoint", "data_dir") and same_path(before, value))
        if name == "checkpoint":
            return Path(value).is_file() and sha256_of(value) == recorded.get("checkpoint_sha256")
        if recorded.get("data_sha256") is None and not Path(before).exists():
            self.say(f"note: {self.path} has no record of its data, so that in {value} cannot be compared with it")
            return True
        return recorded.get("data_sha256") is not None  # pin_data compares it

    def extend(self, option):
        """Records what may be another now in a run that goes on: the number of epochs, and where its data lies."""
        recorded = read_options(self.path)
        now = {name: getattr(option, name, None) for name in ("max_step", "data_dir", "data_sha256")}
        if recorded != recorded | now:
            write_json(self / "options.json", recorded | now)

    def say(self, line):
        """Prints a line, and keeps it in log.txt with the time."""
        with shown():
            tqdm.write(line, file=sys.stdout)  # around the bar
        with open(self / "log.txt", "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n")

    def record(self, values):
        """Appends one epoch's record to log.jsonl."""
        with open(self / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(without_nan(values), allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def diverged(self, epoch):
        """Records that the losses became infinite or NaN in an epoch, counted from 1: there is no result."""
        write_json(self / "diverged.json", {"epoch": epoch})

    def trim_log(self, epochs):
        """Keeps the records of the first `epochs` epochs: a crash may have come between a record and its checkpoint."""
        try:
            records = [r for r in read_json_lines(self / "log.jsonl") if r["epoch"] <= epochs]
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{self / 'log.jsonl'} is damaged; delete its damaged lines") from None
        with replacing(self / "log.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(without_nan(r)) + "\n" for r in records), "utf-8")


def same_columns(a, b):
    """Whether two values of --target, or of --bias, are the same names of columns, however they are spelt."""
    names = ([value] if isinstance(value, str) else value or [] for value in (a, b))
    return [*map(folded, next(names))] == [*map(folded, next(names))]


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
