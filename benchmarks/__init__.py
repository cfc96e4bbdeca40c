"""The figures of the README: `python -m benchmarks` measures all, or those that it is given."""
