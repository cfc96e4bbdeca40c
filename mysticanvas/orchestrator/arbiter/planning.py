"""From what a request asks, and who has the memory, to a plan: pure."""

from __future__ import annotations

from collections.abc import Sequence

from mysticanvas.contracts.mitigations import Allowed, tile_px
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.contracts.tracing import ImageProfile
from mysticanvas.contracts.vram import Holding, VramStatus
from mysticanvas.orchestrator.arbiter.policy import (
    Device,
    Request,
    Resident,
    Variant,
    decide,
    most_mib,
)
from mysticanvas.orchestrator.arbiter.suggestion import Size, suggest
from mysticanvas.vram import image, llm
from mysticanvas.vram.image import ImageWork, Surroundings

MIB = 1 << 20
CONTEXT_MIB = 450.0
"""Of a worker with its libraries and no model, on a CPU; a context of CUDA takes about as much."""
CUBLAS_BYTES = 8 * MIB
_CONTEXT_PARTS = (llm.CACHE, llm.COMPUTE, llm.OUTPUT)
_RELOAD_S, _CONTEXT_S = 10.0, 0.1
"""What making a model, and its context, ready again is taken to cost."""


def plan(
    params: ResolvedParams,
    profile: ImageProfile,
    status: VramStatus,
    worker: str,
    threads: int,
    allowed: Allowed,
) -> Plan:
    """What a request would take, and what would be done for it.

    Args:
        profile: of its model, with envelopes for one picture and for as many as are asked for.
        worker: kind of the one that would run it.
        threads: that it computes with.
    """
    own = next((each for each in status.holdings if each.worker == worker), None)
    residents = [_resident(each) for each in status.holdings if each is not own]
    around = _surroundings(profile, own, threads)
    size = Size(params.width, params.height, params.num_images)
    guided = params.guidance_scale > 1
    request = Request(
        variants=_variants(profile, size, guided, around),
        held_mib=0.0 if own is None else own.mib,
        allowed=allowed,
    )
    device = Device(status.device.free_mib)
    made = decide(request, residents, device)
    if made.fits:
        return made

    def needs_mib(smaller: Size) -> float:
        found = _variants(profile, smaller, guided, around)
        return min(each.total_mib for each in found if allowed == "auto" or each is found[0])

    fitting = suggest(size, needs_mib, most_mib(residents, device, request.held_mib))
    return made.model_copy(update={"suggestion": fitting})


def _variants(
    profile: ImageProfile, size: Size, guided: bool, around: Surroundings
) -> Sequence[Variant]:
    """The plain way first, then with pictures decoded one by one and in tiles."""
    work = ImageWork(
        width=size.width,
        height=size.height,
        num_images=size.num_images,
        guided=guided,
        tokens=profile.tokens,
    )
    tile = tile_px(max(size.width, size.height))
    several = size.num_images > 1
    ways: list[tuple[tuple[str, ...], ImageWork]] = [((), work)]
    if several:
        ways.append((("vae_slicing",), work.model_copy(update={"sliced": True})))
    if tile < max(size.width, size.height):
        names = ("vae_slicing", "vae_tiling") if several else ("vae_tiling",)
        ways.append((names, work.model_copy(update={"sliced": several, "tile_px": tile})))
    return [
        Variant(
            image.predict(profile, each, around).terms,
            names,
            "mitigate" if names else "proceed",
            changes_pixels=bool(names),
        )
        for names, each in ways
    ]


def _surroundings(profile: ImageProfile, own: Holding | None, threads: int) -> Surroundings:
    on_cpu = profile.device == "cpu"
    workspace = CUBLAS_BYTES if profile.device == "cuda" else 0
    if own is None or not on_cpu:
        context, known = CONTEXT_MIB, "assumed"
    else:
        context, known = own.mib - sum(part.mib for part in own.parts), "measured"
    return Surroundings.model_validate(
        {
            "context_bytes": round(max(0.0, context) * MIB),
            "context_known": known,
            "workspace_bytes": workspace,
            "threads": threads,
        }
    )


def _resident(holding: Holding) -> Resident:
    context = sum(part.mib for part in holding.parts if part.name in _CONTEXT_PARTS)
    return Resident(
        name=holding.preset or f"the {holding.worker} worker",
        model_mib=holding.mib,
        context_mib=context,
        reload_s=_RELOAD_S,
        context_s=_CONTEXT_S,
    )
