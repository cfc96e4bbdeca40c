"""The ways in which pictures can be made, and what each means for their memory: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mysticanvas.contracts import conditioning
from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.mitigations import (
    Decoding,
    Mitigation,
    Offload,
    offload_of,
    tile_px,
)
from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.contracts.tracing import ImageProfile
from mysticanvas.orchestrator.arbiter.suggestion import Size
from mysticanvas.vram import offload

ON_CPU: Decoding = "vae_cpu"
SLOWDOWNS: dict[Mitigation, float] = {
    "vae_slicing": 1.0,
    "vae_tiling": 1.4,
    "vae_cpu": 20.0,
    "offload_model": 7.0,
    "offload_group": 10.0,
    "offload_sequential": 12.0,
}
"""Times as long as the plain way that a job is assumed to take with one mitigation, until such jobs
have run in both ways: the upper end of what was measured on an H200, so that nobody waits longer
than was said. Two steps of SD 1.5 and XL at 1024 px, one picture or two, took 2.8 to 7.0 times as
long by components, 3.3 to 9.6 with the denoiser layer by layer, 4.3 to 11.1 with all of it, their
setting up included, and 1.2 to 1.4 in tiles (benchmarks/results/gpu-offload-nvidia-h200.jsonl).
Weights that cross the bus once for a job matter less with more steps. Sixteen steps of XL at 1024
px took 2.2 s, and 21 s more where they were decoded on the CPU (gpu-session-nvidia-h200.jsonl).
Slices are the same operations one after the other."""


def slowdown(mitigations: Iterable[Mitigation]) -> float:
    """Times as long as the plain way that a job is assumed to take with all of these: each adds
    seconds of its own."""
    return 1.0 + sum(SLOWDOWNS[each] - 1.0 for each in mitigations)


class Way(NamedTuple):
    """One of them."""

    mitigations: tuple[Mitigation, ...]
    work: ImageWork

    @property
    def offload(self) -> Offload | None:
        """How weights are offloaded."""
        return offload_of(self.mitigations)


class Asked(NamedTuple):
    """What of a request decides its memory beside the size, in the pipeline of a model."""

    guided: bool
    guided_apart: bool
    negative: bool
    tokens: int

    @classmethod
    def of(cls, profile: ImageProfile, params: ResolvedParams) -> Asked:
        """That of a request for pictures."""
        follows = conditioning.of(profile.pipeline)
        prompts = (params.prompt, params.negative_prompt)
        return cls(
            guided=follows.is_guided(params.guidance_scale) and not profile.distilled,
            guided_apart=follows.apart,
            negative=follows.encodes(params.negative_prompt),
            tokens=max(follows.tokens_of(each, profile.tokens) for each in prompts),
        )


def ways(profile: ImageProfile, size: Size, asked: Asked) -> list[Way]:
    """The plain way first, then with pictures decoded one by one, in tiles, and, where there is a
    CPU beside the device, there; then all of these with weights offloaded, the fastest first."""
    longer = max(size.width, size.height)
    sliced = size.num_images > 1 and "vae_slicing" in profile.decodings
    one_by_one: tuple[Mitigation, ...] = ("vae_slicing",) if sliced else ()
    named: list[tuple[Mitigation, ...]] = [(), one_by_one] if one_by_one else [()]
    if tile_px(longer) < longer and "vae_tiling" in profile.decodings:
        named.append((*one_by_one, "vae_tiling"))
    if profile.device == "cuda" and ON_CPU in profile.decodings:
        named.append((*one_by_one, ON_CPU))
    kinds: list[tuple[Mitigation, ...]] = [(), *((kind,) for kind in offload.possible(profile))]
    all_names = [(*names, *kind) for kind in kinds for names in named]
    return [Way(names, work(profile, size, asked, names)) for names in all_names]


def work(
    profile: ImageProfile, size: Size, asked: Asked, mitigations: Sequence[str] = ()
) -> ImageWork:
    """What decides the memory of pictures that are made with these mitigations."""
    longer = max(size.width, size.height)
    return ImageWork(
        width=size.width,
        height=size.height,
        num_images=size.num_images,
        guided=asked.guided,
        guided_apart=asked.guided_apart,
        negative=asked.negative,
        tokens=asked.tokens,
        lora_bytes=profile.lora_bytes,
        tile_px=tile_px(longer) if "vae_tiling" in mitigations else None,
        sliced="vae_slicing" in mitigations,
        decode_on_cpu=ON_CPU in mitigations,
    )
