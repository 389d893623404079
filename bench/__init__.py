"""The benchmark: `python -m bench`, the straightforward version it measures against, and its tables."""

import common.before_torch  # noqa: F401
