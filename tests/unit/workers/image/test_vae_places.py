"""Memory that runs out while a VAE is converted or moved: it stays whole, and comes back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from models import make_sdxl
from PIL import Image

from mysticanvas.workers.image import devices, job, loading, mitigations, offload, recovery, stages
from mysticanvas.workers.image.previews import Previewer

CPU, ELSEWHERE = torch.device("cpu"), torch.device("meta")
LATENTS = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).half()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sdxl(tmp_path_factory.mktemp("models") / "sdxl")


@pytest.fixture
def pipeline(folder: Path) -> Any:
    return loading.load(folder, CPU, torch.float16)


def scarce(part: Any, *conversions: int) -> None:
    """Have memory run out as some of the next conversions and moves of a VAE come to a part."""
    plain, calls = part._apply, 0

    def apply(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in conversions:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(*arguments, **named)

    part._apply = apply


def kinds(vae: Any) -> set[tuple[torch.dtype, torch.device]]:
    return {(each.dtype, each.device) for each in vae.parameters()}


def decode(pipeline: Any) -> tuple[int, list[Image.Image]]:
    """In the ways that a job goes; which one it was, and the pictures."""

    def by(names: tuple[str, ...]) -> list[Image.Image]:
        with mitigations.applied(pipeline.vae, names, 64):
            return stages.of(pipeline).decode(stages.Sampled(LATENTS, []))

    ways: list[Callable[[], Any]] = [functools.partial(by, ()), functools.partial(by, ())]
    with torch.inference_mode():
        found = recovery.first_that_fits("decode", CPU, ways)
    return found.place, found.result


@pytest.mark.fault("no memory to convert a VAE, or to convert it back", "decoded the next way")
@pytest.mark.parametrize(("conversions", "way"), [((1,), 1), ((1, 2), 1), ((2,), 0)])
def test_a_vae_that_cannot_be_converted_decodes_the_next_way(
    pipeline: Any, conversions: tuple[int, ...], way: int
) -> None:
    [plain] = decode(pipeline)[1]
    scarce(pipeline.vae.decoder.mid_block, *conversions)
    taken, [picture] = decode(pipeline)
    assert (taken, picture.tobytes()) == (way, plain.tobytes())
    assert kinds(pipeline.vae) == {(torch.float16, CPU)}


@pytest.mark.fault("no memory to convert a VAE for a preview", "no previews; the picture is made")
def test_a_preview_that_finds_no_memory_leaves_the_vae_as_it_was(pipeline: Any) -> None:
    [plain] = decode(pipeline)[1]
    scarce(pipeline.vae.decoder.mid_block, 1)
    with torch.inference_mode():
        assert Previewer(stages.of(pipeline).decode_latents).webp(LATENTS, 0) is None
    taken, [picture] = decode(pipeline)
    assert (taken, picture.tobytes()) == (0, plain.tobytes())


@pytest.mark.fault("no memory to move a VAE back", "the pictures stay; the next job moves it in")
def test_pictures_that_were_decoded_outlive_a_vae_that_cannot_go_back(
    pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae = pipeline.vae
    monkeypatch.setattr(offload, "detach", lambda _: ELSEWHERE)
    # On its way back, at its first part: what is on the device that stands for a GPU stays there.
    scarce(vae.encoder, 2)
    with torch.inference_mode(), mitigations.applied(vae, ("vae_cpu",), 64):
        [_] = stages.of(pipeline).decode(stages.Sampled(LATENTS, []))
    assert kinds(vae) == {(torch.float16, CPU)}
    for part in (pipeline.unet, pipeline.text_encoder, pipeline.text_encoder_2):
        part.to(ELSEWHERE)
    assert offload.place(pipeline, None, ELSEWHERE)
    assert kinds(vae) == {(torch.float16, ELSEWHERE)}
    assert not offload.place(pipeline, None, ELSEWHERE)


@pytest.mark.parametrize(
    ("names", "place"),
    [((), ELSEWHERE), (("vae_tiling",), ELSEWHERE), (("vae_cpu",), CPU), (("offload_model",), CPU)],
)
def test_a_vae_that_was_left_behind_is_brought_where_it_belongs(
    pipeline: Any, names: tuple[str, ...], place: torch.device
) -> None:
    environment = devices.environment(CPU, torch.float16)
    used = stages.of(pipeline)
    model = job.Model(pipeline, ELSEWHERE, used, Previewer(used.decode_latents), environment)
    with torch.inference_mode():
        job._bring_vae(names, model)
    assert kinds(pipeline.vae) == {(torch.float16, place)}


def test_what_is_no_want_of_memory_is_told(pipeline: Any) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("CUDA error: unspecified launch failure")

    pipeline.vae.decoder._apply = fail
    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        offload.put_back(pipeline.vae, torch.float16)
