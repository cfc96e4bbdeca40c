"""From a prompt to a picture that is kept, on real processes and a real pipeline."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mysticanvas import Canvas, Image, Images, errors
from mysticanvas.contracts import picture

SMALL = {"num_inference_steps": 4, "seed": 7}


def test_a_picture_is_made_kept_and_found_again(canvas: Canvas, tiny_sd: Path) -> None:
    image = canvas.generate("a red circle", preset=str(tiny_sd), **SMALL)
    assert isinstance(image, Image)
    assert image.pil().size == (image.width, image.height) == (64, 64)
    assert image.path.is_relative_to(canvas.home / "images")
    assert canvas.image(image.id).path == image.path
    assert canvas.image(image.id[-8:]).id == image.id
    page = canvas.images()
    assert [found.id for found in page] == [image.id]
    assert page.total == 1


def test_the_same_request_gives_the_same_pixels_in_another_home_too(
    canvas: Canvas, home: Path, tiny_sd: Path
) -> None:
    first = canvas.generate("a blue square", preset=str(tiny_sd), **SMALL)
    second = canvas.generate("a blue square", preset=str(tiny_sd), **SMALL)
    assert first.id != second.id
    with Canvas(home=home) as other:
        third = other.generate("a blue square", preset=str(tiny_sd), **SMALL)
        other.shutdown()
    assert np.array_equal(first.numpy(), second.numpy())
    assert np.array_equal(first.numpy(), third.numpy())
    assert repr(first) == repr(third)


def test_the_recipes_diffusers_code_makes_the_same_pixels(canvas: Canvas, tiny_sd: Path) -> None:
    image = canvas.generate(
        "a green star", preset=str(tiny_sd), num_images=2, scheduler="euler_a", **SMALL
    )[1]
    code = image.recipe.to_code("diffusers").replace(f"path/to/{image.recipe.preset}", str(tiny_sd))
    scope: dict[str, PIL.Image.Image] = {}
    exec(code, scope)
    assert np.array_equal(np.asarray(scope["image"]), image.numpy())


def test_a_batch_is_one_job_with_a_seed_for_each_picture(canvas: Canvas, tiny_sd: Path) -> None:
    images = canvas.generate("two", preset=str(tiny_sd), num_images=2, **SMALL)
    assert isinstance(images, Images)
    assert [image.seed for image in images] == [7, 8]
    assert len({image.job_id for image in images}) == 1
    assert len({image.recipe.hash for image in images}) == 2
    assert len({image.recipe.request_hash for image in images}) == 1
    one = canvas.generate("one", preset=str(tiny_sd), num_images=1, **SMALL)
    assert isinstance(one, Images)
    assert len(one) == 1


def test_the_file_says_everything_about_itself(canvas: Canvas, tiny_sd: Path) -> None:
    image = canvas.generate("замок 城", preset=str(tiny_sd), **SMALL)
    with PIL.Image.open(image.path) as file:
        text = picture.read(file.info)
    assert text is not None
    assert text.image_id == image.id
    assert text.recipe == image.recipe
    assert text.recipe.environment is not None
    assert text.recipe.environment.versions["torch"]
    assert set(text.recipe.model_files) >= {"model_index.json", "unet/config.json"}


def test_a_seed_is_drawn_and_recorded(canvas: Canvas, tiny_sd: Path) -> None:
    image = canvas.generate("x", preset=str(tiny_sd), num_inference_steps=2, seed=-1)
    again = canvas.generate("x", preset=str(tiny_sd), num_inference_steps=2, seed=image.seed)
    assert np.array_equal(image.numpy(), again.numpy())


def test_reuse_returns_the_picture_that_is_there(canvas: Canvas, tiny_sd: Path) -> None:
    ask = {"preset": str(tiny_sd), "num_inference_steps": 2, "reuse": True}
    first = canvas.generate("reused", **ask)
    again = canvas.submit("reused", **ask)
    assert again.result().id == first.id
    assert canvas.images().total == 1
    first.path.unlink()
    third = canvas.generate("reused", **ask)
    assert third.id != first.id
    assert np.array_equal(third.numpy(), canvas.image(third.id).numpy())


def test_reproduce_finds_the_same_pixels_and_adds_no_row(canvas: Canvas, tiny_sd: Path) -> None:
    image = canvas.generate("again", preset=str(tiny_sd), num_images=2, **SMALL)[1]
    for what in (image, image.id, image.path, image.recipe):
        result = canvas.reproduce(what)
        assert result.matches, what
        assert result.max_abs_diff == 0
        assert result.differences == []
    assert canvas.images().total == 2


def test_reproduce_tells_what_differs(canvas: Canvas, tiny_sd: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_sd, tmp_path / f"changing-{tmp_path.name}"))
    image = canvas.generate("again", preset=str(folder), **SMALL)
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.012", "0.02").replace("0.00085", "0.01"))
    result = canvas.reproduce(image)
    assert not result.matches
    assert result.max_abs_diff > 0
    assert any("scheduler_config.json" in str(line) for line in result.differences)
    assert result.image.id != image.id
    assert result.image.parent == image.id


@pytest.mark.parametrize(
    ("bad", "hint"),
    [
        ({"width": 100}, ""),
        ({"steps": 4}, "Did you mean 'num_inference_steps'?"),
        ({"preset": "stater"}, "Did you mean 'starter'?"),
        ({"preset": "/no/such/folder"}, "'starter'"),
        ({"scheduler": "eulr"}, "Did you mean 'euler'?"),
        ({"scheduler": "FlowMatchEulerDiscreteScheduler"}, ""),
        ({"scheduler_config": {"beta_strat": 0.1}}, "Did you mean 'beta_start'?"),
        ({"scheduler_config": {"num_train_timesteps": -5}}, ""),
        ({"seed": True}, ""),
    ],
)
def test_bad_input_is_refused_and_makes_no_job(
    canvas: Canvas, bad: dict[str, object], hint: str
) -> None:
    with pytest.raises(errors.InvalidRequest) as refused:
        canvas.generate("x", **bad)
    assert refused.value.parameter == next(iter(bad))
    assert refused.value.allowed
    assert refused.value.parameter in str(refused.value)
    assert hint in str(refused.value)
    assert canvas.images().total == 0
    assert canvas.jobs.list() == []


def test_a_recipe_that_generate_would_not_allow_makes_no_job(canvas: Canvas, tiny_sd: Path) -> None:
    recipe = canvas.generate("x", preset=str(tiny_sd), **SMALL).recipe
    for changes in ({"width": -8}, {"num_images": 0}, {"guidance_scale": float("nan")}):
        params = recipe.params.model_copy(update=changes)
        with pytest.raises(errors.InvalidRequest) as refused:
            canvas.reproduce(recipe.model_copy(update={"params": params}))
        assert refused.value.parameter == f"recipe.params.{next(iter(changes))}"
    assert len(canvas.jobs) == 1


def test_a_folder_that_is_no_model_is_refused(canvas: Canvas, tmp_path: Path) -> None:
    with pytest.raises(errors.PresetError, match=r"model_index\.json"):
        canvas.generate("x", preset=str(tmp_path))


def test_damaged_weights_fail_the_job_and_nothing_else(
    canvas: Canvas, tiny_sd: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_sd, tmp_path / f"damaged-{tmp_path.name}"))
    weights = next((folder / "unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-100])
    job = canvas.submit("x", preset=str(folder), **SMALL)
    with pytest.raises(errors.ModelFileError):
        job.result(timeout=120)
    assert job.status == "failed"
    assert canvas.generate("x", preset=str(tiny_sd), **SMALL).width == 64


def test_unload_gives_the_device_back(canvas: Canvas, tiny_sd: Path) -> None:
    canvas.generate("x", preset=str(tiny_sd), **SMALL)
    assert canvas.health().models
    with pytest.raises(errors.NotFound):
        canvas.unload("no-such-preset")
    canvas.unload()
    assert canvas.health().models == []
    canvas.generate("x", preset=str(tiny_sd), **SMALL)


def test_a_full_disk_refuses_the_job_before_it_is_made(
    make_home: Callable[[], Path], tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYSTICANVAS_MIN_FREE_MIB", str(1 << 40))
    with Canvas(home=make_home()) as canvas:
        with pytest.raises(errors.StoreFull, match="MiB are free"):
            canvas.generate("x", preset=str(tiny_sd), **SMALL)
        assert canvas.health().queue.queued == 0
        canvas.shutdown()
