"""What the phases of a job take, measured while it runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from tasks import make_task
from torch.utils._python_dispatch import _get_current_dispatch_mode
from transformer_models import make_z_image

from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.contracts.tracing import ImageProfile, TraceOrder
from mysticanvas.contracts.worker import Finished, GenerateTask, Made, PhaseUse, Progressed
from mysticanvas.errors import JobCancelled, OutOfMemory
from mysticanvas.orchestrator.arbiter import ways
from mysticanvas.orchestrator.arbiter.suggestion import Size
from mysticanvas.orchestrator.arbiter.ways import Asked
from mysticanvas.vram import image
from mysticanvas.vram.image import Surroundings
from mysticanvas.workers.engine import Control
from mysticanvas.workers.image import devices, measuring, profiling, stages
from mysticanvas.workers.image.engine import ImageEngine
from mysticanvas.workers.image.footprint import Footprint
from mysticanvas.workers.image.job_kinds import Kind, Known
from mysticanvas.workers.image.measuring import NoMeter

MIB = 1 << 20
FLOW = "FlowMatchEulerDiscreteScheduler"
PHASES = ["text_encode", "denoise", "vae_decode"]
Run = Callable[[GenerateTask], tuple[list[Any], Finished]]


@pytest.fixture(autouse=True)
def fresh(engine: ImageEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was measured before."""
    monkeypatch.setattr(engine, "_measured", Known())


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[Footprint]:
    """Every footprint that is made."""
    made: list[Footprint] = []
    plain = Footprint.__init__

    def init(self: Footprint, *arguments: Any) -> None:
        made.append(self)
        plain(self, *arguments)

    monkeypatch.setattr(Footprint, "__init__", init)
    return made


def by_phase(finished: Finished) -> dict[str, int]:
    return {use.phase: use.bytes for use in finished.phases}


def pixels(messages: list[Any]) -> list[str]:
    return [each.pixels_sha256 for each in messages if isinstance(each, Made)]


@pytest.mark.parametrize("name", ["sd", "sdxl"])
@pytest.mark.parametrize("count", [1, 2])
def test_pixels_are_the_same_whether_it_is_measured_or_not(
    run: Run,
    tiny_sd: Path,
    tiny_sdxl: Path,
    name: str,
    count: int,
    followed: list[Footprint],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = {"sd": tiny_sd, "sdxl": tiny_sdxl}[name]
    task = make_task(folder, num_images=count, num_inference_steps=4)
    measured, finished = run(task)
    assert [use.phase for use in finished.phases] == PHASES
    assert len(followed) == 3
    monkeypatch.setattr(measuring, "meter", lambda *_: NoMeter())
    plain, without = run(task)
    assert without.phases == []
    assert pixels(measured) == pixels(plain)


def test_the_same_kind_of_job_is_followed_once_and_told_each_time(
    run: Run, tiny_sd: Path, followed: list[Footprint]
) -> None:
    _, first = run(make_task(tiny_sd))
    _, again = run(make_task(tiny_sd, seed=8, prompt="something else", num_inference_steps=5))
    assert len(followed) == 3
    assert again.phases == first.phases
    assert {use.known for use in again.phases} == {"measured"}
    assert all(use.bytes > 0 for use in again.phases)


def test_prompts_that_are_not_filled_up_are_of_a_kind_with_those_as_long(
    run: Run, tmp_path: Path, followed: list[Footprint]
) -> None:
    folder = make_z_image(tmp_path / "z")

    def taken(prompt: str) -> dict[str, int]:
        task = make_task(folder, prompt=prompt, scheduler=FLOW)
        recipe = task.recipe.model_copy(update={"pipeline": "ZImagePipeline"})
        return by_phase(run(task.model_copy(update={"recipe": recipe}))[1])

    short, long, as_long = map(taken, ("cat", 100 * "cat ", 100 * "dog "))
    assert len(followed) == 2 * len(short)
    assert short["denoise"] < long["denoise"]
    assert as_long == long


def test_a_distilled_denoiser_is_predicted_for_one_prompt_at_a_time(
    run: Run, tiny_sd: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_sd, tmp_path / "distilled"))
    config = UNet2DConditionModel.load_config(folder / "unet")
    distilled = UNet2DConditionModel.from_config({**config, "time_cond_proj_dim": 16})
    distilled.save_pretrained(folder / "unet")
    history = "UniPCMultistepScheduler"
    task = make_task(folder, guidance_scale=8.0, width=128, height=128, scheduler=history)
    _, finished = run(task)
    # As is asked for whoever may be guided.
    order = TraceOrder(path=str(folder), dtype="float32", denoise="more", images="one")
    profile = profiling.profile(order).profile
    size = Size(128, 128, 1)
    work = ways.work(profile, size, Asked.of(profile, task.recipe.params))
    foreseen = image.predict(profile, work, Surroundings(threads=1)).phases_mib["denoise"]
    assert foreseen * MIB == pytest.approx(by_phase(finished)["denoise"], rel=0.03)


@pytest.mark.parametrize("name", ["sd", "sdxl"])
@pytest.mark.parametrize(
    ("params", "mitigations"),
    [
        ({}, ()),
        ({"negative_prompt": "blurry"}, ()),
        ({"width": 128, "height": 96, "guidance_scale": 1.0}, ()),
        ({"width": 128, "height": 128, "num_images": 2}, ()),
        ({"width": 256, "height": 256}, ("vae_tiling",)),
        ({"width": 128, "height": 128, "num_images": 3}, ("vae_slicing",)),
    ],
)
def test_every_phase_takes_what_is_predicted_of_it(
    run: Run, tiny_sd: Path, tiny_sdxl: Path, name: str, params: Any, mitigations: tuple[str, ...]
) -> None:
    folder = {"sd": tiny_sd, "sdxl": tiny_sdxl}[name]
    # One with a history, which is predicted for all.
    task = make_task(folder, scheduler="UniPCMultistepScheduler", **params)
    recipe = task.recipe.model_copy(update={"mitigations": mitigations})
    _, finished = run(task.model_copy(update={"recipe": recipe}))
    profile = profile_of(folder, recipe.params, "vae_slicing" in mitigations)
    size = Size(recipe.params.width, recipe.params.height, recipe.params.num_images)
    work = ways.work(profile, size, Asked.of(profile, recipe.params), mitigations)
    foreseen = image.predict(profile, work, Surroundings(threads=1)).phases_mib
    for use in finished.phases:
        # Ids and tables count for something in models as small as these.
        near = max(0.03 * use.bytes, 4096)
        assert foreseen[use.phase] * MIB == pytest.approx(use.bytes, abs=near), use.phase


def profile_of(folder: Path, params: ResolvedParams, sliced: bool) -> ImageProfile:
    calls: Any = "more" if params.guidance_scale > 1 or params.num_images > 1 else "one"
    images: Any = "more" if params.num_images > 1 and not sliced else "one"
    order = TraceOrder(path=str(folder), dtype="float32", denoise=calls, images=images)
    return profiling.profile(order).profile


@pytest.mark.parametrize(
    "other", [{"width": 96}, {"num_images": 2}, {"guidance_scale": 1.0},
              {"scheduler": "UniPCMultistepScheduler"}],
)  # fmt: skip
def test_another_kind_of_job_is_followed_anew(
    run: Run, tiny_sd: Path, followed: list[Footprint], other: dict[str, Any]
) -> None:
    _, first = run(make_task(tiny_sd))
    _, changed = run(make_task(tiny_sd, **other))
    assert len(followed) == 6
    assert by_phase(changed)["denoise"] != by_phase(first)["denoise"]


def test_tiles_are_measured_apart_from_whole_pictures(run: Run, tiny_sd: Path) -> None:
    plain = make_task(tiny_sd, width=256, height=256)
    recipe = plain.recipe.model_copy(update={"mitigations": ("vae_tiling",)})
    _, whole = run(plain)
    _, tiled = run(plain.model_copy(update={"recipe": recipe}))
    assert tiled.phases[-1].mitigations == ("vae_tiling",)
    assert by_phase(tiled)["vae_decode"] < by_phase(whole)["vae_decode"]


def test_a_phase_that_ran_out_of_memory_is_told_with_the_one_that_went_well(
    run: Run, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = stages.StableDiffusion.decode
    calls: list[int] = []

    def decode(self: Any, sampled: Any) -> Any:
        calls.append(1)
        made = plain(self, sampled)
        if len(calls) == 1:
            torch.empty(1 << 50, dtype=torch.uint8)
        return made

    monkeypatch.setattr(stages.StableDiffusion, "decode", decode)
    _, finished = run(make_task(tiny_sd))
    decoded = [use for use in finished.phases if use.phase == "vae_decode"]
    assert [(use.at_least, use.mitigations) for use in decoded] == [
        (True, ()),
        (False, ("vae_tiling",)),
    ]
    assert decoded[0].bytes > 0


def test_a_job_that_ran_out_of_memory_says_where(
    engine: ImageEngine, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denoise(*_: Any) -> None:
        torch.empty(1 << 50, dtype=torch.uint8)

    monkeypatch.setattr(stages.StableDiffusion, "denoise", denoise)
    with pytest.raises(OutOfMemory) as caught:
        engine.generate(make_task(tiny_sd), lambda _: None, Control())
    told = caught.value.extra["ran_out"]
    uses = [PhaseUse.model_validate(use) for use in told["phases"]]
    assert [(use.phase, use.at_least) for use in uses] == [
        ("text_encode", False), ("denoise", True), ("denoise", True),
    ]  # fmt: skip
    assert told["environment"]["device"] == "cpu"
    assert told["memory_parts"]


def test_a_job_that_is_cancelled_while_it_is_followed_leaves_nothing_behind(
    engine: ImageEngine, run: Run, tiny_sd: Path
) -> None:
    control = Control()

    def emit(message: Any) -> None:
        control.cancelled = isinstance(message, Progressed) and message.progress.step > 0

    with pytest.raises(JobCancelled):
        engine.generate(make_task(tiny_sd, num_inference_steps=300), emit, control)
    assert _get_current_dispatch_mode() is None
    _, finished = run(make_task(tiny_sd))
    assert [use.phase for use in finished.phases] == PHASES


def test_previews_are_not_of_the_phase(run: Run, tiny_sd: Path, engine: ImageEngine) -> None:
    _, plain = run(make_task(tiny_sd))
    engine._measured = Known()
    engine.unload()
    _, shown = run(make_task(tiny_sd, task={"previews": True}))
    assert by_phase(shown) == by_phase(plain)


def test_a_pipeline_that_does_it_all_in_one_call_is_measured_while_it_denoises() -> None:
    class Pipeline:
        device = torch.device("cpu")
        components: dict[str, Any] = {}

    kind = Kind("digest", "float32", 64, 64, 1, True, True, "Euler", ())
    meter = measuring.meter(Pipeline(), Pipeline.device, kind, Known(), encodes=False)
    with meter.phase("denoise"):
        _encoded = torch.zeros(1 << 20)
        for step in (1, 2, 3):
            _latents = torch.zeros(1000 * step)
            meter.step(step)
    assert [use.bytes for use in meter.uses()] == [2000 * 4]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """The counters of an allocator, to be set; no GPU is needed to read them."""
    counters = {"now": 0, "peak": 0}
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: counters["now"])
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: counters["peak"])
    monkeypatch.setattr(
        torch.cuda, "reset_peak_memory_stats", lambda _: counters.update(peak=counters["now"])
    )
    return counters


class OnCuda:
    device = torch.device("cuda:0")
    vae = None


KIND = Kind(
    "digest", "float16", width=64, height=64, num_images=1, guided=True, several_steps=True,
    scheduler="Euler", loras=(),
)  # fmt: skip


def test_on_cuda_the_allocators_peak_counts_without_what_stays(cuda: dict[str, int]) -> None:
    cuda.update(now=100)
    meter = measuring.meter(OnCuda(), OnCuda.device, KIND, Known(), encodes=True)
    cuda.update(peak=900)
    with meter.phase("denoise"):
        cuda.update(peak=150)
        meter.step(1)
        with meter.apart():
            cuda.update(peak=800)
        meter.step(2)
        cuda.update(peak=170)
    # Libraries have set 8 aside for good.
    cuda.update(now=108)
    assert [use.bytes for use in meter.uses()] == [62]


def test_on_cuda_a_call_that_does_it_all_counts_behind_its_first_step(
    cuda: dict[str, int],
) -> None:
    cuda.update(now=100)
    meter = measuring.meter(OnCuda(), OnCuda.device, KIND, Known(), encodes=False)
    with meter.phase("denoise"):
        cuda.update(peak=900)
        meter.step(1)
        cuda.update(peak=140)
        meter.step(2)
        cuda.update(peak=900)
    assert [use.bytes for use in meter.uses()] == [40]


def test_what_stands_apart_from_a_call_that_encodes_counts_as_a_whole(
    cuda: dict[str, int],
) -> None:
    cuda.update(now=100)
    meters = [
        measuring.meter(OnCuda(), OnCuda.device, KIND, Known(), encodes=False),
        measuring.CpuMeter(SimpleNamespace(components={}), KIND, Known(), encodes=False),
    ]
    for meter in meters:
        with meter.phase("vae_decode"):
            cuda.update(peak=100 + 4000)
            _pixels = torch.zeros(1000)
        assert [(use.phase, use.bytes) for use in meter.uses()] == [("vae_decode", 4000)]


def test_on_cuda_memory_that_ran_out_is_what_there_was(cuda: dict[str, int]) -> None:
    cuda.update(now=100)
    meter = measuring.meter(OnCuda(), OnCuda.device, KIND, Known(), encodes=True)
    with pytest.raises(torch.OutOfMemoryError), meter.phase("vae_decode", (), ("vae_tiling",)):
        cuda.update(peak=500)
        raise torch.OutOfMemoryError
    [use] = meter.uses()
    assert (use.bytes, use.at_least, use.mitigations) == (400, True, ("vae_tiling",))
    assert devices.is_out_of_memory(torch.OutOfMemoryError())


def test_on_cuda_weights_that_are_moved_in_do_not_count(cuda: dict[str, int]) -> None:
    unet = torch.nn.Sequential(torch.nn.Linear(10, 20), torch.nn.Linear(20, 20))
    pipeline = OnCuda()
    pipeline.components = {"unet": unet, "vae": torch.nn.Linear(5, 5), "scheduler": object()}  # type: ignore[attr-defined]
    layer = 4 * (20 * 20 + 20)
    both = layer + 4 * (10 * 20 + 20)
    expected = {"offload_model": both, "offload_group": both, "offload_sequential": layer}
    for kind, moved in expected.items():
        cuda.update(now=100, peak=100)
        meter = measuring.meter(pipeline, OnCuda.device, KIND, Known(), True, kind)  # type: ignore[arg-type]
        with meter.phase("denoise", (), (kind,)):
            cuda.update(peak=100 + moved + 50)
        assert [(use.bytes, use.mitigations) for use in meter.uses()] == [(50, (kind,))]
