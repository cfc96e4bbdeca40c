"""Ways to make a picture with less memory, as requests, plans and recipes name them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

Decoding = Literal["vae_slicing", "vae_tiling", "vae_cpu"]
"""The VAE decodes one picture at a time, in overlapping tiles, or on the CPU. Each changes pixels:
tiles by a little where they meet, the others by rounding."""
Offload = Literal["offload_model", "offload_group", "offload_sequential"]
"""Weights lie in system memory, and are on the device for as long as they are needed: a component
of the pipeline at a time; a layer of the denoiser, with the next one on its way; or a layer of any
component. The pixels stay the same, since what is computed does, and in which format by which
kernels."""
Mitigation = Literal[Decoding, Offload]
Allowed = Literal["auto", "exact", "none"]
"""Which mitigations the user allows: all, those that keep the pixels, or none."""

OFFLOADS: tuple[Offload, ...] = get_args(Offload)
"""The fastest first, which takes most of the device."""
MITIGATIONS: tuple[Mitigation, ...] = (*get_args(Decoding), *OFFLOADS)

TILE_PX = 512
"""Side of a tile: with a VAE of Stable Diffusion in float16, it takes 0.6 GB to decode."""
TILE_OVERLAP = 0.25
"""Share of a tile that the next one covers again, and is blended with."""
_STEP_PX = 64
"""A multiple of what one number of any VAE's latents stands for."""


def tile_px(longer_px: int) -> int:
    """Side of the tiles of a picture, a multiple of 64.

    At most half of the picture's longer side: a tile as large as the picture saves nothing.

    Args:
        longer_px: the longer side of the picture.
    """
    return max(_STEP_PX, min(TILE_PX, longer_px // 2) // _STEP_PX * _STEP_PX)


def offload_of(names: Iterable[str]) -> Offload | None:
    """The one among these mitigations that is about weights; None if there is none."""
    return next((each for each in OFFLOADS if each in tuple(names)), None)


def without_offload(names: Iterable[str]) -> tuple[str, ...]:
    """Those of these mitigations that change pixels, in their order."""
    return tuple(name for name in names if name not in OFFLOADS)
