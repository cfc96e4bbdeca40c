"""Every architecture that is promised makes a picture from a diffusers folder."""

from pathlib import Path

import pytest
import torch
import transformer_models

from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.workers.image import loading, stages

KINDS = {
    "StableDiffusion3Pipeline": transformer_models.make_sd3,
    "FluxPipeline": transformer_models.make_flux,
    "ZImagePipeline": transformer_models.make_z_image,
    "QwenImagePipeline": transformer_models.make_qwen_image,
}


def sides(path: Path) -> tuple[int, int]:
    pipeline = loading.load(path, torch.device("cpu"), torch.float32)
    assert type(pipeline).__name__ == path.name
    params = ResolvedParams(
        prompt="a red circle",
        width=64,
        height=32,
        num_inference_steps=2,
        guidance_scale=1.0,
        seed=1,
        scheduler="",
    )
    steps = stages.of(pipeline)
    generators = [torch.Generator().manual_seed(1)]
    with torch.inference_mode():
        sampled = steps.denoise(steps.encode(params), params, generators, lambda *_: None)
        [image] = steps.decode(sampled)
    return image.size


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_a_transformer_makes_a_picture(kind: str, tmp_path: Path) -> None:
    assert sides(KINDS[kind](tmp_path / kind)) == (64, 32)


def test_folders_of_stable_diffusion_make_pictures(
    tiny_sd: Path, tiny_sdxl: Path, tmp_path: Path
) -> None:
    for folder, kind in (
        (tiny_sd, "StableDiffusionPipeline"),
        (tiny_sdxl, "StableDiffusionXLPipeline"),
    ):
        (tmp_path / kind).symlink_to(folder)
        assert sides(tmp_path / kind) == (64, 32)
