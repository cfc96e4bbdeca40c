"""The ways in which pictures can be made, and what each means for their memory: pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.mitigations import Offload, offload_of, tile_px
from mysticanvas.contracts.tracing import ImageProfile
from mysticanvas.orchestrator.arbiter.suggestion import Size
from mysticanvas.vram import offload

ON_CPU = "vae_cpu"


SLOWDOWNS: dict[Offload, float] = {
    "offload_model": 1.5,
    "offload_group": 3.0,
    "offload_sequential": 10.0,
}
"""Times as long as the plain way that an offloaded job takes. Assumed: each weight crosses the bus
once for a job, at each step while another layer computes, or at each step with everything waiting
for it."""


class Way(NamedTuple):
    """One of them."""

    mitigations: tuple[str, ...]
    work: ImageWork

    @property
    def offload(self) -> Offload | None:
        """How weights are offloaded."""
        return offload_of(self.mitigations)


def ways(profile: ImageProfile, size: Size, guided: bool) -> list[Way]:
    """The plain way first, then with pictures decoded one by one, in tiles, and, where there is a
    CPU beside the device, there; then all of these with weights offloaded, the fastest first."""
    longer = max(size.width, size.height)
    one_by_one = ("vae_slicing",) if size.num_images > 1 else ()
    named = [(), one_by_one] if one_by_one else [()]
    if tile_px(longer) < longer:
        named.append((*one_by_one, "vae_tiling"))
    if profile.device == "cuda":
        named.append((*one_by_one, ON_CPU))
    kinds = [(), *((kind,) for kind in offload.possible(profile))]
    all_names = [(*names, *kind) for kind in kinds for names in named]
    return [Way(names, work(profile, size, guided, names)) for names in all_names]


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
