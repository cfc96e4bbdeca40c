import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tasks import make_task

from mysticanvas.contracts import picture
from mysticanvas.contracts.worker import Finished, GenerateTask, Made, Previewed, Progressed
from mysticanvas.errors import InvalidRequest, JobCancelled
from mysticanvas.workers.engine import Control
from mysticanvas.workers.image.engine import ImageEngine

Messages = list[Progressed | Previewed | Made]
Run = Callable[[GenerateTask], tuple[Messages, Finished]]


def made(messages: Messages) -> list[Made]:
    return [message for message in messages if isinstance(message, Made)]


def open_made(home: Path, message: Made) -> Image.Image:
    assert message.file is not None
    with Image.open(home / message.file.path) as image:
        image.load()
        return image


# KDPM2 sums a tensor with NumPy, which is theirs to mend.
@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("sd", {}),
        ("sd", {"scheduler": "EulerAncestralDiscreteScheduler", "num_images": 2}),
        ("sd", {"scheduler": "KDPM2DiscreteScheduler"}),
        (
            "sd",
            {
                "scheduler": "DPMSolverMultistepScheduler",
                "scheduler_config": {"use_karras_sigmas": True},
                "negative_prompt": 'it\'s "blurry"',
            },
        ),
        ("sdxl", {"num_images": 2}),
        ("sdxl", {"scheduler": "UniPCMultistepScheduler", "guidance_scale": 1.0}),
    ],
)
def test_the_recipes_code_gives_the_same_pixels(
    run: Run, home: Path, tiny_sd: Path, tiny_sdxl: Path, name: str, params: dict[str, Any]
) -> None:
    folder = {"sd": tiny_sd, "sdxl": tiny_sdxl}[name]
    messages, _ = run(make_task(folder, **params))
    results = made(messages)
    code = results[-1].recipe.to_code("diffusers")
    names: dict[str, Any] = {}
    exec(code.replace(f"'path/to/{results[-1].recipe.preset}'", repr(str(folder))), names)
    for result, expected in zip(results, names["images"], strict=True):
        ours = np.asarray(open_made(home, result))
        np.testing.assert_array_equal(ours, np.asarray(expected))
    assert names["image"] is names["images"][-1]


def test_a_picture_tells_its_own_story(run: Run, home: Path, tiny_sd: Path) -> None:
    task = make_task(
        tiny_sd,
        task={"project": "castle", "parent": "parent-id", "source": "reproduce"},
        num_images=2,
        negative_prompt="blurry",
    )
    messages, _ = run(task)
    for index, result in enumerate(made(messages)):
        image = open_made(home, result)
        text = picture.read(image.info)
        assert text is not None
        assert (text.image_id, text.job_id) == (task.image_ids[index], task.job_id)
        assert (text.project, text.parent, text.source) == ("castle", "parent-id", "reproduce")
        assert text.recipe == result.recipe
        assert text.recipe.seed == 7 + index
        assert text.pixels_sha256 == result.pixels_sha256
        assert text.created_at == task.created_at
        assert "Negative prompt: blurry" in image.info[picture.A1111_CHUNK]


def test_the_recipe_is_the_tasks_and_where_it_ran(run: Run, home: Path, tiny_sd: Path) -> None:
    task = make_task(tiny_sd, num_images=2)
    messages, _ = run(task)
    recipes = [result.recipe for result in made(messages)]
    assert [recipe.batch_index for recipe in recipes] == [0, 1]
    assert {recipe.request_hash for recipe in recipes} == {task.recipe.request_hash}
    assert len({recipe.hash for recipe in recipes}) == 2
    environment = recipes[0].environment
    assert environment is not None
    assert (environment.device, environment.dtype, environment.threads) == ("cpu", "float32", 1)


def test_the_record_is_that_of_the_file(run: Run, home: Path, tiny_sd: Path) -> None:
    messages, _ = run(make_task(tiny_sd, width=40, height=72))
    (result,) = made(messages)
    assert result.file is not None
    data = (home / result.file.path).read_bytes()
    assert hashlib.sha256(data).hexdigest() == result.file.sha256
    assert (result.file.width, result.file.height, result.file.bytes) == (40, 72, len(data))
    assert (result.index, result.mode) == (0, "RGB")


def test_progress_names_every_stage_and_never_goes_back(run: Run, tiny_sd: Path) -> None:
    messages, finished = run(make_task(tiny_sd))
    # Of steps this quick, only some are told.
    steps = [message.progress for message in messages if isinstance(message, Progressed)]
    begun = [step.stage for step in steps if not step.step]
    assert [stage for stage in begun if stage != "load"] == ["encode", "denoise", "decode", "save"]
    assert all(
        step.stage == "denoise" and step.step <= step.steps == 3 for step in steps if step.step
    )
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert all(finished.seconds[stage] > 0 for stage in ("encode", "denoise", "decode", "save"))
    assert not [message for message in messages if isinstance(message, Previewed)]


def test_only_index_makes_that_picture_of_the_batch(run: Run, tiny_sd: Path) -> None:
    batch, _ = run(make_task(tiny_sd, num_images=3))
    task = make_task(tiny_sd, task={"only_index": 1}, num_images=3)
    messages, _ = run(task)
    (result,) = made(messages)
    assert (result.index, result.image_id) == (1, task.image_ids[1])
    assert result.pixels_sha256 == made(batch)[1].pixels_sha256


def test_known_pixels_are_not_written_again(run: Run, home: Path, tiny_sd: Path) -> None:
    first, _ = run(make_task(tiny_sd, seed=99))
    known = made(first)[0].pixels_sha256
    files = set((home / "images").rglob("*.png"))
    messages, _ = run(make_task(tiny_sd, task={"unless_pixels": known}, seed=99))
    assert made(messages)[0].file is None
    assert made(messages)[0].pixels_sha256 == known
    assert set((home / "images").rglob("*.png")) == files
    messages, _ = run(make_task(tiny_sd, task={"unless_pixels": "0" * 64}, seed=99))
    assert made(messages)[0].file is not None


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_previews_change_no_pixel(run: Run, tiny_sd: Path, tiny_sdxl: Path, name: str) -> None:
    folder = {"sd": tiny_sd, "sdxl": tiny_sdxl}[name]
    plain, _ = run(make_task(folder))
    shown, _ = run(make_task(folder, task={"previews": True}))
    assert [m.step for m in shown if isinstance(m, Previewed)] == [1, 2]
    assert made(shown)[0].pixels_sha256 == made(plain)[0].pixels_sha256


def test_a_job_leaves_no_trace_in_the_next(run: Run, tiny_sd: Path) -> None:
    before, _ = run(make_task(tiny_sd))
    run(make_task(tiny_sd, scheduler="LCMScheduler", num_inference_steps=2))
    after, _ = run(make_task(tiny_sd))
    assert made(after)[0].pixels_sha256 == made(before)[0].pixels_sha256


def test_a_cancelled_job_leaves_no_file(engine: ImageEngine, home: Path, tiny_sd: Path) -> None:
    files = set((home / "images").rglob("*"))
    control = Control()
    messages: Messages = []

    def emit(message: Progressed | Previewed | Made) -> None:
        messages.append(message)
        control.cancelled = isinstance(message, Progressed) and message.progress.step > 0

    with pytest.raises(JobCancelled):
        engine.generate(make_task(tiny_sd, seed=1234, num_inference_steps=300), emit, control)
    last = messages[-1]
    assert isinstance(last, Progressed)
    assert 0 < last.progress.step < 300
    assert set((home / "images").rglob("*")) == files


def test_ids_and_pictures_must_match(run: Run, tiny_sd: Path) -> None:
    with pytest.raises(InvalidRequest, match="1 image_ids for 2 pictures"):
        run(make_task(tiny_sd, task={"image_ids": ["one"]}, num_images=2))


def test_an_index_must_be_in_the_batch(run: Run, tiny_sd: Path) -> None:
    with pytest.raises(InvalidRequest, match="no picture 2 in a batch of 2"):
        run(make_task(tiny_sd, task={"only_index": 2}, num_images=2))
