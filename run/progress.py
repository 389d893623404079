"""Progress of a training run: a bar on a terminal, plain lines elsewhere and in log.txt."""

import sys
import time

from tqdm import tqdm


class Progress:
    """One bar over all iterations of a run, with the losses and the time left."""

    def __init__(self, option, run, per_epoch, done):
        """per_epoch: iterations of an epoch; done: iterations finished by an earlier process."""
        self.option, self.run, self.per_epoch = option, run, per_epoch
        self.start, self.done = time.perf_counter(), done
        self.total = option.max_step * per_epoch
        self.bar = tqdm(total=self.total, initial=done, unit="it", disable=not sys.stderr.isatty(), smoothing=0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bar.close()

    def iteration(self, epoch, iteration, names, measured):
        """After every iteration. Reads the losses every `log_step` ones, on the CPU only: on a GPU reading waits."""
        self.bar.update()
        if iteration % self.option.log_step or measured[0].is_cuda or self.bar.disable:
            return
        shown = {name: f"{value.item():.4f}" for name, value in zip(names, measured, strict=True)}
        self.bar.set_description(f"epoch {epoch + 1}/{self.option.max_step}", refresh=False)
        self.bar.set_postfix(shown)

    def epoch(self, record):
        """After every epoch: a line with its record and the time left."""
        finished = record["epoch"] * self.per_epoch
        elapsed = time.perf_counter() - self.start
        left = elapsed / max(1, finished - self.done) * (self.total - finished)
        shown = "  ".join(f"{k} {v:.4f}" for k, v in record.items() if k not in ("epoch", "lr", "seconds"))
        self.run.say(
            f"epoch {record['epoch']}/{self.option.max_step}  lr {record['lr']:g}  {shown}  "
            f"{record['seconds']:.1f} s  left {tqdm.format_interval(left)}"
        )
