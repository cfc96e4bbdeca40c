"""Image presets whose denoiser is a GGUF file: what they need, and what counts of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformer_models
from ggufs import make_llm, write_tensors

from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.errors import ModelFileError, PresetError
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.plugins import loading
from mysticanvas.settings import Settings
from mysticanvas.store import Store


@pytest.fixture
def presets(store: Store) -> Presets:
    return Presets(store, Inspector(), loading.load(Settings().plugins), "image")


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return transformer_models.make_flux(tmp_path_factory.mktemp("flux") / "flux")


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "flux-q8.gguf"
    return write_tensors(path, transformer_models.flux_transformer().state_dict(), "Q8_0")


def test_as_the_model_it_needs_the_other_parts(presets: Presets, flux: Path, gguf: Path) -> None:
    with pytest.raises(PresetError, match="vae and clip is not given") as caught:
        presets.find(str(gguf))
    assert "vae=" in caught.value.hint
    alone = ImagePreset(name="flux", model=str(gguf), vae=str(flux))
    with pytest.raises(PresetError, match="clip is not given"):
        presets.save(alone)
    saved = presets.save(alone.replace(clip=str(flux)))
    assert saved.architecture == "FluxPipeline"
    model = presets.model(saved)
    assert "model.gguf" in model.files
    assert {name.partition("/")[0] for name in model.files} == {"model.gguf", "vae", "clip_1"}
    assert model.scheduler == "FlowMatchEulerDiscreteScheduler"


def test_as_a_part_it_counts_by_its_role(presets: Presets, flux: Path, gguf: Path) -> None:
    preset = presets.save(ImagePreset(name="flux", model=str(flux), unet=str(gguf)))
    files = presets.model(preset).files
    assert "unet.gguf" in files
    assert not any(name.startswith("transformer/") for name in files)


def test_other_parts_and_other_models_are_refused(
    presets: Presets, flux: Path, gguf: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelFileError, match=r"vae: .* is no .safetensors file"):
        presets.save(ImagePreset(name="x", model=str(flux), vae=str(gguf)))
    language = ImagePreset(
        name="x", model=str(make_llm(tmp_path / "llm.gguf")), vae=str(flux), clip=str(flux)
    )
    with pytest.raises(PresetError, match="is a language model"):
        presets.save(language)
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(gguf.read_bytes()[:-64])
    with pytest.raises(ModelFileError, match="not a sound GGUF file"):
        presets.save(ImagePreset(name="x", model=str(cut), vae=str(flux), clip=str(flux)))
