"""A picture that is there already is used again only if the request could have come out as it."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from intakes import Generate

from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.images import FileRecord
from mysticanvas.contracts.mitigations import Allowed, Mitigation
from mysticanvas.contracts.recipe import Recipe
from mysticanvas.store import NewImage, Store

ASKED = {"seed": 3, "width": 64, "height": 64}


@pytest.fixture
def recipe(store: Store, generate: Generate) -> Recipe:
    task = store.jobs.get(generate(**ASKED).id).task
    assert task is not None
    return task.recipe


def record(home: Path, store: Store, recipe: Recipe, *mitigations: str) -> str:
    """Have a picture of a recipe that was made with these mitigations; its id."""
    (home / "there.png").touch()
    image = NewImage(
        id=new_id(),
        job_id=new_id(),
        batch_index=0,
        project="default",
        recipe=recipe.model_copy(update={"mitigations": mitigations}),
        mode="RGB",
        pixels_sha256="a",
        file=FileRecord(path="there.png", sha256="a", bytes=1, width=64, height=64),
        created_at=datetime.datetime.now(datetime.UTC),
    )
    store.images.add([image])
    return image.id


@pytest.mark.parametrize("mitigation", ["vae_slicing", "vae_tiling", "vae_cpu"])
@pytest.mark.parametrize("allowed", ["exact", "none"])
def test_who_allows_no_other_pixels_is_given_no_picture_that_has_them(
    tmp_path: Path,
    store: Store,
    generate: Generate,
    recipe: Recipe,
    allowed: Allowed,
    mitigation: Mitigation,
) -> None:
    plain = record(tmp_path, store, recipe)
    other = record(tmp_path, store, recipe, "offload_model", mitigation)

    assert [image.id for image in generate(reuse=True, **ASKED).images] == [other]
    found = generate(reuse=True, mitigations=allowed, **ASKED)
    assert [image.id for image in found.images] == [plain]
    store.images.delete([plain])
    assert not generate(reuse=True, mitigations=allowed, **ASKED).reused


@pytest.mark.parametrize("allowed", ["exact", "none"])
def test_weights_that_were_offloaded_made_the_same_picture(
    tmp_path: Path, store: Store, generate: Generate, recipe: Recipe, allowed: Allowed
) -> None:
    there = record(tmp_path, store, recipe, "offload_model")
    found = generate(reuse=True, mitigations=allowed, **ASKED)
    assert [image.id for image in found.images] == [there]
