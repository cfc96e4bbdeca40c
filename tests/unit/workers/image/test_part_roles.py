"""A folder that is given for a part of a model holds what plays that role."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import diffusers
import pytest
import torch

from mysticanvas.component_roles import check, is_autoencoder
from mysticanvas.contracts.model_files import ModelFiles
from mysticanvas.errors import ModelFileError
from mysticanvas.workers.image import components, loading
from mysticanvas.workers.image.parts import Replaced

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("role", "given", "message"),
    [
        (
            "vae",
            "unet",
            "that of 'UNet2DConditionModel', .* the vae of a model; allowed is an autoencoder",
        ),
        (
            "unet",
            "vae",
            "that of 'AutoencoderKL', .* the unet of a model; allowed is UNet2DConditionModel",
        ),
        (
            "unet",
            "text_encoder",
            "that of 'CLIPTextModel', .* of a model; allowed is UNet2DConditionModel",
        ),
        (
            "vae",
            "text_encoder",
            "that of 'CLIPTextModel', .* of a model; allowed is an autoencoder",
        ),
    ],
)
def test_a_component_is_taken_for_no_other_one(
    tiny_sd: Path, role: str, given: str, message: str
) -> None:
    part = tiny_sd / given
    with pytest.raises(ModelFileError, match=message) as refused:
        loading.load(tiny_sd, CPU, torch.float32, Replaced(**{role: part}))
    assert str(part / "config.json") in str(refused.value)
    with pytest.raises(ModelFileError, match=message):
        components.of(ModelFiles(path=str(tiny_sd), **{role: str(part)}))


def test_names_that_diffusers_takes_for_one_another_are_one() -> None:
    from diffusers.models.model_loading_utils import _CLASS_REMAPPING_DICT

    for old, remapped in _CLASS_REMAPPING_DICT.items():
        for new in remapped.values():
            for config, own in ((old, new), (new, old)):
                check(Path("c"), {"_class_name": config}, "transformer", own)
    with pytest.raises(ModelFileError):
        check(Path("c"), {"_class_name": "PixArtTransformer2DModel"}, "transformer", "SD3")


def test_an_autoencoder_may_be_of_another_kind(tmp_path: Path, tiny_sd: Path) -> None:
    tiny = diffusers.AutoencoderTiny()
    tiny.save_pretrained(tmp_path / "tiny")
    pipeline = loading.load(tiny_sd, CPU, torch.float32, Replaced(vae=tmp_path / "tiny"))
    assert type(pipeline.vae) is diffusers.AutoencoderTiny


def test_a_configuration_that_names_no_class_is_that_of_the_models_own(
    tmp_path: Path, tiny_sd: Path
) -> None:
    vae = Path(shutil.copytree(tiny_sd / "vae", tmp_path / "vae"))
    config = json.loads((vae / "config.json").read_text())
    del config["_class_name"]
    (vae / "config.json").write_text(json.dumps(config))
    pipeline = loading.load(tiny_sd, CPU, torch.float32, Replaced(vae=vae))
    assert type(pipeline.vae) is diffusers.AutoencoderKL


def test_autoencoders_are_known_by_their_names() -> None:
    of_sound_or_video = {"LTX2VideoDiffusionDecoderModel", "MMAudioVocoder", "MiniMaxMusic3Vocoder"}
    every = [getattr(diffusers, name) for name in dir(diffusers) if not name.startswith("_")]
    models = [each for each in every if isinstance(each, type)]
    found = {
        each.__name__: each.__module__.startswith("diffusers.models.autoencoders.")
        for each in models
        if issubclass(each, diffusers.ModelMixin) and each.__module__.startswith("diffusers.models")
    }
    missed = {name for name, is_one in found.items() if is_one != is_autoencoder(name)}
    assert sum(found.values()) > 20
    assert missed <= of_sound_or_video
