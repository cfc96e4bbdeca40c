"""Presets as TOML: what is written is read again, and nothing else is taken for one."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mysticanvas import ImagePreset, LLMPreset
from mysticanvas.contracts import preset_toml
from mysticanvas.errors import InvalidRequest
from mysticanvas.settings import data_folder

FOLDER = Path("/somewhere")
INK = ImagePreset(
    name='ink "ü"',
    model="/models/ink",
    vae="/models/vae.safetensors",
    clip=("/models/a", "/models/b"),
    loras={"/models/line.safetensors": 0.5},
    dtype="float16",
    default_params={"width": 64, "scheduler_config": {"use_karras_sigmas": True}},
)
HUB = ImagePreset(name="hub", model="owner/name@abc")
TINY = LLMPreset(name="tiny", model="/tiny.gguf", mmproj="/see.gguf", n_ctx=512, type_k="q8_0")


def test_what_is_written_is_read_again() -> None:
    text = preset_toml.write([INK, TINY, HUB])
    assert preset_toml.read(text, ImagePreset, FOLDER) == [INK, HUB]
    assert preset_toml.read(text, LLMPreset, FOLDER) == [TINY]


def test_names_of_loras_stay_and_their_paths_are_below_the_files_folder() -> None:
    text = (
        '[[image]]\nname = "a"\nmodel = "/m"\n[image.loras]\n'
        'ink = 1\n"./b" = 0.5\n"c/d.safetensors" = 0.25\n"~/e" = 2.0\n'
    )
    [preset] = preset_toml.read(text, ImagePreset, FOLDER)
    assert preset.loras == {
        "ink": 1.0,
        "/somewhere/b": 0.5,
        "/somewhere/c/d.safetensors": 0.25,
        "~/e": 2.0,
    }


def test_only_what_differs_is_written_and_nothing_computed() -> None:
    saved = HUB.replace(default_params={"seed": None, "width": 64}).model_copy(
        update={"revision": 3, "architecture": "FluxPipeline"}
    )
    value = tomllib.loads(preset_toml.write([saved]))
    assert value == {
        "image": [{"name": "hub", "model": "owner/name@abc", "default_params": {"width": 64}}]
    }


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("/a/b", "/a/b"),
        ("~/a", "~/a"),
        ("./a/b", "/somewhere/a/b"),
        ("../a", "/somewhere/../a"),
        ("a", "/somewhere/a"),
        ("a/b.safetensors", "/somewhere/a/b.safetensors"),
        ("a/b", "a/b"),
    ],
)
def test_a_relative_path_is_below_the_files_folder(given: str, meant: str) -> None:
    text = f'[[image]]\nname = "a"\nmodel = "{given}"\nvae = "x/y"\n'
    [preset] = preset_toml.read(text, ImagePreset, FOLDER)
    assert (preset.model, preset.vae) == (meant, "/somewhere/x/y")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[image", "a TOML file"),
        ("a = " + "[" * 5000, "a TOML file"),
        ('[[images]]\nname = "a"', r"\[\[image\]\]"),
        ('image = "a"', r"tables \[\[image\]\]"),
        ("image = [1]", r"a table \[\[image\]\]"),
        ('[[image]]\nname = "a"', "model=None"),
        ('[[image]]\nname = "a"\nmodel = "/a"\ndtype = "half"', "dtype='half'"),
        ('[[image]]\nname = "a"\nmodel = "/a"\nstyle = 3', "There is no 'style'"),
    ],
)
def test_what_is_no_preset_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        preset_toml.read(text, ImagePreset, FOLDER)


def test_the_presets_that_ship_have_models_that_ship() -> None:
    files = list((data_folder() / "presets").glob("*.toml"))
    assert files
    for file in files:
        for preset in preset_toml.read(file.read_text(), ImagePreset, file.parent):
            assert (Path(preset.model) / "model_index.json").is_file()
