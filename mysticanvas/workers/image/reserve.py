"""What CUDA's caching allocator reserves for a job: traces of its phases, played in a row.

The cache is never given back between phases, so what one phase leaves decides where the next one
finds room.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from mysticanvas.contracts import conditioning
from mysticanvas.contracts.base import canonical_json, sha256_of
from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.mitigations import TILE_OVERLAP
from mysticanvas.contracts.tracing import Dtype, Shape, TraceOrder
from mysticanvas.vram import tiling
from mysticanvas.vram.allocator import Event, Usage, simulate
from mysticanvas.workers.image import architectures, components, profiling
from mysticanvas.workers.image.architectures import Tracee
from mysticanvas.workers.image.components import Model, Part
from mysticanvas.workers.image.profiling import Call
from mysticanvas.workers.image.tape import Tape, Trace

_STEPS = 2
"""Of the denoiser: the second finds the cache as every later one does."""
_COLOURS = 3
_REMEMBERED = 4096
"""Jobs whose reserve a process knows; a key and a number each."""


class Device(NamedTuple):
    """What a device and its allocator do."""

    workspace: int
    """Bytes that the libraries keep from the first product of matrices on."""
    growing: bool = True
    """Whether segments grow, as workers have it."""


_known: dict[str, int] = {}


@functools.lru_cache(maxsize=16)
def _parameters(library: str, architecture: str, config: str, dtype: Dtype) -> tuple[int, ...]:
    """Bytes of the parameters of a model, one after the other."""
    made = architectures.build(
        library, architecture, json.loads(config), getattr(torch, dtype), whole=True
    )
    return tuple(each.numel() * each.element_size() for each in made.model.parameters())


def reserved(
    order: TraceOrder, weights: Mapping[str, int], works: Sequence[ImageWork], device: Device
) -> tuple[int, ...]:
    """Bytes reserved at the peak of each job; from memory, where the process was asked before.

    Args:
        order: the model, and the format and device that it runs in and on.
        weights: component -> bytes, as in its profile.

    Raises:
        ModelFileError: the model is damaged, of an architecture that is not known here, or does not
            take the size of a job.
    """
    player = Player(components.of(order), order, device, weights)
    return tuple(_remembered(player, work) for work in works)


def _remembered(player: Player, work: ImageWork) -> int:
    key = sha256_of([player.key, work.model_dump()])
    if key not in _known:
        if len(_known) >= _REMEMBERED:
            _known.pop(next(iter(_known)))
        _known[key] = player.usage(work).reserved
    return _known[key]


class Player:
    """Plays jobs of one model; what they have in common is traced once.

    Args:
        model: its parts are moved to the device in their order.
        order: the format and device that the model runs in and on.
        weights: component -> bytes; only what goes beyond the parameters of its part counts, such
            as that of components that are not traced.
    """

    def __init__(
        self,
        model: Model,
        order: TraceOrder,
        device: Device,
        weights: Mapping[str, int] | None = None,
    ) -> None:
        self._model = model
        self._weighed = weights or {}
        self._order = order
        self._device = device
        self._traces: dict[tuple[str, Shape], Trace] = {}
        self._tracees: dict[str, Tracee] = {}

    @property
    def key(self) -> list[Any]:
        """All that the reserve of a job depends on, beside the job."""
        order = self._order
        return [
            self._model.pipeline,
            [*map(list, self._model.parts.values())],
            [each.ranks for each in self._model.loras],
            self._model.types_of(self._model.denoiser),
            dict(self._weighed),
            [order.dtype, order.device, order.attention, order.copies_input],
            list(self._device),
        ]

    def usage(self, work: ImageWork) -> Usage:
        """Peaks of what is given out and of what is reserved, in bytes, for a job without a picture
        to begin with."""
        tape = Tape()
        weights = {name: [*map(tape.take, sizes)] for name, sizes in self._weights()}
        for size in (work.lora_bytes, self._device.workspace):
            if size:
                tape.take(size)
        self._encode(tape, work)
        self._denoise(tape, work)
        if not work.decode_on_cpu:
            self._decode(tape, work, weights["vae"])
        return simulate(tape.events, self._device.growing)

    def _weights(self) -> Iterator[tuple[str, list[int]]]:
        """Component -> bytes of its tensors."""
        left = dict(self._weighed)
        for name, part in self._model.parts.items():
            sizes = self._sizes(part)
            beside = left.pop(name, 0) - sum(sizes)
            yield name, [*sizes, *([beside] if beside > 0 else [])]
        yield from ((name, [size]) for name, size in left.items() if size)

    def _sizes(self, part: Part) -> tuple[int, ...]:
        """Bytes of the parameters of a component."""
        dtype = self._order.dtype
        if self._model.types_of(part):
            made = self._model.whole(part, getattr(torch, dtype)).model
            return tuple(each.numel() * each.element_size() for each in made.parameters())
        config = canonical_json(part.config)
        return _parameters(part.library, part.architecture, config, dtype)

    def _encode(self, tape: Tape, work: ImageWork) -> None:
        follows = conditioning.of(self._model.pipeline)
        for part in self._model.text_encoders:
            tokens = follows.read(part.architecture, work.tokens)
            most = int(part.config.get("max_position_embeddings", tokens))
            encoder = profiling.encoder_of(self._model, part)
            call = functools.partial(architectures.encode_text, encoder=encoder)
            tape.play(self._trace(part, Shape(width=min(tokens, most)), call))

    def _denoise(self, tape: Tape, work: ImageWork) -> None:
        calls = work.num_images * (2 if work.guided else 1)
        shape = self._latents(work, calls).model_copy(update={"tokens": work.tokens})
        for _ in range(_STEPS):
            tape.play(self._trace(self._model.denoiser, shape, architectures.denoise))

    def _decode(self, tape: Tape, work: ImageWork, weights: Sequence[Event]) -> None:
        """Pictures are decoded, kept, and brought together at the end."""
        if self._running(self._vae) != self._order.dtype:
            for each in weights:
                tape.take(2 * each.size)
                tape.give(each)
        batch = 1 if work.sliced else work.num_images
        for _ in range(work.num_images // batch):
            self._decode_batch(tape, work, batch)
        tape.take(self._pixels(self._latents(work, work.num_images)))

    def _decode_batch(self, tape: Tape, work: ImageWork, batch: int) -> None:
        whole = self._latents(work, batch)
        kept = []
        for width, height in self._tiles(whole, work.tile_px):
            shape = whole.model_copy(update={"width": width, "height": height})
            tape.play(self._trace(self._vae, shape, architectures.decode_picture))
            kept.append(tape.take(self._pixels(shape)))
        tape.take(self._pixels(whole))
        for each in kept:
            tape.give(each)

    def _tiles(self, whole: Shape, tile_px: int | None) -> list[tuple[int, int]]:
        tile = None if tile_px is None else tile_px // self._factor
        if tile is None or max(whole.width, whole.height) <= tile:
            return [(whole.width, whole.height)]
        return list(tiling.tiles(whole, tile, TILE_OVERLAP))

    def _latents(self, work: ImageWork, batch: int) -> Shape:
        width, height = -(-work.width // self._factor), -(-work.height // self._factor)
        return Shape(batch=batch, width=width, height=height)

    def _pixels(self, latents: Shape) -> int:
        """Bytes of the pictures that latents become."""
        size = getattr(torch, self._running(self._vae)).itemsize
        return int(
            latents.batch * latents.width * latents.height * _COLOURS * size * self._factor**2
        )

    @property
    def _vae(self) -> Part:
        return self._model.parts["vae"]

    @property
    def _factor(self) -> int:
        return architectures.factor_of(self._vae.config)

    def _running(self, part: Part) -> str:
        return str(profiling._running(self._order, part))

    def _trace(self, part: Part, shape: Shape, call: Call) -> Trace:
        key = part.component, shape
        if key not in self._traces:
            tracee = self._tracee(part)
            try:
                memory = profiling.trace(self._order, tracee, shape, call)
            except RuntimeError as error:
                # A size that the model does not take.
                raise profiling._unknown(part, error) from error
            self._traces[key] = Trace.of(memory.events)
        return self._traces[key]

    def _tracee(self, part: Part) -> Tracee:
        if part.component not in self._tracees:
            dtype = getattr(torch, self._running(part))
            self._tracees[part.component] = self._model.tracee(part, dtype)
        return self._tracees[part.component]
