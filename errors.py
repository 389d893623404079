"""Errors that are meant for a person: one line, exit code 2, no traceback."""

import errno
import functools
import sys

OUT_OF_MEMORY = ("memory", "bad_alloc", "can't start new thread", "failed to map segment", "without exception set")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(Exception):
    """Something the user can mend. The message is one line: what is wrong, and what to do."""


class Busy(UserError):
    """Another process works on the same thing; later it may be free."""


class Stopped(BaseException):
    """A signal cuts an evaluation short. Like KeyboardInterrupt, no `except Exception` on the way may keep it."""


def one_line(text):
    """`text` (any object) as a single line without control characters, so that odd names cannot break the message."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(str(text).split(" ")))


def exits(main):
    """Decorator of a command's `main`: turns failures that a person can mend into `error: ...` and exit code 2."""

    @functools.wraps(main)
    def wrapped(*args, **kwargs):
        try:
            return main(*args, **kwargs)
        except UserError as error:
            message = one_line(error)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        except (MemoryError, RuntimeError, ImportError, SystemError) as error:  # of PyTorch, the loader, and an import
            if not isinstance(error, MemoryError) and not any(word in str(error) for word in OUT_OF_MEMORY):
                raise
            message = "not enough memory; try a smaller --batch_size, or a machine with at least 2 GB free"
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            message = one_line(f"{error.strerror or error}{place}")
            if error.errno in FULL:
                message += "; nothing complete is lost: make room and give the command again (training: with --resume)"
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)

    return wrapped
