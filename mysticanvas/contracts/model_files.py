"""What the process that reads the headers of model files says of one."""

from __future__ import annotations

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.problem import Problem


class Inspection(Contract):
    """A single file: what it is, or why it is nothing that can be loaded."""

    architecture: str | None = None
    """Name of a folder in the package's `architectures`."""
    numbers: int = 0
    """How many numbers its tensors have."""
    problem: Problem | None = None
