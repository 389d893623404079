"""Where the arithmetic is done, and by how many threads."""

import contextlib
import ctypes

import torch

from common.errors import UserError, one_line


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
    if cuda:
        try_gpu()
    elif precision == "tf32":
        raise UserError("--precision tf32 is arithmetic of a GPU, and this runs on the CPU; use float32 or bfloat16")
    elif precision == "bfloat16" and not torch.cpu._is_avx512_bf16_supported():
        print("WARNING: this processor may have no hardware for bfloat16; if so, float32 is ten times as fast")
    tf32 = precision == "tf32"  # PyTorch's own default is tf32 in convolutions alone
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    return torch.device("cuda" if cuda else "cpu")


def try_gpu():
    """Computes something on the GPU. Raises UserError where PyTorch lists one that it cannot use."""
    try:
        (torch.ones(2).to("cuda") + 1).sum().item()
    except RuntimeError as error:  # an old card, a driver that does not fit, another process that has it alone
        reason = one_line(str(error).splitlines()[0])
        raise UserError(f"the GPU cannot be used ({reason}); --device cpu computes without it") from None


def keep_memory():
    """Lets glibc keep freed memory: giving 12 MB buffers back to the system costs page faults in every iteration."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD
