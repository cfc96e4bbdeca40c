"""A part that plays another role is refused when a preset is kept, and before a job is made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import checkpoints
import pytest
import transformer_models

from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.errors import ModelFileError
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.plugins import loading
from mysticanvas.store import Store


@pytest.fixture
def presets(store: Store) -> Presets:
    return Presets(store, Inspector(), loading.load("none"), "image")


@pytest.mark.parametrize(
    ("role", "given", "allowed"),
    [("vae", "unet", "an autoencoder"), ("unet", "vae", "UNet2DConditionModel")],
)
def test_another_component_is_refused(
    store: Store, presets: Presets, tiny_sd: Path, role: str, given: str, allowed: str
) -> None:
    preset = ImagePreset(name="a", model=str(tiny_sd), **{role: str(tiny_sd / given)})
    message = f"{given}/config.json is that of .* the {role} of a model; allowed is {allowed}"
    with pytest.raises(ModelFileError, match=message):
        presets.save(preset)
    # One that was kept before, or whose files are others by now.
    with pytest.raises(ModelFileError, match=message):
        presets.model(store.presets.save(preset))


def test_a_denoiser_is_one_of_the_models_own_class(presets: Presets, tmp_path: Path) -> None:
    flux = transformer_models.make_flux(tmp_path / "flux")
    other = transformer_models.make_sd3(tmp_path / "sd3")
    for unet in (other, other / "transformer"):
        with pytest.raises(ModelFileError, match="allowed is FluxTransformer2DModel"):
            presets.save(ImagePreset(name="a", model=str(flux), unet=str(unet), vae=str(other)))
    presets.save(ImagePreset(name="a", model=str(flux), unet=str(flux), vae=str(other)))


def test_a_single_file_has_the_classes_that_ship_for_it(
    presets: Presets, tmp_path: Path, tiny_sd: Path
) -> None:
    path = checkpoints.write_sd(checkpoints.make_sd(), tmp_path / "sd.safetensors")
    preset = ImagePreset(name="a", model=str(path), vae=str(tiny_sd))
    with pytest.raises(ModelFileError, match="the unet of a model"):
        presets.save(preset.replace(unet=str(tiny_sd / "vae")))
    presets.save(preset.replace(unet=str(tiny_sd)))


@pytest.mark.parametrize("named", [{}, {"_class_name": "AutoencoderTiny"}])
def test_an_autoencoder_may_be_of_another_kind(
    presets: Presets, tmp_path: Path, tiny_sd: Path, named: dict[str, Any]
) -> None:
    vae = Path(shutil.copytree(tiny_sd / "vae", tmp_path / "vae"))
    config = json.loads((vae / "config.json").read_text())
    del config["_class_name"]
    (vae / "config.json").write_text(json.dumps(config | named))
    presets.save(ImagePreset(name="a", model=str(tiny_sd), vae=str(vae)))
