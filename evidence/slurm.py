"""Workers of reproduce.py as jobs of a SLURM cluster, through submitit (requirements/slurm.txt)."""

import os
import sys
from pathlib import Path

from common.errors import UserError, one_line


def submit(option, cluster="slurm"):
    """Submits `option.workers` jobs, each of which runs this program with the same flags. Returns submitit's jobs.

    cluster: "slurm", or "local" for processes on this machine (of the tests).
    """
    try:
        import submitit
    except ModuleNotFoundError:
        raise UserError("--slurm needs submitit: pip install -r requirements/slurm.txt") from None
    try:
        executor = submitit.AutoExecutor(Path(option.save_dir, "slurm"), cluster=cluster)
    except RuntimeError as error:
        raise UserError(f"--slurm: there is no SLURM here ({error}); run it on a login node, or without") from None
    executor.update_parameters(
        name="reproduce",
        timeout_min=option.minutes,
        cpus_per_task=option.threads or 1,
        gpus_per_node=int(option.device == "cuda"),
        slurm_partition=option.slurm,
    )
    command = [sys.executable, str(Path(__file__).resolve().parents[1] / "reproduce.py")]
    for flag in (
        "dataset",
        "rhos",
        "methods",
        "color_vars",
        "seeds",
        "studies",
        "epochs",
        "schedule",
        "precision",
        "save_dir",
        "data_dir",
        "device",
        "threads",
    ):
        value = getattr(option, flag)
        if value is not None:
            command += [f"--{flag}", *map(str, value if isinstance(value, list | tuple) else [value])]
    # A command and not a function of ours, as submitit pickles what it is given.
    worker = submitit.helpers.CommandFunction(command, cwd=os.getcwd())
    try:
        return [executor.submit(worker) for _ in range(option.workers)]
    except Exception as error:  # submitit passes on whatever sbatch says, in exceptions of its own
        said = one_line(" ".join(str(error).split()))[-200:]
        raise UserError(f"--slurm: the job was not taken ({said}); see to the partition and the limits") from None
