"""Room is made on a budget of memory, between real workers."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from models import make_sd

from mysticanvas import Canvas, DoesNotFit, InvalidRequest, LLMPreset, NotFound
from mysticanvas.client.http import Stopping

WAIT_S = 150.0
ONE_PROCESS = 1.5
"""Of what a process with a model has: there is room for one, and not for two."""
TOKENS = 262_144
PICTURES = 8
"""Of 256 px at once, for which 90 MiB are needed beside the model."""


class Footprints(NamedTuple):
    """MiB of the workers with a model, between two requests."""

    image: float
    llm: float
    """With a context of `TOKENS`, which is most of it."""
    small: float
    """With a short one."""

    @property
    def both(self) -> float:
        return self.image + self.llm


@pytest.fixture(scope="module")
def usual(tiny_sd: Path) -> dict[str, Any]:
    """Arguments that every picture here is asked for with."""
    return {"preset": tiny_sd, "num_inference_steps": 1, "width": 256, "height": 256}


@pytest.fixture(scope="module")
def footprints(make_home: Callable[[], Path], usual: dict[str, Any], chat: LLMPreset) -> Footprints:
    with Canvas(home=make_home()) as canvas:
        beside(canvas, chat, usual)
        found = {each.worker: each.mib for each in canvas.vram.workers}
        canvas.presets.llm.save(chat)
        canvas.workers.start("llm", preset=chat.name)
        [llm] = [each.mib for each in canvas.vram.workers if each.worker == "llm"]
        canvas.shutdown()
    return Footprints(found["image"], llm, small=found["llm"])


@pytest.fixture(scope="module")
def chat(tiny_llm: Path) -> LLMPreset:
    return LLMPreset(name="chat", model=str(tiny_llm), n_ctx=TOKENS)


@pytest.fixture
def start(home: Path) -> Iterator[Callable[[float], Canvas]]:
    """A canvas on a budget of so many MiB."""
    canvases: list[Canvas] = []

    def start(budget_mib: float) -> Canvas:
        canvases.append(Canvas(home=home, memory_budget_mib=round(budget_mib), project="p"))
        return canvases[-1]

    yield start
    for canvas in canvases:
        canvas.shutdown()
        canvas.close()


def parts_of(canvas: Canvas) -> list[str]:
    return [part.name for part in canvas.workers["llm"].memory_parts]


def test_a_context_is_dropped_for_pictures_and_said(
    start: Callable[[float], Canvas], footprints: Footprints, chat: LLMPreset, usual: dict[str, Any]
) -> None:
    # A language model is taken to need some 50 MiB more than it will have, and pictures are to need
    # half as much again as there is.
    canvas = start(footprints.both + 110)
    canvas.generate("x", **usual)
    canvas.presets.llm.save(chat)
    canvas.workers.start("llm", preset=chat.name)
    assert "kv cache" in parts_of(canvas)
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with canvas.on("vram", told.put):
        assert canvas._connection._stream.wait_connected(WAIT_S)
        job = canvas.submit("x", num_images=2 * PICTURES, **usual)
        images = job.result()
        unloaded = told.get(timeout=WAIT_S)
        event = told.get(timeout=WAIT_S)
        memory = told.get(timeout=WAIT_S)
    assert parts_of(canvas) == ["weights"]
    assert images[0].recipe.mitigations == ()
    assert (event.job_id, event.plan.decision) == (job.id, "soft_unload")
    preset = images[0].recipe.preset
    assert (unloaded.unloaded, unloaded.preset, unloaded.wanted_by) == ("context", "chat", preset)
    assert unloaded.frees_mib > 0
    assert f"Drop the context of chat to make room for {preset}" in str(event)
    assert memory.job_id == job.id
    [notice] = canvas.job(job.id).notices
    assert f"Drop the context of chat to make room for {preset}, which gives" in notice
    canvas.workers.start("llm", preset=chat.name)
    assert "kv cache" in parts_of(canvas)


def beside(canvas: Canvas, chat: LLMPreset, usual: dict[str, Any]) -> LLMPreset:
    """A language model with a short context, loaded beside an image model."""
    small = chat.replace(name="small", n_ctx=2_048)
    canvas.generate("x", **usual)
    canvas.presets.llm.save(small)
    canvas.workers.start("llm", preset=small.name)
    return small


def test_a_process_is_ended_for_pictures_and_starts_again_when_it_is_wanted(
    start: Callable[[float], Canvas], footprints: Footprints, chat: LLMPreset, usual: dict[str, Any]
) -> None:
    canvas = start(footprints.image + footprints.small + 60)
    small = beside(canvas, chat, usual)
    given = {**usual, "mitigations": "none", "num_images": PICTURES}
    plan = canvas.plan("x", **given)
    assert [action.target for action in plan.actions] == ["small"]
    canvas.generate("x", **given)
    assert (canvas.workers["llm"].pid, canvas.workers["llm"].state) == (None, "stopped")
    canvas.workers.start("llm", preset=small.name)
    assert "kv cache" in parts_of(canvas)


def test_a_language_model_is_given_back_while_a_picture_is_made(
    start: Callable[[float], Canvas],
    footprints: Footprints,
    chat: LLMPreset,
    usual: dict[str, Any],
) -> None:
    canvas = start(footprints.both + 300)
    small = beside(canvas, chat, usual)
    job = canvas.submit("x", **{**usual, "num_inference_steps": 900})
    for name in (small.name, None):
        canvas.workers.start("llm", preset=small.name)
        with ThreadPoolExecutor(1) as pool:
            unloading = pool.submit(canvas.unload, name)
            deadline = time.monotonic() + WAIT_S
            while canvas.workers["llm"].preset and time.monotonic() < deadline:
                time.sleep(0.05)
            assert canvas.workers["llm"].preset is None
            assert job.status == "running"
            if name is None:
                job.cancel()
            unloading.result(WAIT_S)
    assert canvas.workers["image"].preset is None


def test_a_pinned_model_is_in_the_way_of_pictures_and_named(
    start: Callable[[float], Canvas], footprints: Footprints, chat: LLMPreset, usual: dict[str, Any]
) -> None:
    canvas = start(footprints.image + footprints.small + 60)
    small = beside(canvas, chat, usual)
    canvas.pin(small)
    assert "small (pinned)" in repr(canvas.vram)
    given = {**usual, "mitigations": "none", "num_images": PICTURES}
    assert canvas.plan("x", **given).pinned == ["small"]
    with pytest.raises(DoesNotFit, match="'small' is pinned and in the way"):
        canvas.generate("x", **given)
    assert canvas.workers["llm"].preset == "small"
    canvas.unload(small.name)
    canvas.workers.start("llm", preset=small.name)
    assert "pinned" not in repr(canvas.vram)
    canvas.generate("x", **given)
    assert canvas.workers["llm"].preset is None
    with pytest.raises(NotFound, match="no-such"):
        canvas.pin("no-such")
    with pytest.raises(InvalidRequest, match="preset"):
        canvas.pin(7)  # type: ignore[arg-type]


def test_pictures_are_decoded_as_planned(
    start: Callable[[float], Canvas], footprints: Footprints, usual: dict[str, Any]
) -> None:
    canvas = start(footprints.image + 60)
    canvas.generate("x", **usual)
    images = canvas.generate("x", num_images=PICTURES, **usual)
    assert images[0].recipe.mitigations == ("vae_slicing",)
    again = canvas.reproduce(images[0])
    assert again.matches


def test_a_language_model_gets_the_memory_of_the_image_worker(
    start: Callable[[float], Canvas], footprints: Footprints, chat: LLMPreset, usual: dict[str, Any]
) -> None:
    canvas = start(max(footprints.image, footprints.llm) + 100)
    canvas.generate("x", **usual)
    before = canvas.workers["image"].pid
    canvas.presets.llm.save(chat)
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with canvas.on("vram", told.put):
        assert canvas._connection._stream.wait_connected(WAIT_S)
        canvas.workers.start("llm", preset=chat.name)
        assert canvas.workers["llm"].preset == chat.name
        assert canvas.workers["image"].pid is None
        ended = told.get(timeout=WAIT_S)
        assert (ended.unloaded, ended.worker, ended.wanted_by) == ("model", "image", chat.name)
        assert "to make room for chat" in str(ended)

        canvas.unload(chat.name)
        asked = told.get(timeout=WAIT_S)
        assert (asked.preset, asked.wanted_by) == (chat.name, None)
        assert "was asked" in asked.reason
    assert canvas.workers["llm"].pid is None
    canvas.generate("x", **usual)
    assert canvas.workers["image"].pid not in (None, before)

    canvas.presets.llm.save(chat.replace(name="too-long", n_ctx=1 << 24))
    with pytest.raises(DoesNotFit, match="does not make enough room") as refused:
        canvas.workers.start("llm", preset="too-long")
    assert TOKENS <= refused.value.suggestion["n_ctx"] < 1 << 24
    with pytest.raises(InvalidRequest, match="with the jobs"):
        canvas.workers.start("image", preset=chat.name)


def test_what_does_not_fit_is_refused_with_what_would(
    start: Callable[[float], Canvas], footprints: Footprints, usual: dict[str, Any]
) -> None:
    canvas = start(footprints.image + 60)
    canvas.generate("x", **usual)
    given = {**usual, "mitigations": "none", "num_images": PICTURES}
    with pytest.raises(DoesNotFit) as refused:
        canvas.generate("x", **given)
    assert not refused.value.plan.fits
    fewer = refused.value.suggestion["num_images"]
    assert 1 <= fewer < PICTURES
    assert refused.value.plan.suggestion == refused.value.suggestion
    assert len(canvas.generate("x", **refused.value.suggestion)) == fewer
    [failed] = [job for job in canvas.jobs if job.status == "failed"]
    assert failed.attempts == 1


@pytest.mark.fault("two notebooks ask for two large models at once", "one after the other")
def test_two_notebooks_that_want_the_whole_budget_get_it_in_turn(
    start: Callable[[float], Canvas], footprints: Footprints, chat: LLMPreset, usual: dict[str, Any]
) -> None:
    canvas = start(max(footprints.image, footprints.llm) + 60)
    canvas.presets.llm.save(chat)
    times = 3

    def chatting() -> None:
        with Canvas(home=canvas.home, project="p") as other:
            for _ in range(times):
                other.workers.start("llm", preset=chat.name)

    with ThreadPoolExecutor(1) as pool:
        chats = pool.submit(chatting)
        images = [canvas.generate("x", seed=k, **usual) for k in range(times)]
        chats.result(timeout=WAIT_S)
    assert [image.seed for image in images] == [0, 1, 2]
    assert all(job.status == "succeeded" and job.attempts == 1 for job in canvas.jobs)


@pytest.mark.fault("two notebooks ask for two image models at once", "one after the other")
def test_two_notebooks_that_want_an_image_model_each_get_it_in_turn(
    start: Callable[[float], Canvas],
    footprints: Footprints,
    usual: dict[str, Any],
    tmp_path: Path,
) -> None:
    budget_mib = ONE_PROCESS * footprints.image
    canvas = start(budget_mib)
    presets = [usual["preset"], make_sd(tmp_path / "other", seed=1)]
    canvas.generate("x", **usual)

    def draw(preset: Path) -> list[Any]:
        with Canvas(home=canvas.home, project="p") as own:
            return [own.generate("x", seed=k, **usual | {"preset": preset}) for k in range(2)]

    with ThreadPoolExecutor(2) as pool:
        drawing = [pool.submit(draw, preset) for preset in presets]
        held = []
        while not all(each.done() for each in drawing):
            held.append(sum(each.mib for each in canvas.vram.workers))
            time.sleep(0.1)
        made = [each.result() for each in drawing]
    assert max(held) < budget_mib
    files = [[image.recipe.model_files for image in images] for images in made]
    assert all(each.count(each[0]) == len(each) for each in files)
    assert files[0] != files[1]
    assert all(job.status == "succeeded" and job.attempts == 1 for job in canvas.jobs)


@pytest.mark.fault("all is stopped while a model waits until a picture is made", "it ends at once")
def test_neither_an_unused_model_nor_the_end_waits_for_who_waits_for_a_picture(
    home: Path, footprints: Footprints, chat: LLMPreset, usual: dict[str, Any]
) -> None:
    canvas = Canvas(
        home=home,
        memory_budget_mib=round(footprints.image + 250),
        keep_alive_s=3,
        project="p",
    )
    canvas.presets.llm.save(chat)
    canvas.generate("x", **usual)
    job = canvas.submit("x", **{**usual, "num_inference_steps": 900})
    canvas.presets.llm.save(chat.replace(name="small", n_ctx=2_048))
    canvas.workers.start("llm", preset="small")
    _, api = canvas._connection._open(background=False)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.start_worker, "llm", chat.name)
        deadline = time.monotonic() + WAIT_S
        while canvas.workers["llm"].preset and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (canvas.workers["llm"].preset, job.status) == (None, "running")
        assert not waiting.done()
        canvas.shutdown()
        # Whose call it is asks the next one.
        with pytest.raises(Stopping):
            waiting.result(WAIT_S)
    canvas.close()
