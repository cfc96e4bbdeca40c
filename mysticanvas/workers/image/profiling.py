"""The profile of a diffusers folder: bytes of its weights, and an envelope for each phase.

The shapes that are traced are chosen so that each monomial of an envelope is determined; any other
shape follows by arithmetic.
"""

from __future__ import annotations

import importlib.metadata
import json
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mysticanvas.contracts.base import sha256_of
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
from mysticanvas.workers.image import architectures, weights
from mysticanvas.workers.image.architectures import Tracee
from mysticanvas.workers.image.kernels import KernelsOf
from mysticanvas.workers.image.tracing import Memory, following

INDEX = "model_index.json"
MAX_CONFIG_BYTES = 1 << 20
TOKENS = 77
"""Of a CLIP prompt, which is always filled up."""
_SIDES = (2, 5, 11)
"""Of the latents, in multiples of what a denoiser can halve them to."""
_LATENTS = (8, 20, 44)
"""Sides of the latents that an autoencoder is traced with."""
_LIBRARIES = ("diffusers", "torch", "transformers")
_KEPT = {"T5EncoderModel": ("wo",)}
"""Class -> names of weights that transformers keeps in float32 when all else is float16."""

Call = Callable[[Tracee, Shape], Any]


class Part(NamedTuple):
    """A component in its role."""

    component: str
    library: str
    architecture: str
    config: Mapping[str, Any]


class Run(NamedTuple):
    """A phase of a part: how it is called, and for which shapes."""

    phase: Phase
    part: Part
    batch: BatchClass
    shapes: list[Shape]
    call: Call


def profile(order: TraceOrder) -> TraceAnswer:
    """Weigh a folder, and trace those of its phases that the asker does not know.

    Raises:
        ModelFileError: the folder is no model, is damaged, or is of an architecture that is not
            known here.
    """
    start = time.perf_counter()
    folder = Path(order.folder)
    parts = _parts(folder)
    runs = list(_runs(order, parts))
    keys = [_key(order, run) for run in runs]
    missing = [
        (key, run) for key, run in zip(keys, runs, strict=True) if key.digest not in order.known
    ]
    found = ImageProfile(
        dtype=order.dtype,
        device=order.device,
        weights=_weights(folder, order, parts),
        decoding_weights=_decoding_weights(folder, order, parts),
        latents=_latent_space(parts),
        tokens=_tokens(parts),
        traced=tuple(_traced(order, missing)),
    )
    return TraceAnswer(
        profile=found,
        keys=tuple(keys),
        seconds=time.perf_counter() - start,
        peak_rss=_peak_rss(),
    )


def _traced(order: TraceOrder, missing: list[tuple[EnvelopeKey, Run]]) -> Iterator[Traced]:
    built: dict[str, Tracee] = {}
    for key, run in missing:
        part = run.part
        if part.component not in built:
            dtype = getattr(torch, _running(order, part))
            built[part.component] = architectures.build(
                part.library, part.architecture, part.config, dtype
            )
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
    ):
        # Kept until the end of the context: what comes out is alive at the peak.
        _out = call(tracee, shape)
    return memory


def _runs(order: TraceOrder, parts: Mapping[str, Part]) -> Iterator[Run]:
    text = _text_encoders(parts)
    for part in text if "text_encode" in order.phases else []:
        yield _text_run(part, hidden_states=len(text) > 1)
    if "denoise" in order.phases:
        yield _denoise_run(_denoiser(parts), order.denoise)
    calls: dict[Phase, Call] = {
        "vae_encode": architectures.encode_picture,
        "vae_decode": architectures.decode_picture,
    }
    for phase, call in calls.items():
        if phase in order.phases:
            yield Run(phase, parts["vae"], order.images, _latent_shapes(phase, order.images), call)


def _text_run(part: Part, *, hidden_states: bool) -> Run:
    most = int(part.config.get("max_position_embeddings", TOKENS))
    shapes = [Shape(width=each) for each in (most // 8, most // 3, most)]

    def call(tracee: Tracee, shape: Shape) -> Any:
        return architectures.encode_text(tracee, shape, hidden_states=hidden_states)

    return Run("text_encode", part, "one", shapes, call)


def _denoise_run(part: Part, batch: BatchClass) -> Run:
    multiple = architectures.coarsest(part.architecture, part.config)
    sides = [multiple * each for each in _SIDES]
    shapes = _squares(sides, batch, tokens=TOKENS)
    shapes.append(shapes[0].model_copy(update={"tokens": 2 * TOKENS}))
    return Run("denoise", part, batch, shapes, architectures.denoise)


def _latent_shapes(phase: Phase, batch: BatchClass) -> list[Shape]:
    shapes = _squares(_LATENTS, batch)
    if phase == "vae_encode":
        # An encoder pads two sides, and so its tensors depend on their length.
        shapes.append(shapes[0].model_copy(update={"height": _LATENTS[1]}))
    return shapes


def _squares(sides: Any, batch: BatchClass, tokens: int = 0) -> list[Shape]:
    least = 1 if batch == "one" else 2
    shapes = [Shape(batch=least, width=each, height=each, tokens=tokens) for each in sides]
    if batch == "more":
        shapes.append(shapes[0].model_copy(update={"batch": 3}))
    return shapes


def _key(order: TraceOrder, run: Run) -> EnvelopeKey:
    return EnvelopeKey(
        phase=run.phase,
        architecture=run.part.architecture,
        config=sha256_of(run.part.config),
        device=order.device,
        dtype=_running(order, run.part),
        attention=order.attention,
        copies_input=order.copies_input,
        batch=run.batch,
        versions={each: importlib.metadata.version(each) for each in _LIBRARIES},
    )


def _running(order: TraceOrder, part: Part) -> Any:
    """The format of a part: an autoencoder that overflows in float16 works in float32."""
    if order.dtype == "float16" and part.component == "vae" and part.config.get("force_upcast"):
        return "float32"
    return order.dtype


def _weights(folder: Path, order: TraceOrder, parts: Mapping[str, Part]) -> dict[str, int]:
    kept = {
        name: _KEPT[part.architecture]
        for name, part in parts.items()
        if order.dtype == "float16" and part.architecture in _KEPT
    }
    return weights.of_folder(folder, order.dtype, kept=kept)


def _decoding_weights(folder: Path, order: TraceOrder, parts: Mapping[str, Part]) -> int:
    vae = parts["vae"]
    if _running(order, vae) == order.dtype:
        return 0
    as_kept = weights.of_folder(folder, order.dtype).get("vae", 0)
    return weights.of_folder(folder, "float32").get("vae", 0) - as_kept


def _latent_space(parts: Mapping[str, Part]) -> LatentSpace:
    return LatentSpace(
        factor=architectures.factor_of(parts["vae"].config),
        channels=int(parts["vae"].config.get("latent_channels", 4)),
        embedding=architectures.embedding_of(_denoiser(parts).config),
    )


def _tokens(parts: Mapping[str, Part]) -> int:
    """As many as every text encoder with positions of its own has, which is CLIP."""
    name = "max_position_embeddings"
    most = [int(each.config[name]) for each in _text_encoders(parts) if name in each.config]
    return min(most, default=TOKENS)


def _text_encoders(parts: Mapping[str, Part]) -> list[Part]:
    known = architectures.TEXT_ENCODERS
    return [part for part in parts.values() if part.architecture in known]


def _denoiser(parts: Mapping[str, Part]) -> Part:
    return parts["unet"] if "unet" in parts else parts["transformer"]


def _parts(folder: Path) -> dict[str, Part]:
    """The components whose memory is predicted."""
    index = _read(folder / INDEX)
    known = architectures.DENOISERS | architectures.AUTOENCODERS | architectures.TEXT_ENCODERS
    found = {}
    for name, value in index.items():
        if name.isidentifier() and isinstance(value, list) and len(value) == 2:
            library, architecture = map(str, value)
            if architecture in known:
                config = _read(folder / name / "config.json")
                found[name] = Part(name, library, architecture, config)
    if "vae" not in found or not {"unet", "transformer"} & found.keys():
        raise ModelFileError(
            f"What {index.get('_class_name', folder)!r} needs in memory is not known: it has no "
            "autoencoder and denoiser of a kind that is.",
            hint="It can be measured by running it once.",
        )
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
        if len(text) > MAX_CONFIG_BYTES:
            raise ValueError(f"it has more than {MAX_CONFIG_BYTES:,} bytes")
        config = json.loads(text)
        if not isinstance(config, dict):
            raise ValueError("it does not hold a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(
            f"{path} cannot be read: {error}.",
            hint="Copy or download the model again, completely.",
        ) from error
    return config


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
