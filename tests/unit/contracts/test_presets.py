"""Presets are refused before they are made, in words that help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mysticanvas import ImagePreset, LLMPreset
from mysticanvas.errors import InvalidRequest

INK = {"name": "ink", "model": "/models/ink"}


def test_a_preset_is_what_it_was_given() -> None:
    preset = ImagePreset(**INK, clip="/clip", loras={"ink": 0.5}, default_params={"width": 64})
    assert preset.clip == ("/clip",)
    assert (preset.revision, preset.architecture, preset.vram_weights_mib) == (0, None, None)
    assert ImagePreset.model_validate_json(preset.model_dump_json()) == preset
    with pytest.raises(ValidationError):
        preset.name = "other"


def test_a_copy_has_changes_and_is_unsaved() -> None:
    saved = ImagePreset(**INK, revision=3, architecture="FluxPipeline")
    copy = saved.replace(dtype="float16")
    assert copy == ImagePreset(**INK, dtype="float16")
    with pytest.raises(InvalidRequest, match="Did you mean 'dtype'"):
        saved.replace(dtpe="float16")
    with pytest.raises(InvalidRequest, match="dtype='half' is not allowed"):
        saved.replace(dtype="half")


def test_paths_may_be_objects_and_are_never_names() -> None:
    preset = ImagePreset(
        name="ink",
        model=Path("owner/name"),
        vae=Path("/v.safetensors"),
        clip=[Path("~/a"), "b"],
        loras={Path("chalk"): 0.5, "ink": 1},
    )
    assert (preset.model, preset.vae) == ("./owner/name", "/v.safetensors")
    assert preset.clip == ("~/a", "b")
    assert preset.loras == {"./chalk": 0.5, "ink": 1.0}
    assert ImagePreset(**INK, clip=Path("c")).clip == ("./c",)
    assert ImagePreset.model_validate_json(preset.model_dump_json()) == preset
    talk = LLMPreset(name="talk", model=Path("t.gguf"), mmproj=Path("/p.gguf"))
    assert (talk.model, talk.mmproj) == ("./t.gguf", "/p.gguf")


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("name", "", "text of 1 to 200"),
        ("name", "  ", "text of 1 to 200"),
        ("name", "a/b", "text of 1 to 200"),
        ("name", "a\x00", "text of 1 to 200"),
        ("name", "x" * 201, "text of 1 to 200"),
        ("name", 7, "text of 1 to 200"),
        ("model", "", "diffusers folder"),
        ("model", None, "diffusers folder"),
        ("vae", 1, "or None"),
        ("clip", ["/a"] * 5, "in the order"),
        ("loras", {"a": 11.0}, "weights from -10 to 10"),
        ("loras", {"a": True}, "weights from -10 to 10"),
        ("dtype", "half", '"bfloat16"'),
        ("default_params", {"steps": 3}, "Did you mean 'num_inference_steps'"),
        ("default_params", {"prompt": "a"}, "There is no 'prompt'"),
        ("default_params", {"width": 65}, "multiple of 8"),
        ("default_params", {"scheduler": "eular"}, "Did you mean 'euler'"),
        ("default_params", [], "a dict of"),
        ("colour", "red", "one of: name, model"),
    ],
)
def test_what_is_not_allowed_is_named(member: str, value: Any, words: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{member}=") as caught:
        ImagePreset(**{**INK, member: value})
    assert caught.value.parameter == member
    assert words in str(caught.value)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InvalidRequest, match="^model is missing; needed is the path of") as caught:
        ImagePreset(name="ink")
    assert (caught.value.parameter, caught.value.value) == ("model", "")
    with pytest.raises(InvalidRequest, match="^name is missing"):
        LLMPreset(model="/tiny.gguf")


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("n_ctx", 31, "tokens"),
        ("n_ctx", 4096.0, "tokens"),
        ("n_gpu_layers", -2, "all of them"),
        ("type_k", "q9_0", "q8_0"),
        ("capabilities", ["dance"], '"chat"'),
        ("default_params", {"temperature": 6}, "from 0 to 5"),
        ("default_params", {"max_tokens": 1.5}, "from 1 to"),
        ("default_params", {"top_k": True}, "from 0 to"),
        ("default_params", {"temprature": 1}, "Did you mean 'temperature'"),
        ("default_params", {"top_p": "1"}, "from 0 to 1"),
    ],
)
def test_what_is_not_allowed_of_a_language_model_is_named(
    member: str, value: Any, words: str
) -> None:
    with pytest.raises(InvalidRequest, match=f"^{member}=") as caught:
        LLMPreset(**{"name": "tiny", "model": "/tiny.gguf", member: value})
    assert words in str(caught.value)


def test_a_language_model_with_everything() -> None:
    preset = LLMPreset(
        name="tiny",
        model="/tiny.gguf",
        mmproj="/see.gguf",
        n_ctx=512,
        n_gpu_layers=0,
        type_k="q8_0",
        type_v="q4_0",
        capabilities=("chat", "vision"),
        default_params={"temperature": 0.7, "max_tokens": 100},
    )
    assert LLMPreset.model_validate_json(preset.model_dump_json()) == preset
    assert preset.replace(n_ctx=1024).n_ctx == 1024
