"""Weights that lie in blocks. Only with a GPU is memory pinned, so here that is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline

from mysticanvas.vram import pinned
from mysticanvas.workers.image import devices, offload, pinning


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Those that were allocated; what lies in them counts as pinned."""
    made: list[torch.Tensor] = []

    def is_pinned(tensor: torch.Tensor) -> bool:
        start = tensor.untyped_storage().data_ptr()
        return any(each.untyped_storage().data_ptr() == start for each in made)

    monkeypatch.setattr(torch.Tensor, "is_pinned", is_pinned)
    return made


@pytest.fixture
def allocate(blocks: list[torch.Tensor]) -> Any:
    def allocate(size: int) -> torch.Tensor:
        blocks.append(torch.empty(size, dtype=torch.uint8))
        return blocks[-1]

    return allocate


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: each.clone() for name, each in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(
        torch.equal(one[name], other[name]) and one[name].stride() == other[name].stride()
        for name in one.keys() | other.keys()
    )


def test_weights_are_the_same_in_blocks_and_out_of_them(
    tiny_sd: Path, blocks: list[torch.Tensor], allocate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinned, "BLOCK", 1 << 16)
    unet = StableDiffusionPipeline.from_pretrained(tiny_sd).unet.to(
        torch.bfloat16, memory_format=torch.channels_last
    )
    unet.register_buffer("scalar", torch.tensor(3.0))
    unet.register_buffer("nothing", torch.empty(0))
    before = weights(unet)
    with torch.inference_mode():
        pinning.pin(unet, allocate)
        assert all(each.is_pinned() for each in unet.parameters())
        assert same(before, weights(unet))
        count = len(blocks)
        pinning.pin(unet, allocate)
        assert len(blocks) == count > 2
        released: list[None] = []
        pinning.unpin(unet, lambda: released.append(None))
    assert len(released) == count
    assert not any(each.is_pinned() for each in unet.parameters())
    assert same(before, weights(unet))


def test_weights_are_pinned_no_longer_where_another_offload_moves_them(
    tiny_sd: Path, blocks: list[torch.Tensor], allocate: Any
) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_sd)
    pinning.pin(pipeline.unet, allocate)
    cpu = torch.device("cpu")
    with offload.applied(pipeline, "offload_group", cpu):
        assert next(pipeline.unet.parameters()).is_pinned()
    with offload.applied(pipeline, "offload_model", cpu):
        assert not next(pipeline.unet.parameters()).is_pinned()


@pytest.mark.parametrize("public", [True, False])
def test_pinned_memory_is_given_back_with_that_of_the_device(
    monkeypatch: pytest.MonkeyPatch, public: bool
) -> None:
    called: list[str] = []
    monkeypatch.setattr(devices, "has_context", lambda _: False)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: called.append("device"))
    # Of PyTorch as built for a GPU.
    monkeypatch.setattr(torch._C, "_host_emptyCache", lambda: called.append("host"), raising=False)
    monkeypatch.delattr(torch.accelerator, "empty_host_cache", raising=False)
    if public:
        monkeypatch.setattr(
            torch.accelerator, "empty_host_cache", lambda: called.append("host"), raising=False
        )
    devices.release_memory(torch.device("cuda"))
    assert called == ["device", "host"]
