"""What decoding in slices and tiles takes, against the allocator of real runs."""

from __future__ import annotations

import pytest
import torch
from architectures import Real, fitted, profiled_peak, real, traced

from mysticanvas.contracts.mitigations import TILE_OVERLAP
from mysticanvas.contracts.tracing import Envelope, Shape
from mysticanvas.vram import tiling
from mysticanvas.workers.image import architectures, mitigations

FACTOR = 8
PIXEL_BYTES = 3 * 4 * FACTOR**2
"""A pixel of the latents is 8 × 8 pixels of three colours in float32."""


@pytest.fixture(scope="module")
def envelopes() -> dict[int, Envelope]:
    """By the pictures that are decoded at a time."""
    vae, sides = traced("vae"), (8, 20, 44)
    fits = {
        1: [Shape(width=side, height=side) for side in sides],
        2: [Shape(batch=2, width=side, height=side) for side in sides]
        + [Shape(batch=3, width=sides[0], height=sides[0])],
    }
    return {n: fitted(vae, fit, architectures.decode_picture) for n, fit in fits.items()}


@pytest.fixture(scope="module")
def vae() -> Real:
    return real("vae")


@pytest.mark.parametrize(
    ("names", "batch", "width", "height"),
    [
        (("vae_tiling",), 1, 64, 64),
        (("vae_tiling",), 1, 80, 48),
        (("vae_tiling",), 2, 48, 48),
        (("vae_slicing",), 3, 32, 40),
        (("vae_slicing", "vae_tiling"), 2, 64, 40),
    ],
)
def test_slices_and_tiles_take_what_was_predicted(
    envelopes: dict[int, Envelope],
    vae: Real,
    names: tuple[str, ...],
    batch: int,
    width: int,
    height: int,
) -> None:
    shape, longer = Shape(batch=batch, width=width, height=height), FACTOR * max(width, height)
    with mitigations.applied(vae.model, names, longer):
        actual = profiled_peak(lambda: architectures.decode_picture(vae, shape))
    plain = profiled_peak(lambda: architectures.decode_picture(vae, shape))
    sliced = "vae_slicing" in names
    tile = mitigations.tile_px(longer) // FACTOR if "vae_tiling" in names else None
    way = tiling.Way(tile, TILE_OVERLAP, sliced)
    decoder = envelopes[1 if sliced or batch == 1 else 2]
    found = tiling.need(decoder, shape, way, PIXEL_BYTES, torch.get_num_threads())
    assert found.total == pytest.approx(actual, rel=0.01)
    assert actual < 0.9 * plain
