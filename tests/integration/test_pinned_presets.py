"""A preset that is deleted is in nobody's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from mysticanvas import Canvas, DoesNotFit, ImagePreset, LLMPreset


def test_a_pin_goes_with_its_preset(canvas: Canvas, folder: Path, tiny_llm: Path) -> None:
    images, words = canvas.presets.image, canvas.presets.llm
    pinned = images.save(ImagePreset(name=folder.name, model=str(folder), dtype="float32"))
    other = images.save(pinned.replace(name=f"other-{folder.name}", dtype="bfloat16"))
    chat = words.save(LLMPreset(name=folder.name, model=str(tiny_llm), n_ctx=256))
    try:
        canvas.workers.start("llm", chat)
        canvas.pin(folder.name)
        canvas.generate("a", preset=pinned, num_inference_steps=1)
        with pytest.raises(DoesNotFit, match="is pinned and in the way"):
            canvas.generate("a", preset=other, num_inference_steps=1)
        images.delete(pinned.name)
        assert canvas.generate("a", preset=other, num_inference_steps=1).recipe.preset == other.name
        # Of the other kind, the preset of that name is still there.
        assert f"{chat.name} (pinned)" in repr(canvas.vram)
        words.delete(chat.name)
        assert "(pinned)" not in repr(canvas.vram)
    finally:
        canvas.unload()
