"""Progress of a training run: a bar on a terminal, plain lines elsewhere and in log.txt."""

import sys
import time

import torch
from tqdm import tqdm

BAR = "{desc} |{bar}| {rate_fmt} {remaining} left"
OFTEN = 0.5  # seconds between two looks at the figures
COLUMNS = 80  # of an epoch's line at most
SHORT = {  # what the figures are called on the bar and in a line, in that order; log.jsonl has all by their names
    "cls_loss": "loss", "accuracy": "label", "bias_accuracy": "h", "holdout_accuracy": "val",
    "holdout_worst_group_accuracy": "worst", "test_accuracy": "test",
}  # fmt: skip


class Progress:
    """One bar over all iterations of a run, with three figures of the last batch and the time left."""

    def __init__(self, option, run, per_epoch, done):
        """per_epoch: iterations of an epoch; done: iterations finished by an earlier process."""
        self.option, self.run, self.per_epoch = option, run, per_epoch
        self.start, self.done = time.perf_counter(), done
        self.total = option.max_step * per_epoch
        self.looked = -OFTEN
        self.bar = tqdm(
            total=self.total, initial=done, unit="it", disable=not sys.stderr.isatty(), bar_format=BAR,
            dynamic_ncols=True, mininterval=OFTEN, miniters=1, smoothing=0.05,
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bar.close()

    def iteration(self, epoch, iteration, names, measured):
        """After every iteration, with what `update` returned. Reads it rarely on a GPU, which it would wait for."""
        if self.bar.disable:
            return
        now = time.perf_counter()
        rarely = measured[0].is_cuda
        if (iteration - 1) % self.option.log_step == 0 if rarely else now - self.looked >= OFTEN:
            self.looked = now
            if rarely:
                torch.cuda.synchronize()  # the iteration may run on a stream of its own
            figures = in_words(dict(zip(names, measured, strict=True)))[:3]
            self.bar.set_description_str(
                " ".join([f"epoch {epoch + 1}/{self.option.max_step}", *figures]), refresh=False
            )
        self.bar.update()

    def epoch(self, record):
        """After every epoch: a line of at most 80 columns."""
        finished = record["epoch"] * self.per_epoch
        elapsed = time.perf_counter() - self.start
        left = elapsed / max(1, finished - self.done) * (self.total - finished)
        words = [f"epoch {record['epoch']}/{self.option.max_step}", *in_words(record)]
        words.append(f"{record['seconds']:.0f} s left {tqdm.format_interval(left)}")
        while len(" ".join(words)) > COLUMNS and len(words) > 3:
            del words[2]  # of the training; log.jsonl has it
        self.run.say(" ".join(words))


def in_words(record):
    """The figures of SHORT that a record has: ["loss 0.412", "label 0.812", "h 0.334"]."""
    return [f"{title} {float(record[name]):.3f}" for name, title in SHORT.items() if record.get(name) is not None]
