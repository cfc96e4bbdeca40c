"""From a profile and who has the memory to a plan."""

from __future__ import annotations

from typing import Any

import pytest

from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.contracts.tracing import (
    Envelope,
    EnvelopeKey,
    ImageProfile,
    LatentSpace,
    Row,
    Traced,
)
from mysticanvas.contracts.vram import DeviceMemory, Holding, VramStatus
from mysticanvas.orchestrator.arbiter import planning
from mysticanvas.orchestrator.arbiter.planning import Situation
from mysticanvas.vram import llm

MIB = 1 << 20


def traced(phase: Any, batch: Any, per_pixel: float) -> Traced:
    key = EnvelopeKey(
        phase=phase, architecture="Model", config="0" * 64, device="cpu", dtype="float32",
        attention="flash", batch=batch, versions={},
    )  # fmt: skip
    row = Row(live=(0.0, 0.0, 0.0, 0.0, per_pixel, 0.0), workspace=(0.0,) * 6)
    return Traced(key=key, component="model", envelope=Envelope(rows=(row,)))


PROFILE = ImageProfile(
    dtype="float32",
    device="cpu",
    weights={"unet": 400 * MIB, "vae": 100 * MIB},
    latents=LatentSpace(factor=8, channels=4, embedding=64),
    traced=(
        traced("text_encode", "one", 1_000),
        traced("denoise", "more", 10_000),
        # At 512 px, 4,096 pixels of latents: 500 MiB.
        traced("vae_decode", "one", 500 * MIB / 4096),
        traced("vae_decode", "more", 500 * MIB / 4096),
    ),
)
CACHE = MemoryPart(name=llm.CACHE, mib=300, known="measured", device="CPU")
LLM = Holding(worker="llm", pid=2, preset="assistant", mib=2_000, parts=[CACHE])
IMAGE = Holding(worker="image", pid=1, preset=None, mib=450)


def plan(free: float, *holdings: Holding, allowed: Any = "auto", **changes: Any) -> Plan:
    given: dict[str, Any] = {
        "prompt": "x",
        "width": 512,
        "height": 512,
        "num_inference_steps": 20,
        "guidance_scale": 7.5,
        "seed": 0,
        "scheduler": "DDIMScheduler",
    }
    device = DeviceMemory(name="memory budget", total_mib=8_000, free_mib=free)
    status = VramStatus(device=device, is_budget=True, holdings=list(holdings))
    situation = Situation(status, "image")
    return planning.plan(ResolvedParams(**given | changes), PROFILE, situation, 2, allowed)


def test_the_worker_that_would_run_it_counts_as_held() -> None:
    found = plan(1_020, IMAGE)
    assert found.decision == "proceed"
    context = found.terms[0]
    assert (context.name, context.mib, context.known) == ("context", 450, "measured")
    # 450 and 500 of weights, 500 to decode, and the safety of it.
    assert found.total_mib == pytest.approx(1_450 + 15, abs=5)
    assert plan(1_470).terms[0].known == "assumed"


@pytest.mark.parametrize(
    ("free", "decision", "targets"),
    [
        (1_100, "proceed", []),
        (900, "soft_unload", ["assistant"]),
        (700, "mitigate", ["vae_tiling"]),
        (200, "hard_unload", ["assistant"]),
    ],
)
def test_the_assistant_makes_room_in_the_mildest_way(
    free: float, decision: str, targets: list[str]
) -> None:
    found = plan(free, IMAGE, LLM)
    assert found.decision == decision
    assert [action.target for action in found.actions] == targets


def test_what_does_not_fit_comes_with_what_would() -> None:
    fewer = plan(1_100, IMAGE, allowed="none", num_images=4)
    assert (fewer.decision, fewer.suggestion) == ("refuse", {"num_images": 1})
    smaller = plan(600, IMAGE, allowed="none", num_images=4)
    assert smaller.suggestion == {"width": 192, "height": 192, "num_images": 1}
    assert plan(600, IMAGE, allowed="none", **smaller.suggestion).fits
    # In tiles, more would.
    assert plan(600, IMAGE, num_images=4).suggestion != smaller.suggestion
    assert "does not fit" in smaller.explain()
