"""Contracts as a notebook shows them: what matters, in a line or two."""

from __future__ import annotations

from typing import Any

import pytest
from makers import Maker

from mysticanvas.contracts.health import Health, WorkerState, WorkerStatus
from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.presets import ImagePreset

DIGEST = "1b" * 32
STATUS = WorkerStatus(
    kind="image",
    pid=12,
    state=WorkerState.READY,
    restarts=0,
    preset="starter",
    memory=480.890625,
    base=404.1171875,
    memory_parts=[MemoryPart(name="weights.vae", mib=2.52, known="exact", device="cpu")],
    model=DIGEST,
)


def test_what_is_as_by_default_and_what_nobody_reads_is_left_out() -> None:
    assert repr(STATUS) == (
        "WorkerStatus(kind='image', pid=12, state='ready', restarts=0, preset='starter', "
        "memory=480.9)"
    )


def test_the_health_of_all_is_short() -> None:
    health = Health(
        process="orchestrator",
        state=WorkerState.READY,
        version="1",
        pid=12,
        uptime_s=21.068790520999755,
        memory_mib=133.1015625,
        models=[DIGEST],
        workers=[STATUS],
    )
    shown = repr(health)
    assert "uptime_s=21.1, memory_mib=133.1" in shown
    assert len(shown) < 240


def test_weights_of_a_preset_are_rounded_and_its_changes_are_there() -> None:
    preset = ImagePreset(name="a", model="/m", vram_weights_mib=20.218425750732422)
    assert repr(preset) == "ImagePreset(name='a', model='/m', vram_weights_mib=20.2)"
    assert "dtype='float16'" in repr(preset.replace(dtype="float16"))


@pytest.mark.parametrize("text", [repr, str])
def test_a_recipe_is_a_line_without_digests(text: Any) -> None:
    recipe = Maker().recipe(prompt="x" * 300, index=2, num_images=3, guidance_scale=float("nan"))
    shown = text(recipe)
    assert f"<Recipe '{'x' * 79}…' 16×8 steps=4 " in shown
    assert "seed=9 " in shown
    assert shown.endswith("preset='tiny' model_files=1>")
