"""What of a component is on the device at once while its weights are offloaded, by its modules
alone: as `offload.py` has the libraries move them."""

from __future__ import annotations

import functools
import json

import torch

from mysticanvas.contracts.base import canonical_json
from mysticanvas.contracts.tracing import Dtype, Moved
from mysticanvas.workers.image import architectures
from mysticanvas.workers.image.components import Part
from mysticanvas.workers.image.offload import DENOISERS

_AT_ONCE = 2
"""Layers of a denoiser that is moved in groups: the one that computes, and the next on its way."""


def of(part: Part, dtype: Dtype) -> Moved:
    """What is moved at once of a component in a format.

    Raises:
        ModelFileError: its configuration gives no model.
    """
    return _of(part.component, part.library, part.architecture, canonical_json(part.config), dtype)


@functools.lru_cache(maxsize=32)
def _of(component: str, library: str, architecture: str, config: str, dtype: Dtype) -> Moved:
    kind = getattr(torch, dtype)
    model = architectures.build(library, architecture, json.loads(config), kind, whole=True).model
    layers = by_layers(model)
    if component in DENOISERS:
        return Moved(layers=layers, groups=_AT_ONCE * layers)
    # The VAE goes as a whole, all else by layers.
    return Moved(layers=layers, groups=_size(model) if component == "vae" else layers)


def by_layers(model: torch.nn.Module) -> int:
    """Bytes at most, moved layer by layer: what modules within one another hold themselves. What
    they hold that is no weight stays on the device."""

    def most(module: torch.nn.Module) -> int:
        own = sum(_bytes(each) for each in module.parameters(recurse=False))
        return own + max(map(most, module.children()), default=0)

    return most(model) + sum(map(_bytes, model.buffers()))


def _size(module: torch.nn.Module) -> int:
    return sum(map(_bytes, module.parameters())) + sum(map(_bytes, module.buffers()))


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
