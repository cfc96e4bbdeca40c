"""What CUDA's caching allocator would reserve for a job: traces of its phases, played in a row.

The cache is never given back between phases, so what one phase leaves decides where the next one
finds room.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from benchmarks.gpu import models
from benchmarks.gpu.points import STEPS, TOKENS, Point
from mysticanvas.contracts.mitigations import TILE_OVERLAP, tile_px
from mysticanvas.contracts.tracing import Shape, TraceOrder
from mysticanvas.vram import tiling
from mysticanvas.vram.allocator import Event, Usage, simulate
from mysticanvas.workers.image import architectures, profiling
from mysticanvas.workers.image.architectures import TEXT_ENCODERS

_GRAIN = 512
_COLOURS = 3


class Trace(NamedTuple):
    """Events of a call that begins and ends with nothing but the weights."""

    events: tuple[Event, ...]

    @classmethod
    def of(cls, events: Sequence[Event]) -> Trace:
        """With what is left at the end given back."""
        held: dict[int, int] = {}
        for number, size in events:
            if size > 0:
                held[number] = size
            else:
                held.pop(number)
        return cls((*events, *(Event(number, -size) for number, size in held.items())))


class Tape:
    """Events of a whole job, numbered anew."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._count = 0

    def take(self, size: int) -> Event:
        """Memory that is given back by `give`."""
        self._count += 1
        event = Event(self._count, -(-size // _GRAIN) * _GRAIN)
        self.events.append(event)
        return event

    def give(self, event: Event) -> None:
        self.events.append(Event(event.number, -event.size))

    def play(self, trace: Trace) -> None:
        """Add a call."""
        offset = self._count
        self.events += [Event(offset + number, size) for number, size in trace.events]
        self._count += max((number for number, _ in trace.events), default=0)


class Parts(NamedTuple):
    """The models of a pipeline that are traced, and those that only lie there."""

    text: tuple[profiling.Part, ...]
    denoiser: profiling.Part
    vae: profiling.Part
    sizes: Mapping[str, tuple[int, ...]]
    """Component -> bytes of its parameters, one after the other."""


class How(NamedTuple):
    """What the device and its allocator do."""

    workspace: int
    """Bytes that the libraries keep from the first product of matrices on."""
    copies_input: bool
    """As for `vram.workspace.convolution`."""
    growing: bool
    """Whether segments grow."""


def usage(point: Point, dtype: Any, how: How, tiny: bool) -> Usage:
    """Peaks of what is given out and of what is reserved, in bytes.

    Args:
        dtype: that the model runs in.
    """
    parts = _parts(point.model, dtype, tiny)
    tape = Tape()
    weights = {name: [tape.take(size) for size in sizes] for name, sizes in parts.sizes.items()}
    if how.workspace:
        tape.take(how.workspace)
    for part in parts.text:
        hidden = len(parts.text) > 1
        tape.play(_text(point.model, part, dtype, TOKENS[point.model], hidden))
    sides = {"width": point.width // 8, "height": point.height // 8}
    calls = point.images * (2 if point.guided else 1)
    shape = Shape(batch=calls, tokens=TOKENS[point.model], **sides)
    for _ in range(STEPS):
        tape.play(_traced(point.model, parts.denoiser, dtype, shape, architectures.denoise))
    if not point.on_cpu:
        _decode(tape, point, parts, dtype, weights["vae"], how.copies_input)
    return simulate(tape.events, how.growing)


def _decode(
    tape: Tape, point: Point, parts: Parts, dtype: Any, weights: list[Event], copies_input: bool
) -> None:
    running = _running(dtype, parts.vae)
    if running != dtype:
        for each in weights:
            tape.take(2 * each.size)
            tape.give(each)
    pixel = _COLOURS * (4 if running == "float32" else 2) * 64
    sliced = "vae_slicing" in point.mitigations
    batch = 1 if sliced else point.images
    whole = Shape(batch=batch, width=point.width // 8, height=point.height // 8)
    tile = None
    if "vae_tiling" in point.mitigations:
        tile = tile_px(max(point.width, point.height)) // 8
    made = []
    for _ in range(point.images if sliced else 1):
        kept = []
        for width, height in _tiles(whole, tile):
            shape = Shape(batch=batch, width=width, height=height)
            call = architectures.decode_picture
            tape.play(_traced(point.model, parts.vae, running, shape, call, copies_input))
            kept.append(tape.take(batch * width * height * pixel))
        made.append(tape.take(batch * whole.width * whole.height * pixel))
        for each in kept:
            tape.give(each)
    tape.take(point.images * whole.width * whole.height * pixel)


def _tiles(whole: Shape, tile: int | None) -> list[tuple[int, int]]:
    if tile is None or max(whole.width, whole.height) <= tile:
        return [(whole.width, whole.height)]
    return list(tiling._tiles(whole, tile, TILE_OVERLAP))


@functools.cache
def _parts(name: str, dtype: Any, tiny: bool) -> Parts:
    found = list(models.components(name, tiny))
    parts = {
        each.name: profiling.Part(each.name, each.library, each.kind, each.config) for each in found
    }
    sizes = {
        each.name: tuple(
            parameter.numel() * parameter.element_size()
            for parameter in each.build(getattr(torch, dtype)).parameters()
        )
        for each in found
    }
    _CONFIGS.update({(name, part.component): part for part in parts.values()})
    return Parts(
        tuple(part for part in parts.values() if part.architecture in TEXT_ENCODERS),
        parts["unet"] if "unet" in parts else parts["transformer"],
        parts["vae"],
        sizes,
    )


_CONFIGS: dict[tuple[str, str], profiling.Part] = {}
_TRACES: dict[Any, Trace] = {}


def _text(name: str, part: profiling.Part, dtype: Any, tokens: int, hidden: bool) -> Trace:
    most = int(part.config.get("max_position_embeddings", tokens))

    def call(tracee: Any, shape: Shape) -> Any:
        return architectures.encode_text(tracee, shape, hidden_states=hidden)

    return _traced(name, part, dtype, Shape(width=min(tokens, most)), call)


def _traced(
    name: str,
    part: profiling.Part,
    dtype: Any,
    shape: Shape,
    call: Any,
    copies_input: bool = True,
) -> Trace:
    key = name, part.component, dtype, shape, copies_input
    if key not in _TRACES:
        order = TraceOrder(path="", dtype=dtype, device="cuda", copies_input=copies_input)
        memory = profiling.trace(order, _tracee(name, part.component, dtype), shape, call)
        _TRACES[key] = Trace.of(memory.events)
    return _TRACES[key]


@functools.cache
def _tracee(name: str, component: str, dtype: Any) -> Any:
    part = _CONFIGS[name, component]
    return architectures.build(part.library, part.architecture, part.config, getattr(torch, dtype))


def _running(dtype: Any, part: profiling.Part) -> Any:
    order = TraceOrder(path="", dtype=dtype)
    return profiling._running(order, part)
