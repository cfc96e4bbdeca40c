"""What users are told of predictions that were wrong: pure."""

from __future__ import annotations

from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.measurements import Measurement
from mysticanvas.contracts.tracing import Phase

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
