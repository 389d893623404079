"""Too little memory ends in one line too."""

import resource

import pytest

from tests.processes import run

# train.py with MEGABYTES of address space beyond what it takes to start.
LIMITED = """
import resource, sys
import train
room = int(sys.argv.pop(1)) << 20
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + room,) * 2)
sys.exit(train.main())
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="this system has no limit of address space")
@pytest.mark.parametrize("megabytes", [50, *(pytest.param(m, marks=pytest.mark.slow) for m in (10, 200, 300, 400))])
def test_too_little_memory(tmp_path, megabytes):
    flags = f"-e x --color_var 0.02 --from_scratch --batch_size 60000 --device cpu --save_dir {tmp_path}"
    failed = run(megabytes, *flags.split(), program=("-c", LIMITED))
    assert failed.returncode == 2, failed.stderr
    assert failed.stderr.startswith(
        ("error: not enough memory; try a smaller", "error: torchvision could not be loaded: not enough memory")
    )
    assert failed.stderr.count("\n") == 1
