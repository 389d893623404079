"""The signals that ask a run to save and leave."""

import contextlib
import signal
import threading

from common.errors import Stopped

ALWAYS = ("SIGINT", "SIGTERM")
UNLESS_IGNORED = ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")  # a closed window, a scheduler's warning; nohup: ignored


def endings():
    """The numbers of the signals that ask a program to save and leave."""
    found = {name: getattr(signal, name) for name in (*ALWAYS, *UNLESS_IGNORED) if hasattr(signal, name)}
    return [n for name, n in found.items() if name in ALWAYS or signal.getsignal(n) != signal.SIG_IGN]


@contextlib.contextmanager
def stops(trainer):
    """Such a signal stops the trainer after the iteration; an evaluation it ends at once, by Stopped.

    Python hears signals in the main thread alone: a training in another one is not stopped by them.
    """

    def stop(number, _):
        trainer.stop = number
        if trainer.evaluating:
            raise Stopped

    heard = endings() if threading.current_thread() is threading.main_thread() else []
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
