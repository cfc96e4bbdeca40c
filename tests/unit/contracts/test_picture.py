import datetime

import pytest

from mysticanvas.contracts import picture
from mysticanvas.contracts.picture import PictureText
from mysticanvas.contracts.recipe import Recipe, ResolvedParams

TEXT = PictureText(
    image_id="0190",
    job_id="0191",
    project="default",
    created_at=datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC),
    pixels_sha256="d" * 64,
    recipe=Recipe(
        preset="starter",
        pipeline="StableDiffusionPipeline",
        params=ResolvedParams(
            prompt="замок 城",
            negative_prompt="blurry",
            width=128,
            height=64,
            num_inference_steps=20,
            guidance_scale=3.0,
            seed=7,
            scheduler="DDIMScheduler",
        ),
        model_files={"unet/model.safetensors": "abcdef0123456789"},
        batch_index=1,
    ),
)


def test_the_chunk_gives_back_what_went_in() -> None:
    assert picture.read(picture.chunks(TEXT)) == TEXT


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"mysticanvas": b"bytes"},
        {"mysticanvas": "no json"},
        {"mysticanvas": "{}"},
        {"mysticanvas": "[" * 100_000},
        {"mysticanvas": " " * (picture.MAX_CHUNK_CHARS + 1)},
    ],
)
def test_a_foreign_or_hostile_chunk_is_none(info: dict[str, object]) -> None:
    assert picture.read(info) is None


@pytest.mark.parametrize(
    ("files", "shown"),
    [
        ({"vae.safetensors": "c" * 64, "model.safetensors": "a" * 64}, "Model hash: aaaaaaaaaa, "),
        ({"unet.gguf": "b" * 64, "model.safetensors": "a" * 64}, "Model hash: aaaaaaaaaa, "),
        (
            {"unet/config.json": "c" * 64, "unet/x.safetensors": "b" * 64},
            "Model hash: bbbbbbbbbb, ",
        ),
        ({"model_index.json": "c" * 64, "unet.gguf": "b" * 64}, "Model hash: bbbbbbbbbb, "),
        ({"model_index.json": "c" * 64}, ""),
    ],
)
def test_other_tools_find_the_digest_of_the_model_if_it_is_known(
    files: dict[str, str], shown: str
) -> None:
    recipe = TEXT.recipe.model_copy(update={"model_files": files})
    assert f"Size: 128x64, {shown}Model: starter" in picture.a1111_parameters(recipe)


def test_other_tools_find_their_parameters() -> None:
    assert picture.chunks(TEXT)["parameters"].split("\n") == [
        "замок 城",
        "Negative prompt: blurry",
        "Steps: 20, Sampler: DDIMScheduler, CFG scale: 3.0, Seed: 8, Size: 128x64, "
        "Model hash: abcdef0123, Model: starter, Version: MystiCanvas",
    ]
