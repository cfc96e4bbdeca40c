"""What of a component is on the device at once while its weights are offloaded, by its modules
alone: as `offload.py` has the libraries move them."""

from __future__ import annotations

import functools
import json
from typing import Any

import torch

from mysticanvas.contracts.base import canonical_json
from mysticanvas.contracts.mitigations import Offload
from mysticanvas.contracts.tracing import Dtype, Moved, Phase
from mysticanvas.vram import offload as offloading
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
    return at_once(component, model)


def at_once(component: str, model: torch.nn.Module) -> Moved:
    """What is moved at once of a component."""
    layers = by_layers(model)
    if component in DENOISERS:
        return Moved(layers=layers, groups=_AT_ONCE * layers)
    # The VAE goes as a whole, all else by layers.
    return Moved(layers=layers, groups=size(model) if component == "vae" else layers)


def in_phases(pipeline: Any, offload: Offload) -> dict[Phase, int]:
    """Bytes of a pipeline's weights that are on the device at most in each phase, while they are
    offloaded; to be asked before they are."""
    models = {
        name: part
        for name, part in pipeline.components.items()
        if isinstance(part, torch.nn.Module)
    }
    by_phase: dict[Phase, dict[str, torch.nn.Module]] = {"text_encode": {}, "denoise": {}}
    stays = 0
    for name, model in models.items():
        if name.startswith("text_encoder"):
            by_phase["text_encode"][name] = model
        elif name in DENOISERS:
            by_phase["denoise"][name] = model
        elif name == "vae":
            by_phase["vae_decode"] = {name: model}
        else:
            stays += size(model)
    found = {
        phase: stays
        + max((_at_most(name, each, offload) for name, each in parts.items()), default=0)
        for phase, parts in by_phase.items()
    }
    if "vae_decode" in found and (more := converted(pipeline)):
        # Twice as many of what is there.
        vae = models["vae"]
        found["vae_decode"] += more if offload != "offload_sequential" else by_layers(vae)
    return found


def converted(pipeline: Any) -> int:
    """Bytes that a VAE takes more while it decodes, being converted from float16 for that."""
    vae = getattr(pipeline, "vae", None)
    if vae is None or vae.dtype != torch.float16 or not getattr(vae.config, "force_upcast", False):
        return 0
    return sum(map(_bytes, vae.parameters()))


def _at_most(name: str, model: torch.nn.Module, offload: Offload) -> int:
    return offloading.at_most(size(model), at_once(name, model), offload)


def by_layers(model: torch.nn.Module) -> int:
    """Bytes at most, moved layer by layer: what modules within one another hold themselves. What
    they hold that is no weight stays on the device."""

    def most(module: torch.nn.Module) -> int:
        own = sum(_bytes(each) for each in module.parameters(recurse=False))
        return own + max(map(most, module.children()), default=0)

    return most(model) + sum(map(_bytes, model.buffers()))


def size(module: torch.nn.Module) -> int:
    """Bytes of all its weights."""
    return sum(map(_bytes, module.parameters())) + sum(map(_bytes, module.buffers()))


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
