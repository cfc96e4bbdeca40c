"""Image presets are checked before they are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.errors import InvalidRequest, PresetError
from mysticanvas.orchestrator import starter_presets
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.plugins import loading as plugins
from mysticanvas.settings import data_folder
from mysticanvas.store import Store


@pytest.fixture
def presets(store: Store) -> Presets:
    starter_presets.keep(store, data_folder())
    return Presets(store, Inspector(), plugins.load("none"), "image")


def names(store: Store) -> list[str]:
    return [each.name for each in store.presets.list()]


def test_several_are_kept_all_or_none(store: Store, presets: Presets, tiny_sd: Path) -> None:
    good = ImagePreset(name="good", model=str(tiny_sd))
    bad = good.replace(name="bad", vae="/no/such.safetensors")
    with pytest.raises(PresetError, match="the preset 'bad': vae: there is nothing at /no/such"):
        presets.save_all([good, bad])
    assert names(store) == ["starter"]
    saved = presets.save_all([good, good.replace(name="other")])
    assert [(each.name, each.architecture) for each in saved] == [
        ("good", "StableDiffusionPipeline"),
        ("other", "StableDiffusionPipeline"),
    ]
    assert names(store) == ["good", "other", "starter"]


def test_what_ships_may_be_saved_as_it_is(store: Store, presets: Presets, tiny_sd: Path) -> None:
    shipped = store.presets.get("starter")
    assert presets.save(shipped) == shipped
    for changed in (shipped.replace(model=str(tiny_sd)), shipped.replace(dtype="float16")):
        with pytest.raises(InvalidRequest, match="'starter' ships with the package"):
            presets.save(changed)
    assert store.presets.get("starter") == shipped
