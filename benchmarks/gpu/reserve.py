"""The product's prediction of what CUDA's caching allocator reserves, for models of `models`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.gpu import models
from benchmarks.gpu.forecast import work_of
from benchmarks.gpu.points import Point
from mysticanvas.contracts.tracing import TraceOrder
from mysticanvas.vram.allocator import Usage
from mysticanvas.workers.image.components import Model, Part
from mysticanvas.workers.image.reserve import Device, Player


def usage(
    point: Point,
    dtype: Any,
    device: Device,
    copies_input: bool,
    tiny: bool,
    weights: Mapping[str, int] | None = None,
) -> Usage:
    """Peaks of what is given out and of what is reserved, in bytes.

    Args:
        dtype: that the model runs in.
        copies_input: as for `vram.workspace.convolution`.
        tiny: whether the model is made small, for a rehearsal.
        weights: component -> bytes, as in the profile of the model.
    """
    parts = {
        each.name: Part(each.name, each.library, each.kind, each.config)
        for each in models.components(point.model, tiny)
    }
    order = TraceOrder(path="", dtype=dtype, device="cuda", copies_input=copies_input)
    model = Model(parts, None, tuple(parts), {})
    return Player(model, order, device, weights).usage(work_of(point))
