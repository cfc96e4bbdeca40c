"""Memory that runs out in the middle of a job: PyTorch's own allocator is made to fail."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tasks import make_task
from transformer_models import MAKERS

from mysticanvas.contracts.mitigations import tile_px
from mysticanvas.contracts.worker import Finished, GenerateTask, Made, Previewed, Progressed
from mysticanvas.errors import OutOfMemory
from mysticanvas.workers.image import mitigations
from mysticanvas.workers.image.engine import ImageEngine
from mysticanvas.workers.image.folder import INDEX

Messages = list[Progressed | Previewed | Made]
Run = Callable[[GenerateTask], tuple[Messages, Finished]]
ALWAYS = 1_000
WIDE = {"width": 256, "height": 192}
ON_CPU, ON_GPU = ("vae_slicing", "vae_tiling"), ("vae_slicing", "vae_tiling", "vae_cpu")


class Scarcity:
    """Counts the calls of a model, and has those from one on meet a full memory."""

    def __init__(self) -> None:
        self.calls = 0
        self.fails: range = range(0)
        self.sizes: list[tuple[int, ...]] = []

    def hook(self, _: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        self.calls += 1
        self.sizes.append(tuple(getattr(inputs[0], "shape", ())) if inputs else ())
        if self.calls in self.fails:
            torch.empty(1 << 50)


@pytest.fixture
def scarce(engine: ImageEngine, run: Run, tiny_sd: Path) -> Iterator[Callable[[str], Scarcity]]:
    """Watches a model of the loaded pipeline, at first that of the tiny one."""
    run(make_task(tiny_sd))
    hooks = []

    def watch(name: str) -> Scarcity:
        assert engine._loaded is not None
        pipeline = engine._loaded.model.pipeline
        part = pipeline.vae.decoder if name == "vae" else getattr(pipeline, name)
        scarcity = Scarcity()
        hooks.append(part.register_forward_pre_hook(scarcity.hook))
        return scarcity

    yield watch
    for hook in hooks:
        hook.remove()


def made(messages: Messages) -> list[Made]:
    return [message for message in messages if isinstance(message, Made)]


def pixels(home: Path, message: Made) -> Any:
    assert message.file is not None
    with Image.open(home / message.file.path) as image:
        return np.asarray(image).astype(int)


@pytest.mark.parametrize(
    ("asked", "allowed", "pictures", "possible", "tries"),
    [
        ((), "auto", 1, ON_CPU, [(), ("vae_tiling",)]),
        ((), "auto", 2, ON_CPU, [(), ("vae_slicing", "vae_tiling")]),
        ((), "auto", 1, ON_GPU, [(), ("vae_tiling",), ("vae_cpu", "vae_tiling")]),
        (("vae_tiling",), "auto", 1, ON_CPU, [("vae_tiling",)]),
        # What is not tiled is not said to be.
        ((), "auto", 1, ("vae_slicing", "vae_cpu"), [(), ("vae_cpu",)]),
        ((), "auto", 1, ("vae_slicing",), [()]),
        ((), "exact", 2, ON_GPU, [()]),
        (("vae_slicing",), "none", 2, ON_GPU, [("vae_slicing",)]),
    ],
)
def test_what_is_tried(
    asked: tuple[str, ...], allowed: Any, pictures: int, possible: Any, tries: list[Any]
) -> None:
    assert mitigations.ways(asked, allowed, pictures, possible) == tries


@pytest.mark.parametrize(
    ("longer", "side"), [(64, 64), (200, 64), (256, 128), (1024, 512), (4096, 512)]
)
def test_tiles_are_smaller_than_the_picture(longer: int, side: int) -> None:
    assert tile_px(longer) == side


@pytest.mark.fault("no memory to decode", "decoded in tiles, without sampling again")
def test_a_decode_that_finds_no_memory_is_done_in_tiles_without_sampling_again(
    run: Run, home: Path, tiny_sd: Path, scarce: Callable[[str], Scarcity]
) -> None:
    task = make_task(tiny_sd, num_images=2, **WIDE)
    [plain, _] = made(run(task)[0])
    unet, vae = scarce("unet"), scarce("vae")
    vae.fails = range(1, 2)
    [first, second] = made(run(task)[0])
    assert unet.calls == task.recipe.params.num_inference_steps
    assert first.recipe.mitigations == second.recipe.mitigations == ("vae_slicing", "vae_tiling")
    assert first.recipe.hash != plain.recipe.hash
    assert first.recipe.request_hash == plain.recipe.request_hash
    # After the one that failed, a picture at a time, in tiles of half of its longer side.
    latent = 128 * vae.sizes[0][-1] // WIDE["width"]
    assert all(batch == 1 and max(h, w) <= latent for batch, _, h, w in vae.sizes[1:])
    difference = np.abs(pixels(home, first) - pixels(home, plain))
    assert difference.max() > 0
    assert difference.mean() < 8


@pytest.mark.fault("no memory to decode for a transformer", "decoded in tiles, not sampled again")
@pytest.mark.parametrize("name", MAKERS)
def test_what_a_transformer_sampled_is_not_sampled_again(
    run: Run, scarce: Callable[[str], Scarcity], tmp_path: Path, name: str
) -> None:
    task = make_task(
        MAKERS[name](tmp_path / name), num_images=2, guidance_scale=1.0,
        scheduler="FlowMatchEulerDiscreteScheduler", **WIDE,
    )  # fmt: skip
    [plain, _] = made(run(task)[0])
    denoiser, vae = scarce("transformer"), scarce("vae")
    [_, _] = made(run(task)[0])
    steps = denoiser.calls
    vae.fails = range(vae.calls + 1, vae.calls + 2)
    [again, _] = made(run(task)[0])
    assert denoiser.calls == 2 * steps
    tiled = () if name == "QwenImagePipeline" else ("vae_tiling",)
    assert again.recipe.mitigations == ("vae_slicing", *tiled)
    assert again.recipe.hash != plain.recipe.hash


@pytest.mark.fault("no memory in a call that decodes as well", "run again, in tiles")
def test_a_call_that_does_it_all_is_done_again_in_tiles(
    run: Run, scarce: Callable[[str], Scarcity], tiny_sd: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_sd, tmp_path / "StableDiffusionPAGPipeline"))
    index = folder / INDEX
    index.write_text(index.read_text().replace("StableDiffusionPipeline", folder.name))
    task = make_task(folder, **WIDE)
    [plain] = made(run(task)[0])
    vae = scarce("vae")
    vae.fails = range(1, 2)
    [again] = made(run(task)[0])
    assert again.recipe.mitigations == ("vae_tiling",)
    assert again.pixels_sha256 != plain.pixels_sha256


def test_a_recipe_with_tiles_gives_the_same_pixels_at_once_and_in_diffusers(
    run: Run, home: Path, tiny_sd: Path, scarce: Callable[[str], Scarcity]
) -> None:
    vae = scarce("vae")
    vae.fails = range(1, 2)
    [first] = made(run(make_task(tiny_sd, **WIDE))[0])
    vae.fails = range(0)
    again = make_task(tiny_sd, task={"recipe": first.recipe}, **WIDE)
    [second] = made(run(again)[0])
    assert second.pixels_sha256 == first.pixels_sha256
    code = first.recipe.to_code("diffusers").replace("'path/to/tiny'", repr(str(tiny_sd)))
    names: dict[str, Any] = {}
    exec(code, names)
    np.testing.assert_array_equal(pixels(home, first), np.asarray(names["image"]).astype(int))


@pytest.mark.fault("no memory to encode", "encoded again, the same pixels")
def test_a_prompt_that_finds_no_memory_is_encoded_again(
    run: Run, tiny_sd: Path, scarce: Callable[[str], Scarcity]
) -> None:
    task = make_task(tiny_sd)
    [plain] = made(run(task)[0])
    encoder = scarce("text_encoder")
    encoder.fails = range(1, 2)
    messages, finished = run(task)
    # The prompt, and from the start again: the prompt and the negative one.
    assert encoder.calls == 3
    [again] = made(messages)
    assert again.pixels_sha256 == plain.pixels_sha256
    assert again.recipe.mitigations == ()
    encoding = [each.at_least for each in finished.phases if each.phase == "text_encode"]
    assert encoding == [True, False]


def test_without_leave_a_prompt_is_encoded_once(
    run: Run, tiny_sd: Path, scarce: Callable[[str], Scarcity]
) -> None:
    encoder = scarce("text_encoder")
    encoder.fails = range(1, 2)
    with pytest.raises(OutOfMemory):
        run(make_task(tiny_sd, task={"allowed": "none"}))
    assert encoder.calls == 1


@pytest.mark.fault("no memory at a step", "sampled again, the same pixels")
@pytest.mark.parametrize("step", [1, 3])
def test_a_step_that_finds_no_memory_is_taken_again_from_the_start(
    run: Run, tiny_sd: Path, scarce: Callable[[str], Scarcity], step: int
) -> None:
    task = make_task(tiny_sd, scheduler="EulerAncestralDiscreteScheduler")
    [plain] = made(run(task)[0])
    unet = scarce("unet")
    unet.fails = range(step, step + 1)
    [again] = made(run(task)[0])
    assert unet.calls == step + task.recipe.params.num_inference_steps
    assert again.pixels_sha256 == plain.pixels_sha256
    assert again.recipe.mitigations == ()


@pytest.mark.fault("no memory, whatever is tried", "told, and the next job is done")
@pytest.mark.parametrize(("part", "tries"), [("text_encoder", 2), ("unet", 2), ("vae", 2)])
def test_memory_that_stays_away_is_told_and_the_next_job_is_done(
    run: Run, tiny_sd: Path, scarce: Callable[[str], Scarcity], part: str, tries: int
) -> None:
    task = make_task(tiny_sd)
    [plain] = made(run(task)[0])
    scarcity = scarce(part)
    scarcity.fails = range(1, ALWAYS)
    with pytest.raises(OutOfMemory):
        run(task)
    assert scarcity.calls == tries
    scarcity.fails = range(0)
    [after] = made(run(task)[0])
    assert after.pixels_sha256 == plain.pixels_sha256


@pytest.mark.parametrize("allowed", ["exact", "none"])
def test_pixels_are_not_changed_without_leave(
    run: Run, tiny_sd: Path, scarce: Callable[[str], Scarcity], allowed: str
) -> None:
    vae = scarce("vae")
    vae.fails = range(1, ALWAYS)
    with pytest.raises(OutOfMemory):
        run(make_task(tiny_sd, task={"allowed": allowed}))
    assert vae.calls == 1
