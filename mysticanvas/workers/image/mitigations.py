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
    Offload,
    offload_of,
    tile_px,
    without_offload,
)
from mysticanvas.workers.image import offload, stages

_TILED = ("AutoencoderKL",)


def possible(pipeline: str, vae: str) -> tuple[Decoding, ...]:
    """Ways in which pictures can be decoded with less memory.

    Args:
        pipeline: name of its class; where one call does it all, the VAE decodes beside the rest.
        vae: name of its class, some of which have tiles of another kind.
    """
    missing = set() if stages.decodes(pipeline) else {"vae_cpu"}
    if vae not in _TILED:
        missing.add("vae_tiling")
    return tuple(each for each in get_args(Decoding) if each not in missing)


def possible_on(pipeline: Any, device: torch.device) -> tuple[Decoding, ...]:
    """Those of them that save something on a device.

    Args:
        pipeline: a loaded one.
    """
    vae = getattr(pipeline, "vae", None)
    if vae is None:
        return ()
    found = possible(type(pipeline).__name__, type(vae).__name__)
    return tuple(each for each in found if each != "vae_cpu" or device.type != "cpu")


def in_pieces(possible: Collection[str], pictures: int) -> tuple[str, ...]:
    """Those that have the VAE decode less at a time.

    Args:
        possible: ways in which it can decode with less memory.
        pictures: how many are decoded.
    """
    pieces = ("vae_slicing", "vae_tiling") if pictures > 1 else ("vae_tiling",)
    return tuple(each for each in pieces if each in possible)


def ways(
    asked: Collection[str], allowed: Allowed, pictures: int, possible: Collection[str]
) -> list[tuple[str, ...]]:
    """The mitigations of each try to decode, the first of them as planned.

    Args:
        asked: those of the plan, by their names in `contracts/mitigations.py`.
        allowed: which the user allows; without leave, there is one try.
        pictures: how many are decoded.
        possible: ways in which they can be decoded with less memory.
    """
    tries = [set(asked)]
    if allowed == "auto":
        pieces = {*asked, *in_pieces(possible, pictures)}
        tries.append(pieces)
        if "vae_cpu" in possible:
            tries.append({*pieces, "vae_cpu"})
    ordered = [tuple(sorted(names)) for names in tries]
    return list(dict.fromkeys(ordered))


def ways_to_sample(
    asked: tuple[str, ...],
    allowed: Allowed,
    device: torch.device,
    offloads: Collection[str],
    pieces: Collection[str],
) -> list[tuple[str, ...]]:
    """The mitigations of each try to sample: as planned, and once more with less of the weights on
    the device, where there is other memory for them.

    Args:
        asked, allowed: as for `ways`.
        offloads: how the pipeline can be offloaded.
        pieces: how the same call can decode less at a time; none if it does not decode.
    """
    if allowed == "none":
        return [asked]
    kind = offload_of(asked)
    if offload.helps(device):
        kind = _more_careful(kind, offloads)
    again = {*without_offload(asked), *(pieces if allowed == "auto" else ())}
    return [asked, tuple(sorted(again if kind is None else {*again, kind}))]


def _more_careful(kind: Offload | None, offloads: Collection[str]) -> Offload | None:
    """The kind of offload that takes less of the device; the same one if there is none."""
    # Behind components come layers, one at a time: groups would be pinned, for which nothing of the
    # system's memory was planned.
    more: Offload = "offload_model" if kind is None else "offload_sequential"
    return more if more in offloads else kind


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
            # Another program may have come in meanwhile, and the pictures are there.
            offload.put_back(vae, dtype, device)


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
