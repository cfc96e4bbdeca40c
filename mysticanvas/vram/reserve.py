"""What CUDA's allocator has reserved beyond what is given out, as a term of a prediction: pure."""

from __future__ import annotations

from mysticanvas.contracts.memory import Term
from mysticanvas.vram.image import MIB, Prediction

RESERVE = "reserve"
RESERVE_SHARE, RESERVE_LEAST_MIB = 0.32, 48.0
"""Of the activations at the peak, and at least, with segments that grow: no less than at any point
that was measured on an H200 (benchmarks/results/gpu-nvidia-h200.json). Most points are at 0.16 to
0.26; above are only small pictures, and tiles."""


def term(made: Prediction, reserved: int | None) -> Term:
    """The reserve of a job.

    Args:
        made: its prediction, without corrections.
        reserved: bytes that the allocator was found to have at the peak, all that is given out
            included; None where nobody found out.
    """
    if reserved is None:
        share = RESERVE_SHARE * made.phases_mib[made.phase]
        return Term(name=RESERVE, mib=max(share, RESERVE_LEAST_MIB), known="assumed")
    beyond = reserved / MIB - made.allocated_mib
    return Term(name=RESERVE, mib=max(0.0, beyond), known="traced")
