"""Presets by name."""

from __future__ import annotations

import pytest

from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.errors import NotFound
from mysticanvas.store import Store

INK = ImagePreset(
    name="ink", model="/models/ink", dtype="float16", default_params={"width": 64, "seed": None}
)


def revision(store: Store) -> int:
    [row] = store.database.read("SELECT revision FROM presets WHERE name = 'ink'")
    return int(row["revision"])


def test_a_preset_comes_back_as_it_was_saved(store: Store) -> None:
    store.presets.save(INK)
    assert store.presets.get("ink") == INK


def test_presets_are_listed_by_name(store: Store) -> None:
    chalk = INK.model_copy(update={"name": "chalk"})
    store.presets.save(INK)
    store.presets.save(chalk)
    assert store.presets.list() == [chalk, INK]


def test_saving_again_replaces(store: Store) -> None:
    store.presets.save(INK)
    moved = INK.model_copy(update={"model": "/elsewhere/ink"})
    store.presets.save(moved)
    assert store.presets.list() == [moved]
    assert revision(store) == 2


def test_saving_the_same_makes_no_revision(store: Store) -> None:
    store.presets.save(INK)
    store.presets.save(INK.model_copy())
    assert revision(store) == 1


def test_an_unknown_preset_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="'nope'"):
        store.presets.get("nope")
