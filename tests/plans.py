"""Plans of requests for pictures, by a model and free memory that are given by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from measurements import traced

from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.mitigations import OFFLOADS
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.contracts.tracing import ImageProfile, LatentSpace, Moved
from mysticanvas.contracts.vram import DeviceMemory, Holding, VramStatus
from mysticanvas.orchestrator.arbiter import planning
from mysticanvas.orchestrator.arbiter.planning import Experience, Situation
from mysticanvas.vram import llm

MIB = 1 << 20
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
NOTHING = Experience()
ON_GPU = PROFILE.model_copy(update={"device": "cuda"})
LIGHT = ON_GPU.model_copy(
    update={"traced": (ON_GPU.traced[0], traced("denoise", "more", 100), *ON_GPU.traced[2:])}
)
"""A model whose decoder alone takes much, on a device with a CPU beside it."""


def resolved(**changes: Any) -> ResolvedParams:
    given: dict[str, Any] = {
        "prompt": "x",
        "width": 512,
        "height": 512,
        "num_inference_steps": 20,
        "guidance_scale": 7.5,
        "seed": 0,
        "scheduler": "DDIMScheduler",
    }
    return ResolvedParams(**given | changes)


def plan(
    free: float,
    *holdings: Holding,
    allowed: Any = "auto",
    profile: ImageProfile = PROFILE,
    asked: Sequence[str] = (),
    known: Experience = NOTHING,
    system_mib: float | None = None,
    holds: bool = False,
    **changes: Any,
) -> Plan:
    device = DeviceMemory(name="memory budget", total_mib=8_000, free_mib=free)
    status = VramStatus(device=device, is_budget=True, holdings=list(holdings))
    situation = Situation(status, "image", system_mib=system_mib, holds=holds)
    return planning.plan(resolved(**changes), profile, situation, 2, allowed, asked, known)


def terms(found: Plan) -> dict[str, tuple[float, str]]:
    return {term.name: (term.mib, term.known) for term in found.terms}


def on_gpu(**changes: Any) -> ImageProfile:
    """A model of 7,000 MiB whose decoder takes little, on a device with a CPU beside it."""
    parts = {"text_encode": "text_encoder", "denoise": "unet", "vae_decode": "vae"}
    at_once = {"text_encoder": (50, 50), "unet": (60, 2_000), "vae": (10, 200)}
    found = tuple(
        each.model_copy(update={"component": parts[each.key.phase]}) for each in PROFILE.traced
    )
    given: dict[str, Any] = {
        "device": "cuda",
        "weights": {"text_encoder": 1_800 * MIB, "unet": 5_000 * MIB, "vae": 200 * MIB},
        "traced": found,
        "offloads": OFFLOADS,
        "moved": {
            name: Moved(layers=layers * MIB, groups=groups * MIB)
            for name, (layers, groups) in at_once.items()
        },
    }
    return PROFILE.model_copy(update=given | changes)
