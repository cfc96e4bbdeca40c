import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from tasks import make_task
from transformer_models import MAKERS
from transformers import CLIPImageProcessorPil

from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.errors import InvalidRequest, ModelFileError
from mysticanvas.workers.image import loading, stages
from mysticanvas.workers.image.folder import INDEX

CPU = torch.device("cpu")
Load = Callable[..., Any]


@pytest.fixture(scope="module")
def load(tiny_sd: Path, tiny_sdxl: Path) -> Load:
    """Loads a tiny model by name and number format, each once."""
    loaded: dict[tuple[str, torch.dtype], Any] = {}

    def load(name: str, dtype: torch.dtype = torch.float32) -> Any:
        if (name, dtype) not in loaded:
            folder = {"sd": tiny_sd, "sdxl": tiny_sdxl}[name]
            loaded[name, dtype] = loading.load(folder, CPU, dtype)
        return loaded[name, dtype]

    return load


def params(**changes: Any) -> ResolvedParams:
    return make_task(Path("sd"), **changes).recipe.params


def generators(params: ResolvedParams) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(params.seed + k) for k in range(params.num_images)]


def in_stages(pipeline: Any, params: ResolvedParams) -> list[Image.Image]:
    with torch.inference_mode():
        made = stages.of(pipeline)
        encoded = made.encode(params)
        sampled = made.denoise(encoded, params, generators(params), lambda *_: None)
        return made.decode(sampled)


def in_one_call(pipeline: Any, params: ResolvedParams) -> list[Image.Image]:
    given = {"negative_prompt": params.negative_prompt}
    # An empty one is none; but Qwen-Image is guided by one alone.
    if not params.negative_prompt and type(pipeline).__name__ != "QwenImagePipeline":
        given = {}
    images: list[Image.Image] = pipeline(
        params.prompt,
        **given,
        width=params.width,
        height=params.height,
        num_inference_steps=params.num_inference_steps,
        guidance_scale=params.guidance_scale,
        num_images_per_prompt=params.num_images,
        generator=generators(params),
    ).images
    return images


def assert_same(ours: list[Image.Image], theirs: list[Image.Image]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("name", ["sd", "sdxl"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"negative_prompt": "blurry"},
        {"guidance_scale": 1.0},
        {"guidance_scale": 0.0, "negative_prompt": "blurry"},
        {"num_images": 3},
        {"width": 40, "height": 96},
        {"prompt": "many words " * 40},
        {"prompt": ""},
        {"num_inference_steps": 1},
    ],
    ids=str,
)
def test_three_stages_give_the_pixels_of_one_call(
    load: Load, name: str, changes: dict[str, Any]
) -> None:
    pipeline = load(name)
    wanted = params(**changes)
    ours = in_stages(pipeline, wanted)
    assert_same(ours, in_one_call(pipeline, wanted))
    assert [image.size for image in ours] == [(wanted.width, wanted.height)] * wanted.num_images


# It is the pipeline's own call that still uses the deprecated method.
@pytest.mark.filterwarnings("ignore:`upcast_vae`:FutureWarning")
@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_also_in_half_precision_where_the_vae_is_widened(load: Load, name: str) -> None:
    pipeline = load(name, torch.float16)
    small = params(num_inference_steps=1, width=16, height=16)
    ours = in_stages(pipeline, small)
    assert pipeline.vae.dtype is torch.float16
    assert_same(ours, in_one_call(pipeline, small))


@pytest.fixture(scope="module", params=MAKERS)
def transformer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny diffusion transformer, named after its pipeline."""
    return MAKERS[request.param](tmp_path_factory.mktemp("transformers") / request.param)


@pytest.fixture(scope="module")
def transforming(transformer: Path) -> Any:
    return loading.load(transformer, CPU, torch.float32)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"negative_prompt": "blurry"},
        {"guidance_scale": 1.0},
        {"guidance_scale": 0.0},
        {"num_images": 3},
        {"width": 48, "height": 96},
        {"prompt": "many words " * 40},
        {"num_inference_steps": 1},
    ],
    ids=str,
)
def test_transformers_give_the_pixels_of_one_call_and_decode_apart_from_it(
    transforming: Any, changes: dict[str, Any]
) -> None:
    wanted = params(**changes)
    assert stages.of(transforming).decodes
    ours = in_stages(transforming, wanted)
    assert_same(ours, in_one_call(transforming, wanted))
    assert [image.size for image in ours] == [(wanted.width, wanted.height)] * wanted.num_images


def test_transformers_do_so_in_the_format_that_they_have_on_a_gpu(transformer: Path) -> None:
    pipeline = loading.load(transformer, CPU, torch.bfloat16)
    wanted = params(num_inference_steps=2, num_images=2)
    assert_same(in_stages(pipeline, wanted), in_one_call(pipeline, wanted))


def test_latents_of_transformers_are_as_the_vae_takes_them(transforming: Any) -> None:
    made, wanted = stages.of(transforming), params(num_images=2)
    with torch.inference_mode():
        sampled = made.denoise(made.encode(wanted), wanted, generators(wanted), lambda *_: None)
        assert len(sampled.latents) == 2
        assert_same(made.decode(sampled), made.decode(sampled))


def test_seed_and_prompt_decide_the_picture(load: Load) -> None:
    pipeline = load("sd")
    pictures = [
        in_stages(pipeline, params(**changes))[0].tobytes()
        for changes in ({}, {}, {"seed": 8}, {"prompt": "a green star"})
    ]
    assert pictures[0] == pictures[1]
    assert len(set(pictures)) == 3


def test_picture_k_of_a_batch_has_the_noise_of_seed_plus_k(load: Load) -> None:
    pipeline = load("sd")
    batch = in_stages(pipeline, params(num_images=2))
    alone = in_stages(pipeline, params(seed=8))
    difference = np.asarray(batch[1], np.int16) - np.asarray(alone[0], np.int16)
    assert np.abs(difference).max() <= 4  # a batch rounds a little differently


def test_decoding_again_gives_the_same_pixels(load: Load) -> None:
    made = stages.of(load("sdxl"))
    with torch.inference_mode():
        sampled = made.denoise(made.encode(params()), params(), generators(params()), lambda *_: 0)
        assert_same(made.decode(sampled), made.decode(sampled))


@pytest.mark.parametrize(
    ("scheduler", "count"), [("DDIMScheduler", 3), ("HeunDiscreteScheduler", 5)]
)
def test_every_step_is_told_with_its_latents(load: Load, scheduler: str, count: int) -> None:
    pipeline = load("sd")
    own, pipeline.scheduler = (
        pipeline.scheduler,
        getattr(diffusers, scheduler).from_config(pipeline.scheduler.config),
    )
    told: list[tuple[int, int, tuple[int, ...]]] = []
    made = stages.of(pipeline)
    wanted = params(num_images=2)
    made.denoise(
        made.encode(wanted),
        wanted,
        generators(wanted),
        lambda step, steps, latents: told.append((step, steps, tuple(latents.shape))),
    )
    pipeline.scheduler = own
    assert told == [(step + 1, count, (2, 4, 16, 16)) for step in range(count)]


def test_an_exception_of_a_step_ends_the_sampling(load: Load) -> None:
    made = stages.of(load("sd"))
    steps = []

    def stop(step: int, _: int, __: torch.Tensor) -> None:
        steps.append(step)
        if step == 2:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        made.denoise(made.encode(params()), params(), generators(params()), stop)
    assert steps == [1, 2]


def test_the_safety_checker_of_the_folder_is_heard(load: Load) -> None:
    """With one that blocks everything, the picture is what the pipeline itself makes of it."""

    class BlockAll(torch.nn.Module):
        device, dtype = CPU, torch.float32

        def forward(self, images: Any, clip_input: Any) -> tuple[Any, list[bool]]:
            return torch.zeros_like(images), [True] * len(images)

    parts = dict(load("sd").components)
    parts["safety_checker"] = BlockAll()
    parts["feature_extractor"] = CLIPImageProcessorPil(
        size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8}
    )
    pipeline = diffusers.StableDiffusionPipeline(**parts)
    pipeline.set_progress_bar_config(disable=True)
    ours = in_stages(pipeline, params())
    assert_same(ours, in_one_call(pipeline, params()))
    assert ours[0].getextrema() == ((0, 0),) * 3


@pytest.fixture
def other(tiny_sd: Path, tmp_path: Path) -> Callable[[str], Path]:
    """The tiny model as a folder of another pipeline that has the same parts."""

    def named(kind: str) -> Path:
        folder = Path(shutil.copytree(tiny_sd, tmp_path / kind))
        index = folder / INDEX
        index.write_text(index.read_text().replace("StableDiffusionPipeline", kind))
        return folder

    return named


def test_any_other_pipeline_runs_as_a_whole(other: Callable[[str], Path]) -> None:
    pipeline = loading.load(other("StableDiffusionPAGPipeline"), CPU, torch.float32)
    assert isinstance(stages.of(pipeline), stages.WholePipeline)
    assert_same(in_stages(pipeline, params()), in_one_call(pipeline, params()))


def test_a_pipeline_that_needs_more_than_a_prompt_is_refused(other: Callable[[str], Path]) -> None:
    pipeline = loading.load(other("StableDiffusionImg2ImgPipeline"), CPU, torch.float32)
    with pytest.raises(ModelFileError, match="makes no picture from a prompt alone"):
        in_stages(pipeline, params())


def test_a_request_that_a_pipeline_refuses_is_not_put_down_to_a_missing_picture() -> None:
    class Strict:
        def __call__(self, prompt: str, width: int) -> None:
            raise ValueError(f"width {width} is odd")

    made = stages.WholePipeline(Strict())
    with pytest.raises(ModelFileError, match=r"makes no picture of this request: width \d+ is odd"):
        made.denoise(made.encode(params()), params(), generators(params()), lambda *_: None)


def test_a_negative_prompt_is_refused_where_there_is_none() -> None:
    class Plain:
        def __call__(self, prompt: str) -> None: ...

    made = stages.WholePipeline(Plain())
    assert made.encode(params())["prompt"] == params().prompt
    with pytest.raises(InvalidRequest, match="takes no negative prompt"):
        made.encode(params(negative_prompt="blurry"))
