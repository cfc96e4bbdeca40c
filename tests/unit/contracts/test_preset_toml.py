"""Presets as TOML: what is written is read again, and nothing else is taken for one."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mysticanvas import ImagePreset, LLMPreset
from mysticanvas.contracts import preset_toml
from mysticanvas.errors import InvalidRequest
from mysticanvas.settings import data_folder

FILE = Path("/somewhere/presets.toml")
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
    assert preset_toml.read(text, ImagePreset, FILE) == [INK, HUB]
    assert preset_toml.read(text, LLMPreset, FILE) == [TINY]


def test_names_of_loras_stay_and_their_paths_are_below_the_files_folder() -> None:
    text = (
        '[[image]]\nname = "a"\nmodel = "/m"\n[image.loras]\n'
        'ink = 1\n"./b" = 0.5\n"c/d.safetensors" = 0.25\n"~/e" = 2.0\n'
    )
    [preset] = preset_toml.read(text, ImagePreset, FILE)
    assert preset.loras == {
        "ink": 1.0,
        "/somewhere/b": 0.5,
        "/somewhere/c/d.safetensors": 0.25,
        "~/e": 2.0,
    }


def test_two_presets_of_one_name_are_refused_and_both_are_told() -> None:
    text = preset_toml.write([INK, HUB, HUB.replace(dtype="float16")])
    with pytest.raises(InvalidRequest, match=r"tables 2 and 3 \[\[image\]\] .* name, 'hub'"):
        preset_toml.read(text, ImagePreset, FILE)
    assert preset_toml.read(text, LLMPreset, FILE) == []
    both = preset_toml.write([HUB, LLMPreset(name="hub", model="/tiny.gguf")])
    assert len(preset_toml.read(both, ImagePreset, FILE)) == 1, "a name of each kind"


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
    [preset] = preset_toml.read(text, ImagePreset, FILE)
    assert (preset.model, preset.vae) == (meant, "/somewhere/x/y")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[image", "it is no TOML"),
        ("a = " + "[" * 5000, "it is no TOML"),
        ("a = " + "1" * 5000, "it has a whole number of too many digits"),
        ('[[images]]\nname = "a"', "it has 'images'"),
        ('image = "a"', "'image' is something else than tables"),
        ("image = [1]", "'image' is something else than tables"),
        ('[image]\nname = "a"', r"\[image\] is written with one bracket"),
        ("[[image]]\n" * 1001, r"1,001 tables \[\[image\]\]"),
    ],
)
def test_a_file_that_holds_something_else_is_named(text: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        preset_toml.read(text, ImagePreset, FILE)
    assert str(caught.value).startswith("/somewhere/presets.toml holds no presets")
    assert "at most 1,000 tables [[image]] and [[llm]]" in caught.value.allowed
    assert (caught.value.parameter, caught.value.value) == ("path", str(FILE))


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ('name = "a"', r" \('a'\): model is missing; needed is the path of"),
        ('model = "/a"', ": name is missing; needed is text of 1 to 200"),
        ('name = "a"\nmodel = "/a"\ndtype = "half"', r" \('a'\): dtype='half' is not allowed"),
        ('name = "a"\nmodel = "/a"\nstyle = 3', r" \('a'\): style=3 .* There is no 'style'"),
    ],
)
def test_a_preset_that_is_not_allowed_is_named(second: str, words: str) -> None:
    text = f'[[image]]\nname = "z"\nmodel = "/z"\n[[image]]\n{second}\n'
    with pytest.raises(InvalidRequest, match=rf"^/somewhere/presets\.toml, \[\[image\]\] 2{words}"):
        preset_toml.read(text, ImagePreset, FILE)


def test_the_presets_that_ship_have_models_that_ship() -> None:
    files = list((data_folder() / "presets").glob("*.toml"))
    assert files
    for file in files:
        for preset in preset_toml.read(file.read_text(), ImagePreset, file):
            assert (Path(preset.model) / "model_index.json").is_file()
