"""Presets from end to end: saved, used, changed under us, moved between homes."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
import transformer_models
from ggufs import write_tensors
from loras import make_lora
from safetensors.torch import load_file, save_file

from mysticanvas import Canvas, ImagePreset, LLMPreset, errors
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.jobs import HostRequest

SMALL = {"num_inference_steps": 2, "seed": 7}


@pytest.fixture
def folder(tiny_sd: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, named after the test: presets are of the shared home."""
    return Path(shutil.copytree(tiny_sd, tmp_path / f"model-{tmp_path.name}"))


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


def test_a_denoiser_out_of_a_gguf_file_and_a_lora_of_another_model(
    canvas: Canvas, folder: Path, tmp_path: Path
) -> None:
    flux = transformer_models.make_flux(tmp_path / f"flux-{folder.name}")
    file = tmp_path / "flux-q8.gguf"
    write_tensors(file, transformer_models.flux_transformer().state_dict(), "Q8_0")
    preset = ImagePreset(name=flux.name, model=str(flux), unet=str(file))
    image = canvas.generate("a", preset=preset, width=64, height=64, **SMALL)
    assert "unet.gguf" in image.recipe.model_files
    [term] = [
        each
        for each in canvas.plan("a", preset=flux.name, width=64, height=64).terms
        if each.name == "weights.transformer"
    ]
    held = {part.name: part.mib for part in canvas.workers["image"].memory_parts}
    assert held[term.name] == term.mib
    ink = make_lora(folder, tmp_path / "ink.safetensors")
    with pytest.raises(errors.ModelFileError, match="does not suit this FluxPipeline"):
        canvas.generate("a", preset=flux.name, loras={ink: 1}, width=64, height=64, **SMALL)
    assert canvas.reproduce(image).matches


def test_a_vae_from_elsewhere_changes_pixels_and_hash(
    canvas: Canvas, folder: Path, tmp_path: Path
) -> None:
    weights = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    weights["decoder.conv_out.bias"] += 0.5
    save_file(weights, tmp_path / "vae.safetensors")
    plain = ImagePreset(name=folder.name, model=str(folder))
    image = canvas.generate("a", preset=plain, **SMALL)
    bright = canvas.generate(
        "a", preset=plain.replace(vae=str(tmp_path / "vae.safetensors")), **SMALL
    )
    assert bright.numpy().mean() > image.numpy().mean()
    assert bright.recipe.request_hash != image.recipe.request_hash
    assert "vae.safetensors" in bright.recipe.model_files
    assert not any(name.startswith("vae/") for name in bright.recipe.model_files)


def test_a_path_leaves_a_preset_of_the_same_model_as_it_is(canvas: Canvas, folder: Path) -> None:
    own = ImagePreset(name=folder.name, model=str(folder), default_params={"width": 32})
    saved = canvas.presets.image.save(own)
    for _ in range(2):
        image = canvas.generate("a", preset=folder, **SMALL)
        assert (image.recipe.preset, image.width) == (f"{folder.name}-2", 64)
    found = canvas.presets.image[folder.name]
    assert (found.replace(), found.revision) == (own, saved.revision)


def test_files_that_change_under_a_preset_are_noticed(canvas: Canvas, folder: Path) -> None:
    preset = ImagePreset(name=folder.name, model=str(folder))
    first = canvas.submit("a", preset=preset, **SMALL)
    before = first.result()
    assert canvas.submit("a", preset=preset, **SMALL).result().recipe == before.recipe
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["conv_out.bias"] += 1.0
    save_file(weights, path, {"format": "pt"})
    job = canvas.submit("a", preset=folder.name, **SMALL)
    after = job.result()
    [notice] = job.notices
    assert "unet/diffusion_pytorch_model.safetensors" in notice
    assert after.recipe.preset_revision == before.recipe.preset_revision
    assert after.recipe.model_files != before.recipe.model_files
    assert not np.array_equal(after.numpy(), before.numpy())
    again = canvas.submit("a", preset=folder.name, **SMALL)
    again.result()
    assert again.notices == []


def test_no_picture_is_made_of_other_files_than_those_its_job_was_queued_with(
    canvas: Canvas, folder: Path
) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    first = shutil.copy(path, folder.parent / "first.safetensors")
    weights = load_file(path)
    weights["conv_out.bias"] += 1.0
    canvas.jobs.pause()
    try:
        job = canvas.submit("a", preset=folder, **SMALL)
        save_file(weights, path, {"format": "pt"})
    finally:
        canvas.jobs.resume()
    with pytest.raises(errors.ModelFileError, match=r"unet/diffusion_pytorch_model\.safetensors"):
        job.result()
    later = canvas.generate("a", preset=folder, **SMALL)
    # Nothing of the new file is left under the digest of the old one.
    shutil.copy(first, path)
    before = canvas.generate("a", preset=folder, **SMALL)
    assert before.recipe.model_files != later.recipe.model_files
    assert not np.array_equal(before.numpy(), later.numpy())


def test_a_single_file_is_a_preset_by_its_path(canvas: Canvas, tmp_path: Path) -> None:
    path = tmp_path / f"tiny-{tmp_path.name}.safetensors"
    checkpoints.write_sd(checkpoints.make_sd(), path)
    image = canvas.generate("a", preset=path, width=64, height=64, **SMALL)
    assert image.recipe.preset == path.stem
    assert image.recipe.pipeline == "StableDiffusionPipeline"
    assert list(image.recipe.model_files) == ["model.safetensors"]
    assert "from_single_file(MODEL" in image.recipe.to_code("diffusers")
    saved = canvas.presets.image[path.stem]
    assert saved.architecture == "StableDiffusionPipeline"


def test_presets_move_as_toml(canvas: Canvas, folder: Path, tmp_path: Path) -> None:
    preset = ImagePreset(
        name=f"{folder.name}-ü",
        model=str(folder),
        dtype="float32",
        default_params={"scheduler": "euler_a", "guidance_scale": 3.5},
    )
    canvas.presets.image.save(preset)
    file = canvas.presets.image.export(tmp_path / "presets.toml", preset.name)
    with pytest.raises(errors.InvalidRequest, match=r"presets\.toml"):
        canvas.presets.image.export(file)
    canvas.presets.image.delete(preset.name)
    [loaded] = canvas.presets.image.load(file)
    assert loaded.replace() == preset
    (tmp_path / "near.toml").write_text(
        f'[[image]]\nname = "{folder.name}-near"\nmodel = "./{folder.name}"\n'
    )
    [near] = canvas.presets.image.load(tmp_path / "near.toml")
    assert near.model == str(folder)
    (tmp_path / "bad.toml").write_text('[[image]]\nname = "x"\nmodel = "/x"\nsteps = 3\n')
    with pytest.raises(errors.InvalidRequest, match=r"bad\.toml, \[\[image\]\] 1 \('x'\): steps=3"):
        canvas.presets.image.load(tmp_path / "bad.toml")
    with pytest.raises(errors.InvalidRequest, match=r"none\.toml holds no presets.*No such file"):
        canvas.presets.image.load(tmp_path / "none.toml")


def test_all_that_was_exported_is_loaded_here_and_in_another_home(
    make_home: Callable[[], Path], folder: Path, tmp_path: Path
) -> None:
    with Canvas(home=make_home()) as canvas, Canvas(home=make_home()) as other:
        _exported_and_loaded(canvas, other, folder, tmp_path)
        for each in (canvas, other):
            each.shutdown(force=True)


def _exported_and_loaded(canvas: Canvas, other: Canvas, folder: Path, tmp_path: Path) -> None:
    presets = canvas.presets.image
    own = ImagePreset(name=folder.name, model=str(folder), default_params={"width": 32})
    revision = presets.save(own).revision
    file = presets.export(tmp_path / "all.toml")
    text = file.read_text()
    assert "starter" not in text
    [again] = [each for each in presets.load(file) if each.name == own.name]
    assert (again.replace(), again.revision) == (own, revision)
    loaded = {each.name: each.replace() for each in other.presets.image.load(file)}
    assert loaded == {own.name: own}
    assert {each.name for each in other.presets.image} == {own.name, "starter"}
    everything = other.presets.image.export(tmp_path / "more.toml", "starter", own.name)
    assert [each.name for each in presets.load(everything)] == ["starter", own.name]


def test_a_file_of_which_one_preset_cannot_be_used_saves_nothing(
    canvas: Canvas, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "two.toml"
    for second, error, words in (
        ('model = "./none"', errors.PresetError, "model: there is nothing at"),
        (f'model = "./{folder.name}"\nsteps = 3', errors.InvalidRequest, "steps=3"),
        (f'model = "./{folder.name}"\nloras = {{x = 1}}', errors.InvalidRequest, "no LoRA 'x'"),
    ):
        file.write_text(
            f'[[image]]\nname = "{folder.name}-1"\nmodel = "./{folder.name}"\n'
            f'[[image]]\nname = "{folder.name}-2"\n{second}\n'
        )
        with pytest.raises(error, match=rf"two\.toml.*'{folder.name}-2'.*{words}"):
            canvas.presets.image.load(file)
        assert f"{folder.name}-1" not in canvas.presets.image


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


HOSTILE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: path.write_bytes(b""),
    "huge header": lambda path: path.write_bytes(struct.pack("<Q", 1 << 60) + bytes(100)),
    "deep": lambda path: path.write_bytes(struct.pack("<Q", 200_000) + b"[" * 200_000),
    "wrongly typed": lambda path: path.write_bytes(
        struct.pack("<Q", 60)
        + b'{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}'.ljust(60)
        + bytes(8)
    ),
    "overlapping": lambda path: path.write_bytes(
        struct.pack("<Q", 120)
        + (
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
            b'"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}'
        ).ljust(120)
        + bytes(12)
    ),
}


@pytest.mark.fault("a hostile model file", "ModelFileError, and everything else goes on")
@pytest.mark.parametrize("damage", HOSTILE)
def test_a_hostile_file_is_an_error_and_nothing_more(
    canvas: Canvas, folder: Path, tmp_path: Path, damage: str
) -> None:
    single = tmp_path / "single.safetensors"
    single.write_bytes(bytes(1000))
    HOSTILE[damage](single)
    with pytest.raises(errors.ModelFileError, match=r"single\.safetensors"):
        canvas.generate("a", preset=single)
    HOSTILE[damage](folder / "unet" / "diffusion_pytorch_model.safetensors")
    restarts = canvas.workers["image"].restarts
    job = canvas.submit("a", preset=folder, **SMALL)
    with pytest.raises(errors.ModelFileError, match=r"damaged or cut off"):
        job.result(timeout=60)
    assert canvas.workers["image"].restarts == restarts


def test_models_of_other_programs_are_found_in_place(canvas: Canvas, folder: Path) -> None:
    before = sorted(folder.parent.rglob("*"))
    checkpoint = folder.parent / "checkpoints" / f"{folder.name}-file.safetensors"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"")
    added = canvas.models.add(folder.parent)
    assert {(model.name, model.layout) for model in added} == {
        (folder.name, "diffusers"),
        (checkpoint.stem, "safetensors"),
    }
    assert canvas.models.add(folder.parent) == added
    assert [model for model in canvas.models.list("image") if model in added] == added
    assert canvas.models[folder.name].path == str(folder)
    assert folder.name in canvas.models._repr_html_()
    image = canvas.generate("a", preset=canvas.models[folder.name].path, **SMALL)
    assert image.recipe.preset == folder.name
    assert sorted(folder.parent.rglob("*")) == sorted([*before, checkpoint, checkpoint.parent])
    with pytest.raises(errors.InvalidRequest, match="folder="):
        canvas.models.add("/no/such/folder")
    with pytest.raises(errors.InvalidRequest, match="kind='film'"):
        canvas.models.list("film")  # type: ignore[arg-type]
