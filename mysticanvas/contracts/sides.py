"""What sides the pictures of a pipeline can have, by its class."""

from __future__ import annotations

from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.contracts.refusal import refused
from mysticanvas.settings import MAX_SIDE_PX

_PATCHED_PX = 16
_PATCHED = ("StableDiffusion3", "Flux", "QwenImage", "ZImage")
"""Beginnings of names of classes whose denoiser takes two by two latents, of 8 px each, at once."""


def check(pipeline: str, params: ResolvedParams) -> None:
    """Refuse a side that a pipeline refuses, or rounds without a word.

    Args:
        pipeline: name of its class, such as `FluxPipeline`.

    Raises:
        InvalidRequest: names the side.
    """
    if not pipeline.startswith(_PATCHED):
        return
    for name, side in {"width": params.width, "height": params.height}.items():
        if side % _PATCHED_PX:
            allowed = f"a multiple of {_PATCHED_PX} up to {MAX_SIDE_PX:,} (pixels) for {pipeline}"
            raise refused(name, side, allowed)
