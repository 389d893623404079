"""What is told to a person: an error is one line, and exit code 2."""

import errno
import functools
import sys

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "bad_alloc", "Cannot allocate memory")
OF_THE_GPU = ("CUDA", "CUDNN", "cuDNN", "CUBLAS", "NVIDIA")  # in the errors of PyTorch


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
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def counted(n, what):
    """`1 epoch`, `20 epochs`."""
    return f"{n} {what}{'s' if n != 1 else ''}"


def exits(main):
    """Decorator of a command's `main`: turns failures that a person can mend into `error: ...` and exit code 2."""

    @functools.wraps(main)
    def wrapped(*args, **kwargs):
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # σ on a terminal that has no such letter
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


def advice(error):
    """The one line for an error that a person can mend; None for one that is a fault of the program."""
    text = one_line(str(error).partition("\n")[0])
    if isinstance(error, UserError):
        return one_line(error)
    if isinstance(error, OSError):
        message = one_line(error.strerror or text) + (f" ({one_line(error.filename)})" if error.filename else "")
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return message + ("; nothing complete is lost: make room, and go on with --resume" if full else "")
    if isinstance(error, MemoryError) or any(word in str(error) for word in OUT_OF_MEMORY):
        return "not enough memory; try a smaller --batch_size or --image_size, or a machine with more"
    if isinstance(error, RuntimeError) and any(word in text for word in OF_THE_GPU):
        return f"the GPU failed ({text}); --device cpu does without it"
    return None
