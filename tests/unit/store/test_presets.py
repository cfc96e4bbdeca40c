"""Presets by name."""

from __future__ import annotations

import json

import pytest

from mysticanvas.contracts.base import canonical_json
from mysticanvas.contracts.presets import ImagePreset, LLMPreset
from mysticanvas.errors import NotFound
from mysticanvas.store import Store

INK = ImagePreset(
    name="ink", model="/models/ink", dtype="float16", default_params={"width": 64, "seed": None}
)


def revision(store: Store) -> int:
    return store.presets.get("ink").revision


def as_given(presets: list[ImagePreset]) -> list[ImagePreset]:
    """Without what the store adds."""
    return [preset.replace() for preset in presets]


def test_a_preset_comes_back_as_it_was_saved(store: Store) -> None:
    saved = store.presets.save(INK, "StableDiffusionPipeline")
    assert saved == store.presets.get("ink")
    assert saved.replace() == INK
    assert (saved.revision, saved.architecture) == (1, "StableDiffusionPipeline")
    assert INK.revision == 0


def test_presets_are_listed_by_name(store: Store) -> None:
    chalk = INK.replace(name="chalk")
    store.presets.save(INK)
    store.presets.save(chalk)
    assert as_given(store.presets.list()) == [chalk, INK]


def test_saving_again_replaces(store: Store) -> None:
    store.presets.save(INK)
    moved = INK.replace(model="/elsewhere/ink")
    store.presets.save(moved)
    assert as_given(store.presets.list()) == [moved]
    assert revision(store) == 2


def test_saving_the_same_makes_no_revision(store: Store) -> None:
    store.presets.save(INK)
    store.presets.save(INK.model_copy())
    assert revision(store) == 1


def test_several_are_kept_all_or_none(store: Store) -> None:
    chalk = INK.replace(name="chalk")
    saved = store.presets.save_all([(INK, "A"), (chalk, None)])
    assert [(each.name, each.revision, each.architecture) for each in saved] == [
        ("ink", 1, "A"),
        ("chalk", 1, None),
    ]
    moved = INK.replace(model="/elsewhere")
    with pytest.raises(AttributeError):
        store.presets.save_all([(moved, None), (None, None)])  # type: ignore[list-item]
    assert store.presets.get("ink").replace() == INK
    assert [each.revision for each in store.presets.revisions("ink")] == [1]


def test_an_unknown_preset_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="'nope'"):
        store.presets.get("nope")


def test_everything_that_a_preset_was_is_kept(store: Store) -> None:
    moved = INK.replace(model="/elsewhere/ink", vae="/models/vae.safetensors")
    for preset in (INK, moved, moved, INK):
        store.presets.save(preset)
    store.presets.delete("ink")
    revisions = store.presets.revisions("ink")
    assert [each.revision for each in revisions] == [1, 2, 3]
    assert as_given(list(revisions)) == [INK, moved, INK]


def test_a_deleted_preset_is_gone_and_its_name_is_free(store: Store) -> None:
    store.presets.save(INK)
    store.presets.delete("ink")
    assert store.presets.list() == []
    with pytest.raises(NotFound):
        store.presets.delete("ink")
    assert store.presets.save(INK).revision == 2


def test_kinds_have_names_of_their_own(store: Store) -> None:
    llm = LLMPreset(name="ink", model="/models/ink.gguf", type_k="q8_0", n_ctx=512)
    store.presets.save(INK)
    store.llm_presets.save(llm)
    assert store.llm_presets.get("ink").replace() == llm
    store.presets.delete("ink")
    assert as_given(store.presets.list()) == []
    assert len(store.llm_presets.list()) == 1


def test_the_digests_of_a_revisions_files_are_the_newest(store: Store) -> None:
    saved = store.presets.save(INK)
    assert store.presets.files(saved) is None
    for digest in ("a", "b", "a"):
        store.presets.keep_files(saved, {"model": digest})
        assert store.presets.files(saved) == {"model": digest}
    other = store.presets.save(INK.replace(dtype="float32"))
    assert store.presets.files(other) is None


def test_a_row_of_before_is_the_preset_of_today(store: Store) -> None:
    """What the first schemas wrote: no member but these two."""
    settings = '{"default_params":{"width":64,"seed":null},"dtype":"float16"}'
    with store.database.write() as transaction:
        transaction.run(
            "INSERT INTO presets (kind, name, revision, model, settings, created_at, updated_at) "
            "VALUES ('image', 'ink', 7, '/models/ink', $settings, now(), now())",
            settings=canonical_json(json.loads(settings)),
        )
    assert store.presets.get("ink").replace() == INK
    assert store.presets.save(INK).revision == 7
