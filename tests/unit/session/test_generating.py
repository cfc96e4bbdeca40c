"""What a canvas makes of a preset that comes with a request, over real routes and a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from routes import TOKEN, Routes

from mysticanvas import Canvas, ImagePreset, InvalidRequest, PresetError
from mysticanvas.home import HomePaths
from mysticanvas.store import Store


@pytest.fixture
def canvas(tmp_path: Path) -> Iterator[Canvas]:
    home = tmp_path / "home"
    with (
        Store.open(HomePaths.of(home)) as store,
        Routes(store, HomePaths.of(home)).served() as routes,
        Canvas(home=home, url=routes.url, token=TOKEN) as canvas,
    ):
        yield canvas


def test_a_refused_request_saves_no_preset(canvas: Canvas, tiny_sd: Path) -> None:
    saved = canvas.presets.image.save(ImagePreset(name="ink", model=str(tiny_sd)))
    changed = saved.replace(dtype="float16")
    for bad in ({"steps": 3}, {"width": 7}, {"after_crash": "retry"}):
        with pytest.raises(InvalidRequest):
            canvas.submit("x", preset=changed, **bad)  # type: ignore[arg-type]
    assert [each.dtype for each in canvas.presets.image.revisions("ink")] == ["auto"]
    canvas.submit("x", preset=changed)
    assert [each.dtype for each in canvas.presets.image.revisions("ink")] == ["auto", "float16"]


def test_a_name_is_that_of_a_preset_or_of_what_lies_here(
    canvas: Canvas, tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ink").symlink_to(tiny_sd)
    canvas.submit("x", preset="ink")
    [made] = canvas.presets.image.list()
    assert made.model == str(tiny_sd)
    (tmp_path / "chalk").mkdir()
    canvas.presets.image.save(ImagePreset(name="chalk", model=str(tiny_sd)))
    assert canvas.submit("x", preset="chalk").status == "queued"
    with pytest.raises(InvalidRequest, match="no preset 'castle'"):
        canvas.submit("x", preset="castle")


def test_what_looks_like_a_hub_id_may_be_a_mistyped_path_and_an_address_is_that_of_an_id(
    canvas: Canvas,
) -> None:
    with pytest.raises(PresetError) as refused:
        canvas.submit("x", preset="models/sd15")
    assert "canvas.models.pull('models/sd15')" in refused.value.hint
    assert "working directory" in refused.value.hint
    with pytest.raises(InvalidRequest) as unknown:
        canvas.submit("x", preset="https://huggingface.co/owner/name/tree/main")
    assert "canvas.models.pull('owner/name')" in unknown.value.hint


def test_what_is_pulled_and_unloaded_is_named(canvas: Canvas) -> None:
    files: Any
    for files in ("", ["*.gguf"] * 51, ["*.gguf", ""], "x" * 301, b"x", None, 7, ["a", 7]):
        with pytest.raises(InvalidRequest, match="^files=.*or at most 50 patterns") as refused:
            canvas.models.pull("owner/name", files=files)
        assert refused.value.parameter == "files"
    revision: Any
    for revision in ("", "x" * 97, 7):
        with pytest.raises(InvalidRequest, match="^revision=.*a branch, a tag or a commit"):
            canvas.models.pull("owner/name", revision)
    repo_id: Any
    for repo_id in ("", "o/" + "x" * 300, b"owner/name", None):
        with pytest.raises(InvalidRequest, match='^repo_id=.*"owner/name" or'):
            canvas.models.pull(repo_id)
    for preset in (Path("/m"), "owner/name", ""):
        with pytest.raises(InvalidRequest, match="^preset="):
            canvas.unload(preset)  # type: ignore[arg-type]
