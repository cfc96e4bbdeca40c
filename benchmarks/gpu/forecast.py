"""Predictions of points by the product's arithmetic, from its own profiles of the models. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from benchmarks.gpu.points import Point
from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.mitigations import tile_px
from mysticanvas.contracts.tracing import BatchClass, ImageProfile, Phase
from mysticanvas.vram.image import Surroundings, predict, safety

MIB = 1 << 20


class Batches(NamedTuple):
    """Whether a model's denoiser and autoencoder are called with one item, or with more."""

    model: str
    denoise: BatchClass
    images: BatchClass


class Forecast(NamedTuple):
    """Bytes that a point is predicted to take."""

    phases: dict[str, int]
    """Phase -> all that is given out meanwhile, weights included."""
    activations: dict[str, int]
    """Phase -> what of it depends on the request."""
    allocated: int
    """Most that is given out."""
    safety: int
    """What the product adds to that."""
    total: int
    """What the product plans with: context, libraries and safety included."""


def batches(point: Point) -> Batches:
    """The class of a point's batches."""
    calls = point.images * (2 if point.guided else 1)
    single = point.images == 1 or "vae_slicing" in point.mitigations
    return Batches(point.model, "one" if calls == 1 else "more", "one" if single else "more")


def wanted(points: Iterable[Point]) -> list[Batches]:
    """The classes that profiles are needed for."""
    return list(dict.fromkeys(batches(point) for point in points))


def merged(profiles: Mapping[Batches, ImageProfile]) -> dict[str, ImageProfile]:
    """Model -> its profile with the envelopes for all classes."""
    found: dict[str, ImageProfile] = {}
    for (model, *_), profile in profiles.items():
        known = found[model].traced if model in found else ()
        traced = {each.key.digest: each for each in (*known, *profile.traced)}
        found[model] = profile.model_copy(update={"traced": tuple(traced.values())})
    return found


def work_of(point: Point) -> ImageWork:
    """A point as the product describes a request."""
    tiled = "vae_tiling" in point.mitigations
    return ImageWork(
        width=point.width,
        height=point.height,
        num_images=point.images,
        guided=point.guided,
        guided_apart=point.follows.apart,
        # All prompts of the points have an empty one.
        negative=point.follows.encodes(""),
        tokens=point.tokens,
        tile_px=tile_px(max(point.width, point.height)) if tiled else None,
        sliced="vae_slicing" in point.mitigations,
        decode_on_cpu=point.on_cpu,
    )


def forecast(
    profile: ImageProfile,
    point: Point,
    around: Surroundings,
    factors: Mapping[Phase, float] | None = None,
) -> Forecast:
    """The prediction of a point.

    Where pictures are decoded on the CPU, decoding counts for nothing.

    Args:
        around: context and libraries, as they were probed.
        factors: phase -> what its activations are found to be off by.

    Raises:
        LookupError: the profile lacks an envelope.
    """
    made = predict(profile, work_of(point), around, factors)
    weights = sum(profile.weights.values())
    activations = {phase: round(mib * MIB) for phase, mib in made.phases_mib.items()}
    extra = {"vae_decode": profile.decoding_weights}
    phases: dict[str, int] = {
        phase: weights + around.workspace_bytes + extra.get(phase, 0) + size
        for phase, size in activations.items()
    }
    top = max(phases, key=lambda phase: phases[phase])
    added = safety(activations[top])  # type: ignore[index]
    return Forecast(
        phases=phases,
        activations={str(phase): size for phase, size in activations.items()},
        allocated=phases[top],
        safety=added,
        total=around.context_bytes + phases[top] + added,
    )


def activations_of(measured: Mapping[str, int], found: Forecast) -> dict[str, int]:
    """Phase -> what a measurement shows of what depends on the request.

    Args:
        measured: phase -> bytes that were given out.
    """
    return {
        phase: measured[phase] - (found.phases[phase] - size)
        for phase, size in found.activations.items()
        if phase in measured
    }
