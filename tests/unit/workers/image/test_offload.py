"""Weights that are on the device only while they are needed: real hooks, on the CPU alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, CpuOffload
from diffusers import FluxPipeline, StableDiffusionPipeline
from tasks import make_task
from transformer_models import make_flux

from mysticanvas.contracts.mitigations import OFFLOADS, Offload
from mysticanvas.contracts.worker import Finished, GenerateTask, Made, Previewed, Progressed
from mysticanvas.errors import JobCancelled
from mysticanvas.workers.engine import Control
from mysticanvas.workers.image import mitigations, offload
from mysticanvas.workers.image.engine import ImageEngine

Messages = list[Progressed | Previewed | Made]
Run = Callable[[GenerateTask], tuple[Messages, Finished]]


@pytest.fixture(scope="module")
def tiny_flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flux(tmp_path_factory.mktemp("models") / "FluxPipeline")


def asking(folder: Path, *names: str, **params: Any) -> GenerateTask:
    task = make_task(folder, **params)
    recipe = task.recipe.model_copy(update={"mitigations": names})
    return task.model_copy(update={"recipe": recipe})


def made(messages: Messages) -> list[Made]:
    return [message for message in messages if isinstance(message, Made)]


def pixels(messages: Messages) -> list[str]:
    return [each.pixels_sha256 for each in made(messages)]


def hooks(pipeline: Any) -> dict[str, str | None]:
    """Component -> what moves it."""
    return {name: _hook(part) for name, part in offload._models(pipeline).items()}


def _hook(part: Any) -> str | None:
    for module in part.modules():
        if isinstance(getattr(module, "_hf_hook", None), CpuOffload):
            return "model"
        if isinstance(getattr(module, "_hf_hook", None), AlignDevicesHook):
            return "layer"
        if getattr(module, "_diffusers_hook", None) and module._diffusers_hook.hooks:
            return "group"
    return None


MOVED: dict[Offload, dict[str, str]] = {
    "offload_model": {"text_encoder": "model", "unet": "model", "vae": "model"},
    "offload_group": {"text_encoder": "layer", "unet": "group", "vae": "model"},
    "offload_sequential": {"text_encoder": "layer", "unet": "layer", "vae": "layer"},
}


@pytest.mark.parametrize("kind", OFFLOADS)
@pytest.mark.parametrize("name", ["sd", "sdxl", "flux"])
def test_pixels_stay_and_hooks_last_as_long_as_the_job(
    engine: ImageEngine,
    run: Run,
    tiny_sd: Path,
    tiny_sdxl: Path,
    tiny_flux: Path,
    name: str,
    kind: Offload,
) -> None:
    folder = {"sd": tiny_sd, "sdxl": tiny_sdxl, "flux": tiny_flux}[name]
    params = {"guidance_scale": 1.0} if name == "flux" else {"num_images": 2}
    if name == "flux":
        params["scheduler"] = "FlowMatchEulerDiscreteScheduler"
    plain, measured = run(asking(folder, **params))
    seen = []

    def look(message: Any) -> None:
        if isinstance(message, Progressed) and message.progress.stage == "denoise":
            seen.append(hooks(engine._loaded.model.pipeline))  # type: ignore[union-attr]
        messages.append(message)

    messages: Messages = []
    finished = engine.generate(asking(folder, kind, **params), look, Control())
    assert pixels(messages) == pixels(plain)
    assert made(messages)[0].recipe.mitigations == (kind,)
    # Weights that come and go are none of what a phase takes.
    assert [use.phase for use in finished.phases] == [use.phase for use in measured.phases]
    for use, plainly in zip(finished.phases, measured.phases, strict=True):
        # By components they go to `cpu:0`, which to PyTorch is not `cpu`, and inputs do as well.
        most = plainly.bytes * (1.15 if kind == "offload_model" else 1)
        assert plainly.bytes <= use.bytes <= most, use.phase
    assert {use.mitigations for use in finished.phases} == {(kind,)}
    assert "denoise" in {use.phase for use in finished.phases}
    moved = MOVED[kind]
    assert all(
        found == moved["unet" if part == "transformer" else part.removesuffix("_2")]
        for found in seen
        for part, found in found.items()
    )
    assert seen
    assert engine._loaded is not None
    pipeline = engine._loaded.model.pipeline
    assert not any(hooks(pipeline).values())
    assert {part.device for part in finished.memory_parts} == {"cpu"}
    assert all(p.device.type == "cpu" for p in pipeline.vae.parameters())
    assert pixels(run(asking(folder, **params))[0]) == pixels(plain)


def test_jobs_of_all_kinds_follow_one_another(run: Run, tiny_sd: Path) -> None:
    kinds = [(), *((kind,) for kind in OFFLOADS), *((kind,) for kind in reversed(OFFLOADS)), ()]
    found = {tuple(pixels(run(asking(tiny_sd, *names))[0])) for names in kinds}
    assert len(found) == 1


@pytest.mark.parametrize("kind", OFFLOADS)
@pytest.mark.parametrize("decoding", [("vae_slicing", "vae_tiling"), ("vae_cpu",)])
def test_the_decoder_is_told_as_well(
    run: Run, tiny_sdxl: Path, kind: Offload, decoding: tuple[str, ...]
) -> None:
    params = {"num_images": 2, "width": 128, "height": 128}
    plain, _ = run(asking(tiny_sdxl, *decoding, **params))
    both, _ = run(asking(tiny_sdxl, *decoding, kind, **params))
    assert pixels(both) == pixels(plain)
    assert set(made(both)[0].recipe.mitigations) == {*decoding, kind}


@pytest.mark.parametrize("kind", OFFLOADS)
def test_in_half_precision_a_vae_that_is_converted_works_as_well(
    engine: ImageEngine, run: Run, tiny_sdxl: Path, kind: Offload
) -> None:
    def half(*names: str) -> GenerateTask:
        task = asking(tiny_sdxl, *names, num_inference_steps=1)
        model = task.model.model_copy(update={"dtype": "float16"})
        return task.model_copy(update={"model": model})

    assert pixels(run(half(kind))[0]) == pixels(run(half())[0])
    assert engine._loaded is not None
    assert engine._loaded.model.pipeline.vae.dtype == torch.float16
    engine.unload()


def test_a_model_for_an_offloaded_job_is_loaded_into_system_memory(
    engine: ImageEngine, run: Run, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.unload()
    elsewhere = torch.device("meta")
    monkeypatch.setattr(engine, "_device", elsewhere)
    # Nothing computes there, so the job ends once its model is loaded.
    with pytest.raises(RuntimeError, match="'meta'"):
        run(asking(tiny_sd, "offload_model"))
    assert {part.device for part in engine.memory} == {"cpu"}
    engine.unload()


def test_a_cancelled_job_leaves_a_pipeline_without_hooks(
    engine: ImageEngine, run: Run, tiny_sd: Path
) -> None:
    control = Control()

    def cancel(message: Any) -> None:
        begun = isinstance(message, Progressed) and message.progress.step > 0
        control.cancelled = control.cancelled or begun

    for kind in OFFLOADS:
        control.cancelled = False
        with pytest.raises(JobCancelled):
            engine.generate(asking(tiny_sd, kind, num_inference_steps=300), cancel, control)
        assert engine._loaded is not None
        assert not any(hooks(engine._loaded.model.pipeline).values())


def test_previews_wait_for_a_job_that_has_the_decoder_there(
    engine: ImageEngine, run: Run, tiny_sd: Path
) -> None:
    engine.unload()
    offloaded = asking(tiny_sd, "offload_model").model_copy(update={"previews": True})
    assert not any(isinstance(each, Previewed) for each in run(offloaded)[0])
    run(asking(tiny_sd).model_copy(update={"previews": True}))
    assert any(isinstance(each, Previewed) for each in run(offloaded)[0])


def test_what_a_pipeline_can_do_is_told_by_its_class() -> None:
    assert offload.possible(StableDiffusionPipeline) == offload.possible(FluxPipeline) == OFFLOADS
    assert offload.possible(object) == ()


@pytest.mark.parametrize(
    ("asked", "allowed", "device", "pieces", "tries"),
    [
        ((), "auto", "cuda", (), [(), ("offload_model",)]),
        (("vae_tiling",), "exact", "cuda", (), [("vae_tiling",), ("offload_model", "vae_tiling")]),
        (("offload_model",), "auto", "cuda", (), [("offload_model",), ("offload_sequential",)]),
        (
            ("vae_tiling", "offload_group"),
            "exact",
            "cuda",
            (),
            [("vae_tiling", "offload_group"), ("offload_sequential", "vae_tiling")],
        ),
        (("offload_sequential",), "auto", "cuda", (), [("offload_sequential",)] * 2),
        (("offload_group",), "none", "cuda", (), [("offload_group",)]),
        ((), "auto", "cpu", (), [(), ()]),
        ((), "none", "cuda", (), [()]),
        # Where the same call decodes.
        ((), "auto", "cuda", ("vae_tiling",), [(), ("offload_model", "vae_tiling")]),
        ((), "auto", "cpu", ("vae_tiling",), [(), ("vae_tiling",)]),
        ((), "exact", "cuda", ("vae_tiling",), [(), ("offload_model",)]),
        ((), "none", "cuda", ("vae_tiling",), [()]),
    ],
)
def test_how_sampling_is_tried_again(
    asked: tuple[str, ...],
    allowed: Any,
    device: str,
    pieces: tuple[str, ...],
    tries: list[tuple[str, ...]],
) -> None:
    there = torch.device(device)
    assert mitigations.ways_to_sample(asked, allowed, there, OFFLOADS, pieces) == tries


@pytest.mark.fault("no memory at a step, and other memory beside", "sampled again, offloaded")
@pytest.mark.parametrize("name", ["sd", "sdxl"])
@pytest.mark.parametrize(
    ("planned", "moved", "used"),
    [
        ((), [None, None, *["model"] * 3], "offload_model"),
        (("offload_model",), [*["model"] * 2, *["layer"] * 3], "offload_sequential"),
        (("offload_group",), [*["group"] * 2, *["layer"] * 3], "offload_sequential"),
    ],
)
def test_a_step_that_finds_no_memory_is_taken_again_with_less_of_the_weights_on_the_device(
    engine: ImageEngine,
    run: Run,
    tiny_sd: Path,
    tiny_sdxl: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    planned: tuple[str, ...],
    moved: list[str | None],
    used: str,
) -> None:
    folder = {"sd": tiny_sd, "sdxl": tiny_sdxl}[name]
    plain, _ = run(asking(folder))
    monkeypatch.setattr(offload, "helps", lambda _: True)
    assert engine._loaded is not None
    pipeline = engine._loaded.model.pipeline
    calls: list[str | None] = []

    def fail_once(module: torch.nn.Module, _: Any) -> None:
        calls.append(_hook(module))
        if len(calls) == 2:
            torch.empty(1 << 50)

    hook = pipeline.unet.register_forward_pre_hook(fail_once)
    try:
        messages, finished = run(asking(folder, *planned))
    finally:
        hook.remove()
    assert calls == moved
    assert pixels(messages) == pixels(plain)
    assert made(messages)[0].recipe.mitigations == (used,)
    # Of what came after, nothing is taken for what the plain way needs.
    assert [use.phase for use in finished.phases] == ["text_encode", "denoise"]
    assert finished.phases[-1].at_least
    assert not any(hooks(pipeline).values())
