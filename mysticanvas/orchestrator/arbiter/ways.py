"""The ways in which pictures can be made, and what each means for their memory: pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.mitigations import tile_px
from mysticanvas.contracts.tracing import ImageProfile
from mysticanvas.orchestrator.arbiter.suggestion import Size

ON_CPU = "vae_cpu"


class Way(NamedTuple):
    """One of them."""

    mitigations: tuple[str, ...]
    work: ImageWork


def ways(profile: ImageProfile, size: Size, guided: bool) -> list[Way]:
    """The plain way first, then with pictures decoded one by one, in tiles, and, where there is a
    CPU beside the device, there."""
    longer = max(size.width, size.height)
    one_by_one = ("vae_slicing",) if size.num_images > 1 else ()
    named = [(), one_by_one] if one_by_one else [()]
    if tile_px(longer) < longer:
        named.append((*one_by_one, "vae_tiling"))
    if profile.device == "cuda":
        named.append((*one_by_one, ON_CPU))
    return [Way(names, work(profile, size, guided, names)) for names in named]


def work(
    profile: ImageProfile, size: Size, guided: bool, mitigations: Sequence[str] = ()
) -> ImageWork:
    """What decides the memory of pictures that are made with these mitigations."""
    longer = max(size.width, size.height)
    return ImageWork(
        width=size.width,
        height=size.height,
        num_images=size.num_images,
        guided=guided,
        tokens=profile.tokens,
        lora_bytes=profile.lora_bytes,
        tile_px=tile_px(longer) if "vae_tiling" in mitigations else None,
        sliced="vae_slicing" in mitigations,
        decode_on_cpu=ON_CPU in mitigations,
    )
