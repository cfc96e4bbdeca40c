"""Amounts of memory, and how each is known."""

from __future__ import annotations

from typing import Literal

from mysticanvas.contracts.base import Contract

Known = Literal["exact", "traced", "probed", "measured", "assumed"]
"""`exact` by arithmetic on files and parameters, `traced` by running the architecture without
numbers, `probed` by asking the device or the library, `measured` in an earlier run, `assumed` where
nothing better is known."""

DeviceKind = Literal["cpu", "cuda", "mps"]


class Term(Contract):
    """A part of a prediction."""

    name: str
    """Such as `weights.unet` or `kv cache`."""
    mib: float
    known: Known


LORAS = "weights.loras"
"""Name of the part that the LoRAs of a job take beside the weights of its model."""

CONTEXT = "context"
"""Name of the part that a process takes of a GPU outside of its allocator, as it was when it was
made."""

IN_USE = "in use"
"""Name of the part that a process has of a GPU for computing: what its job has taken beside
weights, and what libraries keep."""


class MemoryPart(Term):
    """A part of what a process holds."""

    device: str
    """Where it lies, as the library calls it: `CPU`, `CUDA0`, `CUDA_Host`."""
