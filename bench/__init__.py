"""The benchmark: `python -m bench`, the straightforward version it measures against, and its tables."""
