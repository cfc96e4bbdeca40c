"""A library that is refused memory and goes on otherwise: only the allocator's count says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tasks import make_task

from mysticanvas.contracts.worker import Finished, GenerateTask, Kept, Made, Previewed, Progressed
from mysticanvas.errors import OutOfMemory
from mysticanvas.workers.engine import Control, Options
from mysticanvas.workers.image import devices
from mysticanvas.workers.image.engine import ImageEngine

Messages = list[Progressed | Previewed | Made]
Run = Callable[[GenerateTask], tuple[Messages, Finished]]
WIDE = {"width": 256, "height": 192}
CUDA = torch.device("cuda:0")


class Misers:
    """Models of a pipeline that are refused memory at some of their calls."""

    def __init__(self, pipeline: Any) -> None:
        self.refused = 0
        self.calls = {"text_encoder": 0, "unet": 0, "vae": 0}
        self.misers: dict[str, int] = {}
        """At which call."""
        self.fails: dict[str, int] = {}
        """At which call memory runs out as well."""
        self.hooks = [
            self._part(pipeline, name).register_forward_pre_hook(self._hook(name))
            for name in self.calls
        ]

    def _part(self, pipeline: Any, name: str) -> Any:
        return pipeline.vae.decoder if name == "vae" else getattr(pipeline, name)

    def _hook(self, name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            self.calls[name] += 1
            self.refused += self.misers.get(name) == self.calls[name]
            if self.fails.get(name) == self.calls[name]:
                self.refused += 1
                raise torch.OutOfMemoryError

        return hook


@pytest.fixture
def misers(
    engine: ImageEngine, run: Run, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Misers]:
    run(make_task(tiny_sd))
    assert engine._loaded is not None
    misers = Misers(engine._loaded.model.pipeline)
    monkeypatch.setattr(devices, "refused", lambda _: misers.refused)
    yield misers
    for hook in misers.hooks:
        hook.remove()
    misers.refused = 0
    run(make_task(tiny_sd))


def made(messages: Messages) -> list[Made]:
    return [each for each in messages if isinstance(each, Made)]


@pytest.mark.fault("memory refused without a word to decode", "decoded in tiles, which are named")
def test_what_was_decoded_otherwise_is_decoded_in_tiles(
    run: Run, tiny_sd: Path, misers: Misers
) -> None:
    misers.misers = {"vae": 1}
    messages, finished = run(make_task(tiny_sd, **WIDE))
    [picture] = made(messages)
    assert picture.recipe.mitigations == ("vae_tiling",)
    assert misers.calls["unet"] == 3
    decoded = [each for each in finished.phases if each.phase == "vae_decode"]
    assert [each.at_least for each in decoded] == [True, False]
    assert (finished.notices, finished.worn) == ([], True)


@pytest.mark.fault("memory refused without a word, no leave", "told as memory that ran out")
@pytest.mark.parametrize("allowed", ["exact", "none"])
@pytest.mark.parametrize(("part", "calls"), [("text_encoder", 2), ("unet", 3), ("vae", 1)])
def test_without_leave_nothing_is_computed_otherwise(
    run: Run,
    engine: ImageEngine,
    tiny_sd: Path,
    misers: Misers,
    allowed: str,
    part: str,
    calls: int,
) -> None:
    misers.misers = {part: 1}
    with pytest.raises(OutOfMemory) as caught:
        run(make_task(tiny_sd, task={"allowed": allowed}))
    # The same again would come to the same, and no count would say so.
    assert misers.calls[part] == calls
    assert caught.value.extra["ran_out"]["phases"][-1]["at_least"]
    assert engine.is_worn


@pytest.mark.fault("memory refused without a word to decode, no leave", "the latents are kept")
def test_latents_are_kept_for_a_process_that_decodes_as_usual(
    home: Path, tiny_sd: Path, tmp_path: Path, misers: Misers
) -> None:
    options = Options(images=home / "images", device="cpu", threads=1, latents=tmp_path / "latents")
    engine = ImageEngine(options)
    task = make_task(tiny_sd, task={"allowed": "exact"})
    engine.load(task.model)
    assert engine._loaded is not None
    decoder = engine._loaded.model.pipeline.vae.decoder
    decoder.register_forward_pre_hook(misers._hook("vae"))
    misers.misers = {"vae": 1}
    kept = engine.generate(task, lambda _: None, Control())
    assert isinstance(kept, Kept)
    assert [each.phase for each in kept.ran_out.phases if each.at_least] == ["vae_decode"]


@pytest.mark.fault("memory refused without a word to sample", "taken, and told to the user")
@pytest.mark.parametrize(("part", "phase"), [("text_encoder", "text_encode"), ("unet", "denoise")])
def test_what_was_sampled_otherwise_is_taken_and_told(
    run: Run, tiny_sd: Path, misers: Misers, part: str, phase: str
) -> None:
    misers.misers = {part: 2}
    messages, finished = run(make_task(tiny_sd))
    assert len(made(messages)) == 1
    # Again in this process, it would come to the same.
    assert misers.calls == {"text_encoder": 2, "unet": 3, "vae": 1}
    [notice] = finished.notices
    assert "other algorithms than usual" in notice
    assert [each.phase for each in finished.phases if each.at_least] == [phase]


@pytest.mark.parametrize(("misers_at", "notices"), [({}, 0), ({"unet": 1}, 1)])
def test_what_is_sampled_again_is_told_if_a_library_was_refused_memory_before(
    run: Run, tiny_sd: Path, misers: Misers, misers_at: dict[str, int], notices: int
) -> None:
    misers.misers, misers.fails = misers_at, {"unet": 2}
    _, finished = run(make_task(tiny_sd))
    assert misers.calls["unet"] == 2 + 3
    assert (len(finished.notices), finished.worn) == (notices, True)


def test_to_keep_the_pixels_it_is_sampled_again_only_if_none_was(
    run: Run, tiny_sd: Path, misers: Misers
) -> None:
    task = make_task(tiny_sd, task={"allowed": "exact"})
    misers.fails = {"unet": 2}
    run(task)
    assert misers.calls["unet"] == 2 + 3
    misers.misers, misers.fails = {"unet": 6}, {"unet": 7}
    with pytest.raises(OutOfMemory):
        run(task)
    assert misers.calls["unet"] == 7


def test_memory_that_a_preview_is_refused_costs_no_picture(
    run: Run, engine: ImageEngine, tiny_sd: Path, misers: Misers
) -> None:
    engine.unload()
    task = make_task(tiny_sd, task={"allowed": "exact", "previews": True})
    engine.load(task.model)
    assert engine._loaded is not None
    decoder = engine._loaded.model.pipeline.vae.decoder
    hook = decoder.register_forward_pre_hook(misers._hook("vae"))
    misers.misers = {"vae": 1}
    messages, finished = run(task)
    hook.remove()
    assert misers.calls["vae"] == 2
    assert (len(made(messages)), finished.notices, finished.worn) == (1, [], True)


def test_what_the_allocator_counts_is_asked_of_cuda_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(_: object) -> dict[str, int]:
        return {"num_ooms": 3}

    def lost(_: object) -> dict[str, int]:
        raise RuntimeError("CUDA error: unspecified launch failure")

    assert devices.refused(CUDA) == 0
    monkeypatch.setattr(torch.cuda, "memory_stats", asked)
    assert devices.refused(CUDA) == 3
    assert devices.refused(torch.device("cpu")) == 0
    monkeypatch.setattr(torch.cuda, "memory_stats", lost)
    assert devices.refused(CUDA) == 0
