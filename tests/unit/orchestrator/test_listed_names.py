"""What the list of models shows can be used by its name, or is refused with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mysticanvas.contracts import loras
from mysticanvas.contracts.presets import ImagePreset, LLMPreset
from mysticanvas.errors import InvalidRequest, ModelFileError, PresetError
from mysticanvas.orchestrator import library
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.orchestrator.llm_presets import LLMPresets
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.plugins import loading
from mysticanvas.settings import Settings
from mysticanvas.store import Store


@pytest.fixture
def presets(store: Store) -> Presets:
    return Presets(store, Inspector(), loading.load(Settings().plugins), "image")


@pytest.mark.parametrize("name", ["end.safetensors.safetensors", "~tilde.safetensors"])
def test_a_lora_is_used_by_the_name_that_is_listed(
    tmp_path: Path, store: Store, presets: Presets, name: str
) -> None:
    file = tmp_path / "loras" / name
    file.parent.mkdir()
    half = "unet.conv_in.lora"
    save_file({f"{half}_A.weight": torch.ones(1, 4), f"{half}_B.weight": torch.ones(8, 1)}, file)
    store.facts.set(library.FOLDERS, [str(file.parent)])
    [model] = library.find(file.parent, "here")
    own = ImagePreset(name="a", model="/m", loras={model.name: 1.0})
    assert not loras.is_path(model.name), "a kernel would make it absolute"
    [used] = presets.loras.of(own, {}).used
    assert used.file.path == str(file)


def test_a_model_by_the_name_that_is_listed_is_told_with_its_path(
    tmp_path: Path, store: Store, presets: Presets
) -> None:
    for kind in ("vae", "checkpoints"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "castle.safetensors").write_bytes(b"abc")
    (tmp_path / "vae" / "blue.safetensors").write_bytes(b"abc")
    store.facts.set(library.FOLDERS, [str(tmp_path / "vae"), str(tmp_path)])
    with pytest.raises(InvalidRequest) as refused:
        presets.find("castle")
    there = tmp_path / "checkpoints" / "castle.safetensors"
    assert refused.value.hint.endswith(f"preset={str(there)!r} draws with it.")
    with pytest.raises(InvalidRequest, match="no preset 'blue'.*Or give the path of"):
        presets.find("blue")


@pytest.mark.parametrize("name", ["~nobody-of-that-name", "~nobody-of-that-name/a.safetensors"])
def test_what_may_be_in_the_home_of_nobody_is_not_there(presets: Presets, name: str) -> None:
    with pytest.raises(InvalidRequest, match="there is no LoRA '~nobody"):
        presets.loras.of(ImagePreset(name="a", model="/m"), {name: 1.0})
    with pytest.raises(InvalidRequest, match="There is no preset '~nobody"):
        presets.find(name)


@pytest.mark.parametrize("suffix", [".SAFETENSORS", ".Gguf"])
def test_a_suffix_in_capitals_is_told(tmp_path: Path, presets: Presets, suffix: str) -> None:
    file = tmp_path / f"Foo{suffix}"
    file.write_bytes(b"abc")
    with pytest.raises(ModelFileError) as refused:
        presets.find(str(file))
    assert f"Rename it to Foo{suffix.lower()}: " in refused.value.hint


def test_a_language_model_in_capitals_is_told(tmp_path: Path, store: Store) -> None:
    file = tmp_path / "Foo.GGUF"
    file.write_bytes(b"abc")
    with pytest.raises(PresetError) as refused:
        LLMPresets(store, Inspector()).save(LLMPreset(name="a", model=str(file)))
    assert "Rename it to Foo.gguf: " in refused.value.hint


def test_a_pickle_is_one_in_capitals_too(tmp_path: Path, presets: Presets) -> None:
    (tmp_path / "a.CKPT").write_bytes(b"abc")
    with pytest.raises(ModelFileError, match="is a pickle"):
        presets.find(str(tmp_path / "a.CKPT"))
