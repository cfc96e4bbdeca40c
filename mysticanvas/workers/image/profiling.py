"""The profile of a model: bytes of its weights, and an envelope for each phase.

The shapes that are traced are chosen so that each monomial of an envelope is determined; any other
shape follows by arithmetic.
"""

from __future__ import annotations

import functools
import importlib.metadata
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import torch

from mysticanvas.contracts import conditioning
from mysticanvas.contracts.base import sha256_of
from mysticanvas.contracts.conditioning import Encoder
from mysticanvas.contracts.tracing import (
    BatchClass,
    EnvelopeKey,
    ImageProfile,
    LatentSpace,
    Phase,
    Shape,
    TraceAnswer,
    Traced,
    TraceOrder,
)
from mysticanvas.errors import ModelFileError
from mysticanvas.vram import envelope
from mysticanvas.workers.image import (
    adapting,
    architectures,
    components,
    mitigations,
    moving,
    offload,
)
from mysticanvas.workers.image.architectures import Tracee
from mysticanvas.workers.image.components import Model, Part
from mysticanvas.workers.image.kernels import KernelsOf
from mysticanvas.workers.image.tracing import Memory, following
from mysticanvas.workers.model_files.unchanged import unchanged

TOKENS = conditioning.CLIP_TOKENS
_LONGEST = 512
"""Tokens that a text encoder is traced with at most; some take tens of thousands."""
_SIDES = (2, 5, 11)
"""Of the latents, in multiples of what a denoiser can halve them to."""
_LATENTS = (8, 20, 44)
"""Sides of the latents that an autoencoder is traced with."""
_BATCHES = (2, 3)
"""Items in the calls of several: two is what most jobs have, and what all others grow from. Of the
small transformers, three and four foresee two by 0.6 % too much."""
_LIBRARIES = ("diffusers", "torch", "transformers")
Call = Callable[[Tracee, Shape], Any]


class Run(NamedTuple):
    """A phase of a part: how it is called, and for which shapes."""

    phase: Phase
    part: Part
    batch: BatchClass
    shapes: list[Shape]
    call: Call


def profile(order: TraceOrder) -> TraceAnswer:
    """Weigh a model, and trace those of its phases that the asker does not know.

    Raises:
        ModelFileError: a file is no model, is damaged, or is of an architecture that is not
            known here; or it was changed.
    """
    with unchanged(order.hashed):
        return _profile(order)


def _profile(order: TraceOrder) -> TraceAnswer:
    start = time.perf_counter()
    model = components.of(order)
    runs = list(_runs(order, model))
    keys = [_key(order, model, run) for run in runs]
    missing = [
        (key, run) for key, run in zip(keys, runs, strict=True) if key.digest not in order.known
    ]
    found = ImageProfile(
        dtype=order.dtype,
        device=order.device,
        weights=model.weights(order.dtype),
        decoding_weights=_decoding_weights(order, model),
        lora_bytes=sum(each.numbers for each in model.loras) * getattr(torch, order.dtype).itemsize,
        latents=_latent_space(model),
        tokens=_tokens(model),
        pipeline=model.pipeline,
        distilled=model.distilled,
        traced=tuple(_traced(order, model, missing)),
        decodings=mitigations.possible(model.pipeline, model.parts["vae"].architecture),
        **_offloading(order, model),
    )
    return TraceAnswer(
        profile=found,
        keys=tuple(keys),
        seconds=time.perf_counter() - start,
        peak_rss=_peak_rss(),
    )


def _offloading(order: TraceOrder, model: Model) -> dict[str, Any]:
    """How its weights can be offloaded, and what of them is moved at once."""
    possible = offload.possible(getattr(diffusers, model.pipeline, None))
    if model.quantised is not None:
        # Layer by layer, what moves weights does not know quantised ones.
        possible = possible[:1]
    # Where only jobs are asked about, this is known already.
    if not possible or not order.phases or not offload.helps(torch.device(order.device)):
        return {}
    parts = {name: moving.of(part, order.dtype) for name, part in model.parts.items()}
    return {"offloads": possible, "moved": parts}


def _traced(
    order: TraceOrder, model: Model, missing: list[tuple[EnvelopeKey, Run]]
) -> Iterator[Traced]:
    built: dict[str, Tracee] = {}
    for key, run in missing:
        part = run.part
        if part.component not in built:
            dtype = getattr(torch, _running(order, part))
            built[part.component] = model.tracee(part, dtype)
        tracee = built[part.component]
        samples = [(each, trace(order, tracee, each, run.call).operations) for each in run.shapes]
        try:
            fitted = envelope.fit(samples)
        except ValueError as error:
            raise _unknown(part, error) from error
        yield Traced(key=key, component=part.component, envelope=fitted)


def trace(order: TraceOrder, tracee: Tracee, shape: Shape, call: Call) -> Memory:
    """Follow a phase through one shape: the bytes of its operations, and the events that
    `vram.allocator.simulate` takes."""
    dtype = str(tracee.dtype).removeprefix("torch.")
    with (
        following(
            order.device,
            dtype,  # type: ignore[arg-type]
            tracee.model,
            order.copies_input,
        ) as memory,
        KernelsOf(order.device, order.attention, memory),
        memory.only_in(architectures.comparable(tracee.model)),
    ):
        # Kept until the end of the context: what comes out is alive at the peak.
        _out = call(tracee, shape)
    return memory


def _runs(order: TraceOrder, model: Model) -> Iterator[Run]:
    for part in model.text_encoders if "text_encode" in order.phases else []:
        yield _text_run(part, encoder_of(model, part))
    if "denoise" in order.phases:
        yield _denoise_run(model.denoiser, order.images if model.distilled else order.denoise)
    calls: dict[Phase, Call] = {
        "vae_encode": architectures.encode_picture,
        "vae_decode": architectures.decode_picture,
    }
    for phase, call in calls.items():
        if phase in order.phases:
            vae = model.parts["vae"]
            yield Run(phase, vae, order.images, _latent_shapes(vae, phase, order.images), call)


def encoder_of(model: Model, part: Part) -> Encoder:
    """How the pipeline of a model calls one of its text encoders."""
    known = conditioning.of(model.pipeline).encoders.get(part.architecture)
    if known is not None:
        return known
    most = int(part.config.get("max_position_embeddings", TOKENS))
    return Encoder(most, hidden_states=len(model.text_encoders) > 1)


def _text_run(part: Part, encoder: Encoder) -> Run:
    most = min(encoder.tokens, _LONGEST)
    shapes = [Shape(width=each) for each in (most // 8, most // 3, most)]
    call = functools.partial(architectures.encode_text, encoder=encoder)
    return Run("text_encode", part, "one", shapes, call)


def _denoise_run(part: Part, batch: BatchClass) -> Run:
    multiple = architectures.coarsest(part.architecture, part.config)
    sides = [multiple * each for each in _SIDES]
    tokens = architectures.filled(part.architecture, TOKENS)
    shapes = _squares(sides, batch, tokens)
    shapes.append(shapes[0].model_copy(update={"tokens": 2 * tokens}))
    return Run("denoise", part, batch, shapes, architectures.denoise)


def _latent_shapes(part: Part, phase: Phase, batch: BatchClass) -> list[Shape]:
    shapes = _squares(_LATENTS, batch)
    if phase == "vae_encode" or part.architecture in architectures.PADDING:
        # What pads the sides has tensors that depend on their length.
        shapes.append(shapes[0].model_copy(update={"height": _LATENTS[1]}))
    return shapes


def _squares(sides: Any, batch: BatchClass, tokens: int = 0) -> list[Shape]:
    least, more = _BATCHES if batch == "more" else (1, None)
    shapes = [Shape(batch=least, width=each, height=each, tokens=tokens) for each in sides]
    if more is not None:
        shapes.append(shapes[0].model_copy(update={"batch": more}))
    return shapes


def _key(order: TraceOrder, model: Model, run: Run) -> EnvelopeKey:
    return EnvelopeKey(
        phase=run.phase,
        architecture=run.part.architecture,
        config=sha256_of(run.part.config),
        device=order.device,
        dtype=_running(order, run.part),
        attention=order.attention,
        copies_input=order.copies_input,
        batch=run.batch,
        adapters=_beside(model, run.part),
        called=_called(model, run.part),
        versions={each: importlib.metadata.version(each) for each in _LIBRARIES},
    )


def _called(model: Model, part: Part) -> str:
    known = conditioning.of(model.pipeline).encoders.get(part.architecture)
    return "" if known is None else sha256_of(list(known))


def _beside(model: Model, part: Part) -> str:
    """What makes a component another than its configuration says: LoRAs, quantised matrices."""
    types = model.types_of(part)
    ranks = model.adapters(part.component)
    return sha256_of([ranks, types]) if types else adapting.digest(ranks)


def _running(order: TraceOrder, part: Part) -> Any:
    """The format of a part: an autoencoder that overflows in float16 works in float32."""
    if order.dtype == "float16" and part.component == "vae" and part.config.get("force_upcast"):
        return "float32"
    return order.dtype


def _decoding_weights(order: TraceOrder, model: Model) -> int:
    vae = model.parts["vae"]
    if _running(order, vae) == order.dtype:
        return 0
    # The others would be weighed for nothing. Which variant of its files is chosen beside them
    # does not matter: all have the same numbers.
    replaced = {name: path for name, path in model.replaced.items() if name == "vae"}
    loaded = {"vae": model.loaded["vae"]}
    alone = model._replace(parts={"vae": vae}, loaded=loaded, replaced=replaced, quantised=None)
    return alone.weights("float32").get("vae", 0) - alone.weights(order.dtype).get("vae", 0)


def _latent_space(model: Model) -> LatentSpace:
    return LatentSpace(
        factor=architectures.factor_of(model.parts["vae"].config),
        channels=architectures.channels_of(model.parts["vae"].config),
        embedding=architectures.embedding_of(model.denoiser.config),
    )


def _tokens(model: Model) -> int:
    """As the pipeline fills a prompt up, or cuts it off: where it says nothing, to as many as every
    text encoder with positions of its own has, which is CLIP."""
    if (found := conditioning.of(model.pipeline).tokens) is not None:
        return found
    name = "max_position_embeddings"
    most = [int(each.config[name]) for each in model.text_encoders if name in each.config]
    return min(most, default=TOKENS)


def _unknown(part: Part, error: Exception) -> ModelFileError:
    return ModelFileError(
        f"What {part.architecture} needs in memory cannot be worked out: {error}",
        hint="It can be measured by running it once.",
    )


def _peak_rss() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Not what `getrusage` tells, which is no less than what the parent had at the start.
    [line] = [each for each in status.splitlines() if each.startswith("VmHWM:")]
    return int(line.split()[1]) << 10
