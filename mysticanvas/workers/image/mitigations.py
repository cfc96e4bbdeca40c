"""What is tried if memory runs out, in which order; and how the VAE is told to take less."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, get_args

import torch

from mysticanvas.contracts.mitigations import (
    TILE_OVERLAP,
    Allowed,
    Decoding,
    offload_of,
    tile_px,
)
from mysticanvas.workers.image import offload, stages

_TILED = ("AutoencoderKL",)


def possible(pipeline: str, vae: str) -> tuple[Decoding, ...]:
    """Ways in which pictures can be decoded with less memory.

    Args:
        pipeline: name of its class; where one call does it all, the VAE decodes beside the rest.
        vae: name of its class, some of which have tiles of another kind.
    """
    missing = {"vae_cpu"} if stages.is_whole(pipeline) else set()
    if vae not in _TILED:
        missing.add("vae_tiling")
    return tuple(each for each in get_args(Decoding) if each not in missing)


def ways(
    asked: Collection[str], allowed: Allowed, pictures: int, on_cpu: bool
) -> list[tuple[str, ...]]:
    """The mitigations of each try to decode, the first of them as planned.

    Args:
        asked: those of the plan, by their names in `contracts/mitigations.py`.
        allowed: which the user allows; without leave, there is one try.
        pictures: how many are decoded.
        on_cpu: whether the device is the CPU, so that moving there saves nothing.
    """
    tries = [set(asked)]
    if allowed == "auto":
        tiled = {*asked, "vae_tiling"}
        if pictures > 1:
            tiled.add("vae_slicing")
        tries.append(tiled)
        if not on_cpu:
            tries.append({*tiled, "vae_cpu"})
    ordered = [tuple(sorted(names)) for names in tries]
    return list(dict.fromkeys(ordered))


def ways_to_sample(
    asked: tuple[str, ...], allowed: Allowed, device: torch.device, possible: Collection[str]
) -> list[tuple[str, ...]]:
    """The mitigations of each try to sample: as planned, and once more with all components but the
    denoiser away from the device, where there is other memory for them.

    Args:
        asked, allowed: as for `ways`.
        possible: how the pipeline can be offloaded.
    """
    if allowed == "none":
        return [asked]
    is_new = offload_of(asked) is None and "offload_model" in possible and offload.helps(device)
    return [asked, tuple(sorted({*asked, "offload_model"})) if is_new else asked]


@contextmanager
def applied(vae: Any, names: Collection[str], longer_px: int) -> Iterator[None]:
    """Have the VAE decode in this way, and as before afterwards.

    Args:
        vae: of diffusers; one without slices or tiles decodes as a whole.
        longer_px: the longer side of the pictures.
    """
    device, dtype = None, vae.dtype
    kept = {name: getattr(vae, name) for name in _SETTINGS if hasattr(vae, name)}
    try:
        if "vae_slicing" in names and "use_slicing" in kept:
            vae.use_slicing = True
        if "vae_tiling" in names and "tile_latent_min_size" in kept:
            _tile(vae, longer_px)
        if "vae_cpu" in names:
            # Offloaded, it would be moved to the device all the same.
            device = offload.detach(vae)
            # Half precision is slow there, or not to be had.
            vae.to("cpu", torch.float32)
        yield
    finally:
        for name, value in kept.items():
            setattr(vae, name, value)
        if device is not None:
            vae.to(device, dtype)


_SETTINGS = (
    "use_slicing",
    "use_tiling",
    "tile_sample_min_size",
    "tile_latent_min_size",
    "tile_overlap_factor",
)


def _tile(vae: Any, longer_px: int) -> None:
    """Set tiles that are smaller than the picture: by default they are as large as what the VAE
    was trained with, which for SDXL is 1024 px."""
    side = tile_px(longer_px)
    vae.use_tiling = True
    vae.tile_sample_min_size = side
    vae.tile_latent_min_size = side // 2 ** (len(vae.config.block_out_channels) - 1)
    vae.tile_overlap_factor = TILE_OVERLAP
