"""The benchmark of speed, `python -m bench`, and the straightforward version that it measures against."""

import common.before_torch  # noqa: F401
