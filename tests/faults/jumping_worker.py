"""A worker whose wall clock is set all the time; started as a worker is, with its arguments."""

from __future__ import annotations

from clocks import jump

# What is there by the time of the jump has its clock set.
import mysticanvas.logs.line  # noqa: F401
from mysticanvas.workers import __main__ as worker

if __name__ == "__main__":
    jump()
    worker.main()
