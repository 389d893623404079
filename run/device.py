"""Where the arithmetic is done, and by how many threads."""

import contextlib
import ctypes

import torch

from common.errors import UserError


def choose_device(option, precision=None):
    """The torch.device that the flags ask for. precision: of the arithmetic, in place of the option's."""
    precision = precision or option.precision
    keep_memory()
    if option.threads:
        torch.set_num_threads(option.threads)
    if option.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch finds no GPU here; use --device cpu, or install a GPU driver")
    if option.cuda and not torch.cuda.is_available():
        print("WARNING: no GPU is available, going on on the CPU")
    cuda = option.device != "cpu" and torch.cuda.is_available()
    torch.backends.cudnn.benchmark = option.cudnn_benchmark
    if precision == "tf32" and not cuda:
        raise UserError("--precision tf32 is arithmetic of a GPU, and this runs on the CPU; use float32 or bfloat16")
    tf32 = precision == "tf32"  # PyTorch's own default is tf32 in convolutions alone
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    return torch.device("cuda" if cuda else "cpu")


def keep_memory():
    """Lets glibc keep freed memory: giving 12 MB buffers back to the system costs page faults in every iteration."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD
