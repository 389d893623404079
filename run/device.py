"""Where the arithmetic is done, and by how many threads."""

import contextlib
import ctypes
import os
import time
from pathlib import Path

import torch

from common.errors import UserError, one_line

USUAL_THREADS = torch.get_num_threads()  # PyTorch's own choice, before a run of this process set another
EMULATED = 4  # times slower than float32, and a processor has no hardware for bfloat16


def choose_device(option, precision=None):
    """The torch.device that the flags ask for. precision: of the arithmetic, in place of the option's."""
    precision = precision or getattr(option, "precision", None)
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
    tf32 = precision == "tf32"  # PyTorch's own default is tf32 in convolutions alone
    if tf32 and not cuda:
        raise UserError("--precision tf32 is arithmetic of a GPU, and this runs on the CPU; use float32 or bfloat16")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    if not cuda and precision == "bfloat16" and emulates_bfloat16():
        print("WARNING: this processor has no hardware for bfloat16: an iteration takes ten times as long; use float32")
    return torch.device("cuda" if cuda else "cpu")


def settle_threads(option, device):
    """Sets --threads for a new run that computes on the CPU, where nobody gave it: fewer where other work is going on.

    Threads that share a processor with another process are waited for by all others, at the end of every operator:
    beside one busy process, two threads on two processors take three times as long as alone, one thread less than two
    times (`python -m bench --neighbour`). What was chosen is recorded, and kept when the run goes on.
    """
    if option.threads or device.type != "cpu" or (idle := idle_processors()) is None:
        return
    option.threads = max(1, min(USUAL_THREADS, round(idle)))
    torch.set_num_threads(option.threads)
    if option.threads < USUAL_THREADS:
        print(
            f"note: other work is going on here, so {option.threads} of {USUAL_THREADS} threads are used; "
            "--threads N chooses"
        )


def idle_processors(seconds=0.4):
    """How many of the processors that this process may use have nothing to do, measured; None where nobody tells."""
    before = processor_times()
    time.sleep(seconds)
    after = processor_times()
    if not before or not after:
        return None
    return sum(
        (after[name][0] - idle) / max(1, after[name][1] - total)
        for name, (idle, total) in before.items()
        if name in after
    )


def processor_times():
    """{processor: (idle, all) clock ticks} of those that this process may use; {} where the system does not tell."""
    try:
        mine = {f"cpu{n}" for n in os.sched_getaffinity(0)}
        lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
        ticks = {line[0]: [*map(int, line[1:9])] for line in lines if line and line[0] in mine}
    except (AttributeError, OSError, ValueError):
        return {}
    return {name: (values[3] + values[4], sum(values)) for name, values in ticks.items() if len(values) > 4}


def try_gpu():
    """Computes something on the GPU. Raises UserError where PyTorch lists one that it cannot use."""
    try:
        (torch.ones(2).to("cuda") + 1).sum().item()
    except RuntimeError as error:  # an old card, a driver that does not fit, another process that has it alone
        reason = one_line(str(error).splitlines()[0])
        raise UserError(f"the GPU cannot be used ({reason}); --device cpu computes without it") from None


def matrix_rate(dtype, device, size):
    """Best rate of a square matrix product, GFLOP/s."""
    own = torch.Generator().manual_seed(0)  # the run's own random numbers stay what they are
    a = torch.randn(size, size, generator=own).to(device, dtype)
    best = 0.0
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - start) / 1e9)
    return best


def emulates_bfloat16():
    """Whether the CPU multiplies so slowly in bfloat16 that it must have no hardware for it."""
    cpu = torch.device("cpu")
    return matrix_rate(torch.bfloat16, cpu, 256) < matrix_rate(torch.float32, cpu, 256) / EMULATED


def keep_memory():
    """Lets glibc keep freed memory: giving 12 MB buffers back to the system costs page faults in every iteration."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD
