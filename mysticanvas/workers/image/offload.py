"""Weights in system memory, on the device for as long as they are needed: offload.

Hooks of accelerate and diffusers move them while a job runs, and are gone after it. So between two
jobs a pipeline is plain: as a whole on the device, or as a whole in system memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import cpu_offload, cpu_offload_with_hook
from accelerate.hooks import remove_hook_from_module
from diffusers.hooks.group_offloading import apply_group_offloading
from diffusers.hooks.hooks import HookRegistry

from mysticanvas.contracts.mitigations import Offload, offload_of
from mysticanvas.workers.image import devices, pinning

CPU = torch.device("cpu")
DENOISERS = ("unet", "transformer")


def helps(device: torch.device) -> bool:
    """Whether there is other memory beside the device's, to put weights into."""
    return device.type == "cuda"


def possible(pipeline: Any) -> tuple[Offload, ...]:
    """Those that a pipeline, or all of its class, can do.

    The first needs the order of the components, which nearly every pipeline tells. The others need
    a denoiser that is called for each step, and a decoder behind it.
    """
    in_order = getattr(pipeline, "model_cpu_offload_seq", None)
    if in_order is None:
        return ()
    denoises = any(each in in_order.split("->") for each in DENOISERS)
    return (
        ("offload_model", "offload_group", "offload_sequential") if denoises else ("offload_model",)
    )


def named(mitigations: Iterable[str]) -> tuple[str, ...]:
    """Those of these mitigations that are about weights."""
    kind = offload_of(mitigations)
    return () if kind is None else (kind,)


def place(pipeline: Any, kind: Offload | None, device: torch.device) -> bool:
    """Have a pipeline lie where it is between two jobs of that kind, on the device or, to be
    offloaded, in system memory; whether it had to be moved."""
    where = device if kind is None else CPU
    if all(each.type == where.type for each in _places(pipeline)):
        return False
    with torch.inference_mode():
        pipeline.to(where, silence_dtype_warnings=True)
    devices.release_memory(device)
    return True


@contextmanager
def applied(pipeline: Any, kind: Offload | None, device: torch.device) -> Iterator[None]:
    """Have a pipeline compute on the device, its weights offloaded in that way; it lies in system
    memory afterwards. With None, nothing is done."""
    if kind is None:
        yield
        return
    place(pipeline, kind, device)
    try:
        # Weights that were moved in that mode belong to it: elsewhere, some moves are refused.
        with torch.inference_mode():
            if kind != "offload_group":
                # Moved out, weights come back into other memory.
                for part in _models(pipeline).values():
                    pinning.unpin(part, devices.empty_host_cache)
            _BEGIN[kind](pipeline, device)
        yield
    finally:
        # What is still on its way to the device would be copied back half.
        devices.synchronize(device)
        with torch.inference_mode():
            _end(pipeline)
        devices.release_memory(device)


def is_applied(pipeline: Any) -> bool:
    """Whether hooks move its weights now."""
    return any(hasattr(part, "_hf_hook") for part in _models(pipeline).values())


def detach(part: Any) -> torch.device:
    """Take the hooks of a component away, if it has any; where its weights lie then."""
    remove_hook_from_module(part, recurse=True)
    found: torch.device = part.device
    return found


def computes_on(part: Any) -> torch.device:
    """Where a component computes, which is not where its weights lie while it is offloaded."""
    hooks = (getattr(module, "_hf_hook", None) for module in part.modules())
    devices_of = (getattr(hook, "execution_device", None) for hook in hooks)
    return torch.device(next((each for each in devices_of if each is not None), part.device))


def _model(pipeline: Any, device: torch.device) -> None:
    """A component is moved in when it is called, and the one before it out."""
    pipeline.enable_model_cpu_offload(device=device)


def _group(pipeline: Any, device: torch.device) -> None:
    """The denoiser, which runs at each step, is moved layer by layer as well, on CUDA the next one
    while the one before computes.

    Layers rather than blocks: those of a UNet are so unequal that what computes, what is on its way
    and what is in no list of blocks are nine tenths of that of SDXL. All else runs once for a job.
    The VAE goes as a whole: its decoder is no `forward`, which the order of layers is learnt from,
    and it is converted for decoding, which the copies that groups keep are not.
    """
    for name, part in _models(pipeline).items():
        if name in DENOISERS:
            streams = device.type == "cuda"
            if streams:
                # What is pinned is taken as it is; else each weight gets an allocation of its own.
                pinning.pin(part)
            apply_group_offloading(
                part,
                onload_device=device,
                offload_device=CPU,
                offload_type="leaf_level",
                use_stream=streams,
            )
        elif name == "vae":
            cpu_offload_with_hook(part, device)
        else:
            _by_layer(pipeline, name, part, device)


def _sequential(pipeline: Any, device: torch.device) -> None:
    """A layer is moved in when it is called, and out again."""
    # As the pipeline's own `enable_sequential_cpu_offload`, which takes no device without a number.
    for name, part in _models(pipeline).items():
        _by_layer(pipeline, name, part, device)


def _by_layer(pipeline: Any, name: str, part: torch.nn.Module, device: torch.device) -> None:
    if name in pipeline._exclude_from_cpu_offload:
        part.to(device)
    else:
        cpu_offload(part, device, offload_buffers=bool(part._parameters))


_BEGIN: dict[Offload, Callable[[Any, torch.device], None]] = {
    "offload_model": _model,
    "offload_group": _group,
    "offload_sequential": _sequential,
}


def _end(pipeline: Any) -> None:
    """Take all hooks away, and what they left on the device."""
    pipeline.remove_all_hooks()
    for part in _models(pipeline).values():
        _remove_groups(part)
        # Layers get their weights back one by one, and those that two of them share as two.
        tie: Any = getattr(part, "tie_weights", None)
        if tie is not None:
            tie()
    pipeline.to(CPU, silence_dtype_warnings=True)


def _remove_groups(part: torch.nn.Module) -> None:
    for module in part.modules():
        registry: Any = getattr(module, "_diffusers_hook", None)
        if isinstance(registry, HookRegistry):
            for name in list(registry.hooks):
                if "group_offloading" in name or name == "layer_execution_tracker":
                    registry.remove_hook(name, recurse=False)


def _places(pipeline: Any) -> Iterator[torch.device]:
    for part in _models(pipeline).values():
        yield from (each.device for each in itertools.islice(part.parameters(), 1))


def _models(pipeline: Any) -> dict[str, torch.nn.Module]:
    return {
        name: part
        for name, part in pipeline.components.items()
        if isinstance(part, torch.nn.Module)
    }
