"""Ways to make a picture with less memory, as requests, plans and recipes name them."""

from __future__ import annotations

from typing import Literal

Mitigation = Literal["vae_slicing", "vae_tiling", "vae_cpu"]
"""The VAE decodes one picture at a time, in overlapping tiles, or on the CPU. Each changes pixels:
tiles by a little where they meet, the others by rounding."""
Allowed = Literal["auto", "exact", "none"]
"""Which mitigations the user allows: all, those that keep the pixels, or none."""

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
