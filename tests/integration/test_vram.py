"""Who has the memory, from the worker's weights to the notebook."""

from __future__ import annotations

import time
from pathlib import Path

from mysticanvas import Canvas

MIB = 1 << 20


def test_a_notebook_sees_what_each_model_has_of_the_budget(home: Path, tiny_sd: Path) -> None:
    with Canvas(home=home, memory_budget_mib=100_000) as canvas:
        assert canvas.vram.device.name == "memory budget"
        image = canvas.generate("x", preset=tiny_sd, num_inference_steps=1)
        seen = canvas.vram
        [holding] = [each for each in seen.workers if each.worker == "image"]
        assert holding.preset == image.recipe.preset
        weights = {part.name: part.mib for part in holding.parts}
        assert set(weights) == {"weights.unet", "weights.vae", "weights.text_encoder"}
        stored = sum(file.stat().st_size for file in tiny_sd.rglob("*.safetensors"))
        # The files hold headers besides, of some kilobytes each.
        assert 0.8 * stored < sum(weights.values()) * MIB < stored
        assert holding.mib > sum(weights.values())
        assert seen.device.free_mib == 100_000 - sum(each.mib for each in seen.workers)
        assert "weights.unet" in repr(seen)
        canvas.unload()
        deadline = time.monotonic() + 30
        # An answer about its health from before may still be on its way.
        while any(each.parts for each in canvas.vram.workers):
            assert time.monotonic() < deadline
        canvas.shutdown()


def test_without_a_budget_it_is_the_systems_memory(canvas: Canvas) -> None:
    seen = canvas.vram
    assert seen.device.name == "system memory"
    assert 0 < seen.device.free_mib < seen.device.total_mib
    assert seen.foreign_mib > 0
