"""The memory of an image job, term by term.

peak = context + weights + LoRAs + max over phases (held + envelope) + safety

Weights that are offloaded count in the phase that needs them, as far as they are moved in at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import Field

from mysticanvas.contracts import conditioning
from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.memory import LORAS, Known, Term
from mysticanvas.contracts.mitigations import TILE_OVERLAP, Offload
from mysticanvas.contracts.tracing import BatchClass, Envelope, ImageProfile, Phase, Shape, Traced
from mysticanvas.vram import envelope, offload as offloading, tiling
from mysticanvas.vram.envelope import Need

MIB = 1 << 20
SAFETY_SHARE = 0.03
"""Of a phase: the largest error that measurements against real runs may show."""
SAFETY_LEAST = 8 * MIB
"""For what no trace has: tables of a scheduler, small constants, rounding."""

_SIZES = {"float32": 4, "float16": 2, "bfloat16": 2}
_COLOURS = 3
_PATCH = 2
"""Side of the pixels of latents that are a token of a picture, where those are filled up."""
OFFLOADED = "weights, offloaded"
LOADING = "weights, while they are loaded"
_CONTEXT, _SAFETY = "context", "safety"
_NOT_GIVEN_OUT = (_CONTEXT, _SAFETY)
_HISTORY = 2
"""Latents that a scheduler of several steps keeps from the steps before."""


class Surroundings(Contract):
    """What does not depend on the model."""

    context_bytes: int = Field(default=0, ge=0)
    """Of the process before a model is loaded, and of the device's context."""
    context_known: Known = "assumed"
    workspace_bytes: int = Field(default=0, ge=0)
    """That libraries keep for all operations, such as 8 MiB of cuBLAS."""
    threads: int = Field(default=1, ge=1)
    """That compute, on a CPU."""


class Prediction(Contract):
    """The peak of a job, and what it consists of."""

    terms: tuple[Term, ...]
    total_mib: float
    """Sum of the terms."""
    phase: Phase
    """The one with the peak."""
    phases_mib: dict[Phase, float]
    """Activations of each: what is held, the envelope and the workspace."""

    @property
    def allocated_mib(self) -> float:
        """What is given out at the peak: all but the context and what is added for safety."""
        return sum(term.mib for term in self.terms if term.name not in _NOT_GIVEN_OUT)


class _Load(NamedTuple):
    """A phase at its peak, in bytes."""

    phase: Phase
    held: int
    need: Need
    moved: int = 0
    """Weights that are moved in for it."""
    converted: int = 0
    """What weights take more in it."""
    component: str = ""

    @property
    def activations(self) -> int:
        return self.held + self.need.total

    @property
    def total(self) -> int:
        return self.activations + self.moved + self.converted


def predict(
    profile: ImageProfile,
    work: ImageWork,
    around: Surroundings,
    factors: Mapping[Phase, float] | None = None,
    offload: Offload | None = None,
) -> Prediction:
    """The peak of a job.

    Args:
        offload: how its weights are offloaded.
        factors: phase -> what `calibration` found its envelope to be off by.

    Raises:
        LookupError: the profile has no envelope for the work.
    """
    loads = [
        _scaled(each, factors or {}) for each in _loads(profile, work, around.threads, offload)
    ]
    most = max(loads, key=lambda load: load.total)
    # Of several text encoders, the largest.
    phases = {
        load.phase: load.activations / MIB
        for load in sorted(loads, key=lambda load: load.activations)
    }
    terms = (*_terms_of(profile, work, around, offload), *_terms_at(most, profile, offload))
    return Prediction(
        terms=terms,
        total_mib=sum(term.mib for term in terms),
        phase=most.phase,
        phases_mib=phases,
    )


def beside(
    profile: ImageProfile,
    work: ImageWork,
    threads: int,
    offload: Offload | None = None,
    loads: bool = False,
) -> tuple[Term, ...]:
    """What a job on a device takes of the system's memory beside it.

    Args:
        threads: that compute on the CPU.
        offload: how its weights are offloaded.
        loads: whether they are loaded for it, which goes through the system's memory.

    Raises:
        LookupError: the profile has no envelope for the work.
    """
    terms = []
    weights_bytes = sum(profile.weights.values())
    if offload is not None:
        pinned = offloading.pinned(profile, offload)
        terms.append(_term(OFFLOADED, weights_bytes + pinned, "assumed" if pinned else "exact"))
    elif loads and profile.device == "cuda":
        # Some may only be mapped from their files, which are not known here.
        terms.append(_term(LOADING, weights_bytes, "assumed"))
    if work.decode_on_cpu:
        shape = _latents(profile, work)
        [found] = _traced(profile, "vae_decode", _batch("vae_decode", shape, work))
        need = _decoding(found.envelope, profile, work, shape, threads)
        # In float32 there, of which as many numbers live as of any other format on the device.
        wider = _SIZES["float32"] // _SIZES[found.key.dtype]
        live = need.live * wider
        weights = profile.weights.get(found.component, 0) + profile.decoding_weights
        terms += [
            _term(f"weights.{found.component}, on the CPU", weights * wider, "exact"),
            _term("activations.vae_decode, on the CPU", live, "traced"),
            _term("workspace.vae_decode, on the CPU", need.workspace, "assumed"),
            _term(f"{_SAFETY}, on the CPU", safety(live + need.workspace), "assumed"),
        ]
    return tuple(terms)


def envelopes_of(profile: ImageProfile, work: ImageWork) -> dict[Phase, tuple[str, ...]]:
    """Phase -> digests of the keys of the envelopes that its prediction is made of.

    Raises:
        LookupError: the profile has no envelope for the work.
    """
    return {
        phase: tuple(
            each.key.digest for each in _traced(profile, phase, _batch(phase, shape, work))
        )
        for phase, shape in _shapes(profile, work).items()
    }


def safety(activations: int) -> int:
    """Bytes added to what is predicted, against errors of a share or of a few tensors."""
    return max(round(activations * SAFETY_SHARE), SAFETY_LEAST)


def _terms_of(
    profile: ImageProfile, work: ImageWork, around: Surroundings, offload: Offload | None
) -> list[Term]:
    terms = [_term(_CONTEXT, around.context_bytes, around.context_known)]
    weights = offloading.resident(profile, offload)
    terms += [_term(f"weights.{name}", n, "exact") for name, n in weights.items()]
    if work.lora_bytes:
        terms.append(_term(LORAS, work.lora_bytes, "exact"))
    if around.workspace_bytes:
        terms.append(_term("workspace.libraries", around.workspace_bytes, "assumed"))
    return terms


def _terms_at(most: _Load, profile: ImageProfile, offload: Offload | None) -> list[Term]:
    known: Known = "probed" if profile.device == "cpu" else "assumed"
    terms = [
        _term(f"held.{most.phase}", most.held, "exact"),
        _term(f"activations.{most.phase}", most.need.live, "traced"),
        _term(f"workspace.{most.phase}", most.need.workspace, known),
        _term(_SAFETY, safety(most.activations), "assumed"),
    ]
    if most.converted:
        terms.insert(0, _term("weights.vae, converted", most.converted, "exact"))
    if most.moved:
        # What of a component the libraries move at once is read from their code.
        known = "exact" if offload == "offload_model" else "assumed"
        terms.insert(0, _term(f"weights.{most.component}, moved in", most.moved, known))
    return terms


def _term(name: str, size: int, known: Known) -> Term:
    return Term(name=name, mib=size / MIB, known=known)


def _loads(
    profile: ImageProfile, work: ImageWork, threads: int, offload: Offload | None
) -> list[_Load]:
    """Each phase that the work goes through; the text encoders one by one."""
    loads = []
    shapes = _shapes(profile, work)
    size = shapes["denoise"].width * shapes["denoise"].height
    follows = conditioning.of(profile.pipeline)
    for phase, shape in shapes.items():
        held = _held(phase, profile, work, size)
        in_vae = phase in ("vae_encode", "vae_decode")
        extra = offloading.converted(profile, offload) if in_vae else 0
        for found in _traced(profile, phase, _batch(phase, shape, work)):
            if phase == "vae_decode":
                need = _decoding(found.envelope, profile, work, shape, threads)
            elif phase == "text_encode":
                read = Shape(width=follows.read(found.key.architecture, shape.width))
                need = envelope.peak(found.envelope, read, threads)
            else:
                need = envelope.peak(found.envelope, shape, threads)
            moved = offloading.moved(profile, found.component, offload)
            loads.append(_Load(phase, held, need, moved, extra, found.component))
    return loads


def _shapes(profile: ImageProfile, work: ImageWork) -> dict[Phase, Shape]:
    """What the models of each phase are called with."""
    latents = _latents(profile, work)
    sides = {"width": latents.width, "height": latents.height}
    calls = work.num_images * (2 if work.guided else 1)
    shapes: dict[Phase, Shape] = {
        "text_encode": Shape(width=work.tokens),
        "denoise": Shape(batch=calls, tokens=_tokens(profile, work, **sides), **sides),
    }
    if not work.decode_on_cpu:
        shapes["vae_decode"] = latents
    if work.init_image:
        # One after the other, since each has a random generator of its own.
        shapes["vae_encode"] = Shape(**sides)
    return shapes


def _latents(profile: ImageProfile, work: ImageWork) -> Shape:
    """What is decoded."""
    factor = profile.latents.factor
    return Shape(
        batch=work.num_images, width=-(-work.width // factor), height=-(-work.height // factor)
    )


def _tokens(profile: ImageProfile, work: ImageWork, width: int, height: int) -> int:
    """Of the prompt, with all that is filled up, which takes as much."""
    follows = conditioning.of(profile.pipeline)
    of_picture = (width // _PATCH) * (height // _PATCH)
    return follows.filled(work.tokens) + follows.filled(of_picture) - of_picture


def _batch(phase: Phase, shape: Shape, work: ImageWork) -> BatchClass:
    single = shape.batch == 1 or (phase == "vae_decode" and work.sliced)
    return "one" if single else "more"


def _decoding(
    decoder: Envelope, profile: ImageProfile, work: ImageWork, shape: Shape, threads: int
) -> Need:
    factor = profile.latents.factor
    # Where there are more weights for it, it is in float32.
    size = 4 if profile.decoding_weights else _SIZES[profile.dtype]
    tile = None if work.tile_px is None else work.tile_px // factor
    way = tiling.Way(tile, TILE_OVERLAP, work.sliced)
    return tiling.need(decoder, shape, way, _COLOURS * size * factor**2, threads)


def _traced(profile: ImageProfile, phase: Phase, batch: BatchClass) -> list[Traced]:
    found = [each for each in profile.traced if (each.key.phase, each.key.batch) == (phase, batch)]
    if not found and phase != "text_encode":
        raise LookupError(f"The profile has no envelope of {phase} for a batch of {batch}.")
    return found


def _held(phase: Phase, profile: ImageProfile, work: ImageWork, size: int) -> int:
    """Bytes of the tensors that the pipeline keeps while a model runs, inputs apart.

    Args:
        size: pixels of the latents.
    """
    images, sides = work.num_images, 2 if work.guided or work.guided_apart else 1
    latents = profile.latents.channels * size * images
    prompt = work.tokens * profile.latents.embedding
    at_once = conditioning.of(profile.pipeline).at_once
    if phase == "text_encode":
        # Of the prompt, while the negative one is encoded. Several encoders work one after the
        # other, and what each made is kept beside what they made together.
        several = len(_traced(profile, phase, "one")) > 1
        negatives = sides - 1 if work.negative else 0
        numbers = negatives * prompt * (1 + several) + several * prompt // 2
        numbers *= images if at_once else 1
    elif phase == "denoise":
        # The latents, the last prediction of both sides and their sum, and the scheduler's.
        numbers = latents * (1 + sides + (sides - 1) + _HISTORY)
        # Of what is encoded in the same call, the other side's is no input, or not alone.
        numbers += prompt * (images * (sides - 1) if at_once else sides * (1 + images))
    else:
        numbers = latents + (0 if at_once else prompt * sides)
    if work.init_image and phase != "text_encode":
        pixels = size * profile.latents.factor**2
        # The picture, its latents and the noise; with a mask also a masked picture and two masks.
        numbers += 3 * pixels + 2 * latents
        numbers += (4 * pixels + latents + size * images) * work.mask
    return numbers * _SIZES[profile.dtype]


def _scaled(load: _Load, factors: Mapping[Phase, float]) -> _Load:
    factor = factors.get(load.phase, 1.0)
    live, taken = load.need
    return load._replace(need=Need(round(live * factor), round(taken * factor)))
