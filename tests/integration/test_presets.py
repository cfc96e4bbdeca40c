"""A preset says what a picture is made with, and a recipe which revision of it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from loras import make_lora

from mysticanvas import Canvas, ImagePreset, LLMPreset, errors
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.jobs import HostRequest

SMALL = {"num_inference_steps": 2, "seed": 7}


def test_a_preset_brings_its_defaults_and_is_named_by_the_recipe(
    canvas: Canvas, folder: Path
) -> None:
    ink = ImagePreset(
        name=folder.name, model=str(folder), default_params={"num_inference_steps": 3, "width": 32}
    )
    saved = canvas.presets.image.save(ink)
    assert (saved.revision, saved.architecture) == (1, "StableDiffusionPipeline")
    # What it weighs may have been told meanwhile.
    assert canvas.presets.image[ink.name].replace() == ink
    assert ink in [each.replace() for each in canvas.presets.image.list()]
    assert ink.name in canvas.presets.image
    assert ink.name in canvas.presets.image._repr_html_()
    image = canvas.generate("a", preset=ink.name, seed=7)
    assert (image.width, image.recipe.params.num_inference_steps) == (32, 3)
    assert (image.recipe.preset, image.recipe.preset_revision) == (ink.name, 1)
    other = canvas.generate("a", preset=ink.replace(default_params={"width": 64}), **SMALL)
    assert (other.width, other.recipe.preset_revision) == (64, 2)
    revisions = canvas.presets.image.revisions(ink.name)
    assert [each.default_params["width"] for each in revisions] == [32, 64]
    canvas.presets.image.delete(ink.name)
    assert ink.name not in canvas.presets.image
    result = canvas.reproduce(image)
    assert result.matches


def test_a_preset_says_what_the_worker_will_hold(
    canvas: Canvas, folder: Path, tiny_llm: Path
) -> None:
    canvas.presets.image.save(ImagePreset(name=folder.name, model=str(folder)))
    canvas.presets.llm.save(LLMPreset(name=folder.name, model=str(tiny_llm), n_ctx=256))
    request = HostRequest(kind="weigh")
    job = canvas._connection.call(lambda api: api.submit(request, new_id()))
    canvas.job(job.id).result()
    canvas.generate("a", preset=folder.name, **SMALL)
    canvas.workers.start("llm", folder.name)
    image, words = (kind[folder.name] for kind in (canvas.presets.image, canvas.presets.llm))
    held = {
        each.worker: sum(part.mib for part in each.parts if part.name.startswith("weights"))
        for each in canvas.vram.workers
    }
    assert held == {
        "image": pytest.approx(image.vram_weights_mib),
        # As llama.cpp says it, to two places.
        "llm": pytest.approx(words.vram_weights_mib, abs=0.005),
    }
    assert f"{image.vram_weights_mib:.1f} MiB" in canvas.presets.image._repr_html_()
    [row] = canvas.sql(
        "SELECT vram_weights_mib FROM presets WHERE name = $name AND kind = 'llm'",
        {"name": folder.name},
    ).itertuples()
    assert row.vram_weights_mib == words.vram_weights_mib
    canvas.unload()
    canvas.presets.llm.delete(folder.name)


def test_loras_of_a_preset_and_of_a_call_from_end_to_end(
    canvas: Canvas, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "loras").mkdir()
    ink = make_lora(folder, tmp_path / "loras" / f"ink-{folder.name}.safetensors", seed=1)
    chalk = make_lora(folder, tmp_path / "chalk.safetensors", layout="kohya", seed=2)
    canvas.models.add(tmp_path / "loras")
    assert ink.stem in [each.name for each in canvas.models.list("lora")]
    drawn = ImagePreset(name=folder.name, model=str(folder), loras={ink.stem: 0.8})
    canvas.presets.image.save(drawn)
    file = canvas.presets.image.export(tmp_path / "presets.toml", drawn.name)
    [again] = canvas.presets.image.load(file)
    assert again.loras == drawn.loras
    image = canvas.generate("a", preset=drawn.name, **SMALL)
    both = canvas.generate("a", preset=drawn.name, loras={chalk: 0.5}, **SMALL)
    none = canvas.generate("a", preset=drawn.name, loras={ink.stem: 0}, **SMALL)
    plain = canvas.generate("a", preset=folder, **SMALL)
    assert none.pixels_sha256 == plain.pixels_sha256
    assert len({each.pixels_sha256 for each in (image, both, none)}) == 3
    plan = canvas.plan("a", preset=drawn.name, loras={chalk: 0.5})
    [term] = [each for each in plan.terms if each.name == "weights.loras"]
    assert term.mib > 0
    made: dict[str, Any] = {}
    for each in (both, none):
        code = each.recipe.to_code().replace("Canvas()", "canvas")
        exec(code, {"canvas": canvas}, made)
        assert made["image"].pixels_sha256 == each.pixels_sha256
    chalk.rename(tmp_path / "moved.safetensors")
    shutil.copy(tmp_path / "moved.safetensors", chalk)
    ink.rename(ink.with_name("other.safetensors"))
    canvas.generate("a", preset=folder, loras={"other": 1}, **SMALL)  # is seen there
    assert canvas.reproduce(both).matches


def test_a_path_leaves_a_preset_of_the_same_model_as_it_is(canvas: Canvas, folder: Path) -> None:
    own = ImagePreset(name=folder.name, model=str(folder), default_params={"width": 32})
    saved = canvas.presets.image.save(own)
    for _ in range(2):
        image = canvas.generate("a", preset=folder, **SMALL)
        assert (image.recipe.preset, image.width) == (f"{folder.name}-2", 64)
    found = canvas.presets.image[folder.name]
    assert (found.replace(), found.revision) == (own, saved.revision)


def test_the_default_is_used_where_none_is_named(canvas: Canvas, folder: Path) -> None:
    presets = canvas.presets.image
    assert presets.default == "starter"
    canvas.presets.image.save(ImagePreset(name=folder.name, model=str(folder)))
    try:
        presets.default = presets[folder.name]
        assert canvas.generate("a", **SMALL).recipe.preset == folder.name
    finally:
        presets.delete(folder.name)
    assert presets.default == "starter"
    with pytest.raises(errors.NotFound):
        presets.default = "no-such"


def test_presets_of_language_models_are_kept(
    canvas: Canvas, tiny_llm: Path, tmp_path: Path
) -> None:
    presets = canvas.presets.llm
    preset = LLMPreset(name="tiny", model=str(tiny_llm), n_ctx=512)
    assert presets.default is None
    try:
        assert presets.save(preset).replace() == preset
        assert [each.name for each in presets] == ["tiny"]
        presets.save(preset.replace(n_ctx=1024))
        assert [each.n_ctx for each in presets.revisions("tiny")] == [512, 1024]
        presets.default = preset
        assert presets.default == "tiny"
        presets.default = None
        assert presets.default is None
        [again] = presets.load(presets.export(tmp_path / "llm.toml"))
        assert again.n_ctx == 1024
        with pytest.raises(errors.PresetError, match=r"is a language model \(llama\)"):
            canvas.generate("a", preset=tiny_llm)
        with pytest.raises(errors.InvalidRequest, match="allowed is an image preset or its name"):
            canvas.generate("a", preset=preset)  # type: ignore[arg-type]
    finally:
        presets.delete("tiny")
    assert len(presets) == 0
    with pytest.raises(errors.InvalidRequest, match="type_v='q8_0'.*A head has 16 elements"):
        presets.save(preset.replace(type_v="q8_0"))
    with pytest.raises(errors.NotFound):
        presets.default = "no-such"


def test_what_cannot_be_used_is_refused_before_a_job_is_made(
    canvas: Canvas, tmp_path: Path, folder: Path
) -> None:
    pickle = tmp_path / "model.ckpt"
    pickle.write_bytes(b"\x80\x04.")
    with pytest.raises(errors.ModelFileError, match="pickle") as refused:
        canvas.generate("a", preset=pickle)
    assert "save_file" in refused.value.hint
    with pytest.raises(errors.PresetError, match=r"models\.pull\('nobody/nothing@v1'\)"):
        canvas.generate("a", preset="nobody/nothing@v1")
    with pytest.raises(errors.PresetError, match="vae: there is nothing"):
        canvas.presets.image.save(
            ImagePreset(name="x", model=str(folder), vae="/no/such.safetensors")
        )
    with pytest.raises(errors.InvalidRequest, match="no LoRA 'a'"):
        canvas.presets.image.save(ImagePreset(name="x", model=str(folder), loras={"a": 1.0}))
    with pytest.raises(errors.InvalidRequest, match="ships"):
        canvas.presets.image.delete("starter")
    with pytest.raises(errors.InvalidRequest, match="ships"):
        canvas.presets.image.save(ImagePreset(name="starter", model=str(folder)))
    assert canvas.images().total == 0
