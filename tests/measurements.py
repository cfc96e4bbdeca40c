"""Measurements as a worker's job would give them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mysticanvas.contracts.measurements import Measurement
from mysticanvas.contracts.recipe import Environment, ResolvedParams
from mysticanvas.contracts.tracing import (
    Envelope,
    EnvelopeKey,
    ImageProfile,
    LatentSpace,
    Row,
    Traced,
)
from mysticanvas.contracts.worker import PhaseUse
from mysticanvas.orchestrator.arbiter.comparison import Ran

MIB = 1 << 20
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def measurement(**changes: Any) -> Measurement:
    """The denoising of a job that took what was predicted."""
    given: dict[str, Any] = {
        "job_id": "job", "attempt": 1, "preset": "sd15", "model": "m" * 64, "key": "k",
        "run_key": "r", "phase": "denoise", "width": 512, "height": 512, "num_images": 1,
        "device": "cpu", "projected": 100 * MIB, "corrected": 100 * MIB, "actual": 100 * MIB,
        "projected_weights": 500 * MIB, "weights": 500 * MIB, "seconds": 1.0, "run_seconds": 2.0,
        "created_at": NOON,
    }  # fmt: skip
    return Measurement(**given | changes)


def traced(phase: Any, batch: Any, per_pixel: float) -> Traced:
    """A phase on a CPU that takes so many bytes for a pixel of the latents."""
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
    decoding_weights=7 * MIB,
    # No numbers in embeddings and latents, so that nothing is held beside the envelopes.
    latents=LatentSpace(factor=8, channels=0, embedding=0),
    # At 512 px, 4,096 pixels of latents.
    traced=(
        traced("text_encode", "one", 10 * MIB / 77),
        traced("denoise", "more", 100 * MIB / 2 / 4096),
        traced("vae_decode", "one", 200 * MIB / 4096),
        traced("vae_decode", "more", 200 * MIB / 4096),
    ),
)
"""A model whose pictures of 512 px, with guidance, take 10, 100 and 200 MiB in the three phases."""


def ran(*phases: PhaseUse, **changes: Any) -> Ran:
    """A job of that model on a CPU."""
    params = ResolvedParams(
        prompt="x", width=512, height=512, num_inference_steps=20, guidance_scale=7.5, seed=1,
        scheduler="DDIMScheduler",
    )  # fmt: skip
    given: dict[str, Any] = {
        "job_id": "job", "attempt": 1, "preset": "sd15", "model": "m" * 64, "params": params,
        "mitigations": (), "phases": phases, "weights": 500 * MIB,
        "environment": Environment(device="cpu", dtype="float32", threads=2, versions={}),
        "seconds": {"load": 9.0, "encode": 0.5, "denoise": 4.0, "decode": 1.0, "save": 0.5},
    }  # fmt: skip
    return Ran(**given | changes)


def use(phase: Any, mib: float, **changes: Any) -> PhaseUse:
    """What a phase took, in MiB."""
    return PhaseUse(phase=phase, bytes=round(mib * MIB), **changes)
