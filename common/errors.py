"""What is told to a person: errors as one line with exit code 2, on streams that may fail without ending the work."""

import codecs
import contextlib
import errno
import functools
import os
import re
import sys

OUT_OF_MEMORY = (
    "memory",
    "bad_alloc",
    "can't start new thread",
    "failed to map segment",
    "without exception set",
    "without setting an exception",
)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TEMPORARY = re.compile(r"(?<![^/\\])\.([^/\\]+)\.\d+\.tmp$")  # of files.replacing: the name of what is written
TORN = "operator torchvision::"  # its library could not be loaded, which torchvision finds out one step later
OF_THE_GPU = ("CUDA error", "CUDNN", "cuDNN", "CUBLAS", "NVIDIA")  # in the errors of PyTorch
PLAIN = {
    "σ": "sigma", "²": "^2", "λ": "lambda", "μ": "mu", "α": "alpha", "ρ": "rho", "×": "x", "±": "+-", "█": "#",
}  # fmt: skip


class UserError(Exception):
    """Something the user can mend. The message is one line: what is wrong, and what to do."""


class Diverged(UserError):
    """A loss or a weight has become infinite or NaN."""


class Busy(UserError):
    """Another process works on the same thing; later it may be free."""


class Stopped(BaseException):
    """A signal cuts an evaluation short. Like KeyboardInterrupt, no `except Exception` on the way may keep it."""


def one_line(text):
    """`text` (any object) as a single line without control characters, so that odd names cannot break the message."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(str(text).split(" ")))


def counted(n, what):
    """`1 epoch`, `20 epochs`."""
    return f"{n} {what}{'s' if n != 1 else ''}"


def spelt_out(error):
    """A codec's error handler: `sigma^2` where σ² cannot be shown, an escape for anything else."""
    return "".join(PLAIN.get(c, ascii(c)[1:-1]) for c in error.object[error.start : error.end]), error.end


codecs.register_error("spelt_out", spelt_out)


class Shown:
    """A text stream that a person may read, or not: what it cannot show is spelt out, and where it is gone (a closed
    window, a reader that has left, a full disk) the lines are lost, and nothing else.
    """

    def __init__(self, stream):
        """stream: None where the program was started without one."""
        self.stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (as long as the program)
        with contextlib.suppress(AttributeError, ValueError):
            self.stream.reconfigure(errors="spelt_out")

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        """Returns the number of characters that were taken."""
        self._try(self.stream.write, text)
        return len(text)

    def flush(self):
        self._try(self.stream.flush)

    def isatty(self):
        return not self.stream.closed and self.stream.isatty()

    def _try(self, do, *arguments):
        try:
            do(*arguments)
        except BlockingIOError:
            pass  # a terminal that takes no more just now
        except ValueError:
            if not self.stream.closed:
                raise
        except OSError:
            # What is buffered would be tried again at exit, and turn a success into a failure.
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.stream.fileno())
                os.close(nowhere)


@contextlib.contextmanager
def shown():
    """Inside, standard output and error are `Shown`."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (s if isinstance(s, Shown) else Shown(s) for s in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def exits(main):
    """Decorator of a command's `main`: turns failures that a person can mend into `error: ...` and exit code 2."""

    @functools.wraps(main)
    def wrapped(*args, **kwargs):
        with shown():
            try:
                return main(*args, **kwargs)
            except KeyboardInterrupt:
                print("interrupted", file=sys.stderr)
                sys.exit(130)
            except Exception as error:
                if not (message := advice(error)):
                    raise
                print(f"error: {message}", file=sys.stderr)
                sys.exit(2)

    return wrapped


def is_out_of_memory(error):
    """Whether an exception of Python, PyTorch or the loader of libraries says that there is no memory."""
    return isinstance(error, MemoryError) or any(word in str(error) for word in OUT_OF_MEMORY)


def advice(error):
    """The one line for an error that a person can mend; None for one that is a fault of the program."""
    text = str(error)
    if isinstance(error, UserError):
        return one_line(error)
    if isinstance(error, OSError):
        where = TEMPORARY.sub(r"\1", str(error.filename)) if error.filename else ""
        message = one_line((error.strerror or text) + (f" ({where})" if where else ""))
        if error.errno in FULL:
            message += "; nothing complete is lost: make room and give the command again (training: with --resume)"
        return message
    if not isinstance(error, (MemoryError, RuntimeError, ImportError, SystemError)):  # of PyTorch, loader, import
        return None
    if isinstance(error, RuntimeError) and "out of memory" not in text and any(word in text for word in OF_THE_GPU):
        return f"the GPU failed ({one_line(text.splitlines()[0])}); --device cpu does without it"
    if TORN in text:
        return (
            "torchvision could not be loaded: not enough memory, or it does not fit this PyTorch "
            "(pip install -r requirements.txt has those that fit)"
        )
    if is_out_of_memory(error):
        return "not enough memory; try a smaller --batch_size, or a machine with at least 2 GB free"
    return None
