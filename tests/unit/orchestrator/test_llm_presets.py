"""Presets of language models are checked by the headers of their files before they are kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import ggufs
import pytest
import torch

from mysticanvas.contracts.presets import ImagePreset, LLMPreset
from mysticanvas.errors import InvalidRequest, ModelFileError, NotFound, PresetError
from mysticanvas.orchestrator.arbiter import language
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.orchestrator.llm_presets import LLMPresets
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.plugins import loading as plugins
from mysticanvas.store import Store

COMMIT = "c" * 40


@pytest.fixture
def presets(store: Store) -> LLMPresets:
    return LLMPresets(store, Inspector())


@pytest.fixture
def tiny(tiny_llm: Path) -> LLMPreset:
    return LLMPreset(name="tiny", model=str(tiny_llm))


def test_a_preset_is_kept_with_its_architecture(presets: LLMPresets, tiny: LLMPreset) -> None:
    saved = presets.save(tiny)
    assert saved.replace() == tiny
    assert (saved.revision, saved.architecture) == (1, "llama")


def test_a_hub_id_is_kept_with_its_revision_and_file(
    store: Store,
    presets: LLMPresets,
    tiny: LLMPreset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(PresetError, match=r"pull\('owner/name'\)"):
        presets.save(tiny.replace(model="owner/name"))
    base = tmp_path / "models--owner--name"
    snapshot = base / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (base / "refs").mkdir()
    (base / "refs" / "main").write_text(COMMIT)
    shutil.copy(tiny.model, base / "blob")
    (snapshot / "a.gguf").symlink_to(base / "blob")
    saved = presets.save(tiny.replace(model="owner/name"))
    assert saved.model == f"owner/name@{COMMIT}:a.gguf"
    # What is fetched beside it later does not make it mean something else.
    (snapshot / "b.gguf").symlink_to(base / "blob")
    assert presets.save(saved) == saved
    assert language._reference(saved, store).path == str(base / "blob")


def test_what_is_no_language_model_is_refused(
    presets: LLMPresets, tiny: LLMPreset, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(Path(tiny.model).read_bytes()[:-1000])
    with pytest.raises(ModelFileError, match=r"cut\.gguf is not a sound GGUF file"):
        presets.save(tiny.replace(model=str(cut)))
    draws = ggufs.write_tensors(tmp_path / "flux.gguf", {"a": torch.zeros(2, 32)}, "Q8_0")
    with pytest.raises(ModelFileError, match=r"model: .*holds no language model, but 'flux'"):
        presets.save(tiny.replace(model=str(draws)))
    with pytest.raises(PresetError, match=r"model: there is no \.gguf file"):
        presets.save(tiny.replace(model=str(tmp_path / "none.gguf")))
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(PresetError, match=r"model: there is no \.gguf file"):
        presets.save(tiny.replace(model=str(tmp_path / "pipe.gguf")))


def test_what_it_sees_with_is_looked_into(
    store: Store, presets: LLMPresets, tiny: LLMPreset, tmp_path: Path
) -> None:
    rubbish = tmp_path / "mmproj.gguf"
    rubbish.write_bytes(bytes(1 << 20))
    with pytest.raises(ModelFileError, match=r"mmproj\.gguf is not a sound GGUF file"):
        presets.save(tiny.replace(mmproj=str(rubbish)))
    with pytest.raises(ModelFileError, match=r"^mmproj: .* its architecture is 'llama'"):
        presets.save(tiny.replace(mmproj=tiny.model))
    sight = ggufs.make_projector(tmp_path / "sight.gguf")
    saved = presets.save(tiny.replace(mmproj=str(sight)))
    ref, blind = (language._reference(each, store) for each in (saved, tiny))
    assert (ref.mmproj, blind.mmproj) == (str(sight), None)
    assert ref.digest != blind.digest
    ggufs.make_projector(sight, numbers=2048)
    assert language._reference(saved, store).digest not in (ref.digest, blind.digest)


def test_a_cache_in_blocks_that_do_not_fit_is_refused(presets: LLMPresets, tiny: LLMPreset) -> None:
    for member in ("type_k", "type_v"):
        with pytest.raises(InvalidRequest, match=f"^{member}='q8_0'.*16 elements") as caught:
            presets.save(tiny.replace(**{member: "q8_0"}))
        assert caught.value.allowed == "f32, f16, bf16 for this model"
    with pytest.raises(InvalidRequest, match="the preset 'tiny': type_k='q8_0'"):
        presets.save_all([tiny.replace(name="other"), tiny.replace(type_k="q8_0")])
    with pytest.raises(NotFound):
        presets.delete("other")


def test_one_may_be_the_default(presets: LLMPresets, tiny: LLMPreset) -> None:
    assert presets.default is None
    with pytest.raises(NotFound):
        presets.set_default("tiny")
    presets.save(tiny)
    presets.set_default("tiny")
    assert presets.default == "tiny"
    presets.set_default(None)
    assert presets.default is None
    presets.set_default("tiny")
    presets.delete("tiny")
    assert presets.default is None


def test_a_language_model_draws_nothing(
    store: Store, presets: LLMPresets, tiny: LLMPreset, tiny_sd: Path
) -> None:
    images = Presets(store, Inspector(), plugins.load("none"), "image")
    presets.save(tiny)
    with pytest.raises(PresetError, match=r"tiny\.gguf is a language model \(llama\)"):
        images.find(tiny.model)
    drawn = ImagePreset(name="a", model=tiny.model, vae=str(tiny_sd), clip=str(tiny_sd))
    with pytest.raises(PresetError, match=r"tiny\.gguf is a language model \(llama\)"):
        images.save(drawn)
    with pytest.raises(PresetError, match="The preset 'tiny' is that of a language model"):
        images.find("tiny")
