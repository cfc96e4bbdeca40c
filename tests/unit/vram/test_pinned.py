"""Weights in pinned memory: what of it they take."""

from __future__ import annotations

import json
from pathlib import Path

import diffusers
import pytest
import torch

from mysticanvas.vram import pinned

REAL = Path(__file__).parents[3] / "data" / "architectures"
"""Configurations of real models; no weights."""


def taken(sizes: list[int]) -> int:
    return sum(pinned.allocated(block.size) for block in pinned.blocks(sizes))


def test_each_size_has_a_place_of_its_own() -> None:
    sizes = [5, 0, pinned.BLOCK, 1000, pinned.BLOCK + 1, 7 << 20, 512]
    found = pinned.blocks(sizes)
    assert sorted(place.which for block in found for place in block.places) == list(range(7))
    for block in found:
        at = 0
        for index, offset in block.places:
            assert (offset, offset % 512) == (at, 0)
            at += -(-sizes[index] // 512) * 512
        assert block.size == at
        assert block.size <= pinned.BLOCK or len(block.places) == 1
    assert pinned.blocks([]) == []
    assert [pinned.allocated(each) for each in (0, 1, 3, 4, 5)] == [0, 1, 4, 4, 8]


@pytest.mark.parametrize("name", ["flux-1-dev", "qwen-image", "stable-diffusion-xl", "z-image"])
def test_denoisers_take_no_more_than_is_counted(name: str) -> None:
    index = json.loads((REAL / name / "model_index.json").read_text())
    part = "unet" if "unet" in index else "transformer"
    given = json.loads((REAL / name / part / "config.json").read_text())
    with torch.device("meta"):
        model = getattr(diffusers, index[part][1]).from_config(given)
    sizes = [2 * each.numel() for each in model.parameters()]
    # One block is there twice for a while.
    assert taken(sizes) + pinned.BLOCK <= sum(sizes) + pinned.slack(sum(sizes))
    assert sum(map(pinned.allocated, sizes)) > 1.3 * sum(sizes)
