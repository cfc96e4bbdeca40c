"""What users are told of predictions that were wrong: pure."""

from __future__ import annotations

from datetime import datetime

from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.measurements import Measurement
from mysticanvas.contracts.tracing import Phase
from mysticanvas.orchestrator.arbiter.comparison import Ran

_MIB = 1 << 20
_NAMES: dict[Phase, str] = {
    "text_encode": "Encoding the prompt of",
    "denoise": "Denoising",
    "vae_encode": "Encoding the picture of",
    "vae_decode": "Decoding",
}


def of(measured: Measurement, worker: str) -> Alert:
    """The alert for a measurement that its prediction misses.

    Args:
        worker: kind of the one that it was measured on.
    """
    assert measured.projected is not None
    more = measured.actual > measured.projected
    share = abs(measured.actual / measured.projected - 1)
    what = f"{measured.preset!r} at {measured.width} × {measured.height} px"
    if measured.num_images > 1:
        what += f", {measured.num_images} at once,"
    then = (
        "Such jobs can run out of memory unforeseen: leave room for the difference."
        if more
        else "Such jobs may be held back although they would fit."
    )
    return Alert(
        kind="memory_miss",
        severity="warning",
        message=f"{_NAMES[measured.phase]} {what} took {measured.actual / _MIB:,.1f} MiB on "
        f"{measured.device}, {share:.0%} {'more' if more else 'less'} than the "
        f"{measured.projected / _MIB:,.1f} MiB that were predicted, which is too far off to be "
        f"made up for. {then} canvas.vram.history() has the figures.",
        at=measured.created_at,
        worker=worker,
    )


def of_weights(ran: Ran, counted_mib: float, worker: str, at: datetime) -> Alert:
    """The alert for weights that take something else than was counted in their files.

    Args:
        worker: kind of the one that they were measured on.
    """
    took_mib = ran.model_weights / _MIB
    share = abs(took_mib / counted_mib - 1)
    more = took_mib > counted_mib
    return Alert(
        kind="memory_miss",
        severity="warning",
        message=f"The weights of {ran.preset!r} take {took_mib:,.1f} MiB in "
        f"{ran.environment.dtype} on {ran.environment.device}, {share:.0%} "
        f"{'more' if more else 'less'} than the {counted_mib:,.1f} MiB that were counted in its "
        "files. The preset says what was measured now; jobs are planned with what was counted.",
        at=at,
        worker=worker,
    )
