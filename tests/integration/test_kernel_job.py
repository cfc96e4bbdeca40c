"""Jobs as a kernel holds them: live, awaitable, and stopped by the stop button."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mysticanvas import (
    Canvas,
    Image,
    Images,
    Job,
    JobCancelled,
    OrchestratorUnavailable,
    Stopped,
)
from mysticanvas.client.api import Api
from mysticanvas.session import progress
from mysticanvas.session.tracker import Snapshot

LONG_STEPS = 900


@pytest.fixture
def long_job(canvas: Canvas, tiny_sd: Path) -> Any:
    """A job that runs until the test is over."""
    job = canvas.submit("long", preset=tiny_sd, num_inference_steps=LONG_STEPS, seed=1)
    yield job
    job.cancel()
    job.wait(60)


class Interrupting:
    """A display that presses the stop button, as a notebook does it: by a signal."""

    previews = False

    def prepare(self, seconds: float) -> None:
        pass

    def update(self, snapshot: Snapshot, seconds: float) -> None:
        if snapshot.progress.step:
            signal.raise_signal(signal.SIGINT)

    def finish(self, line: str) -> None:
        pass


def started(job: Job[Any]) -> None:
    next(event for event in job.events() if event.type == "progress" and event.data["step"])


def test_a_job_is_live_from_submit_to_the_end(canvas: Canvas, tiny_sd: Path) -> None:
    job = canvas.submit("x", preset=tiny_sd, num_inference_steps=20, seed=1)
    assert job.kind == "generate"
    fractions = [job.progress for event in job.events() if event.type == "progress"]
    assert fractions == sorted(fractions)
    assert all(0 <= fraction <= 1 for fraction in fractions)
    assert job.done()
    assert (job.status, job.progress, job.attempts, job.error) == ("succeeded", 1.0, 1, None)
    assert job.created_at <= job.started_at <= job.finished_at
    assert isinstance(job.result(), Image)
    assert canvas.job(job.id[-8:]).result() == job.result()
    assert repr(job) == f"<Job {job.id[-8:]} generate succeeded>"


def test_waiting_with_a_limit_leaves_the_job_running(long_job: Job[Image]) -> None:
    started(long_job)
    with pytest.raises(TimeoutError, match="still running after"):
        long_job.result(timeout=0.1)
    assert not long_job.done()


def test_a_job_that_waits_knows_its_place(
    canvas: Canvas, tiny_sd: Path, long_job: Job[Image]
) -> None:
    started(long_job)
    waiting = canvas.submit("next", preset=tiny_sd, num_inference_steps=2)
    assert (waiting.status, waiting.position, waiting.progress) == ("queued", 0, 0.0)
    assert long_job.position is None
    assert waiting.cancel()
    assert waiting.status == "cancelled"
    assert not waiting.cancel()


def test_a_cancelled_job_has_no_result(long_job: Job[Image]) -> None:
    started(long_job)
    assert long_job.cancel()
    with pytest.raises(JobCancelled):
        long_job.result(60)
    assert isinstance(long_job.error, JobCancelled)
    assert long_job.wait() is long_job


def test_jobs_are_awaited_together_without_blocking_the_loop(canvas: Canvas, tiny_sd: Path) -> None:
    async def both() -> tuple[Image, Images, list[str]]:
        one = canvas.submit("one", preset=tiny_sd, num_inference_steps=5)
        two = canvas.submit("two", preset=tiny_sd, num_inference_steps=5, num_images=2)
        three = canvas.submit("three", preset=tiny_sd, num_inference_steps=5)
        first, second = await asyncio.gather(one, two)
        kinds = [event.type async for event in three.events()]
        return first, second, kinds

    first, second, kinds = asyncio.run(both())
    assert (first.prompt, len(second)) == ("one", 2)
    assert kinds[0] == kinds[-1] == "job"


def test_a_closed_canvas_lets_nobody_wait(
    canvas: Canvas, tiny_sd: Path, long_job: Job[Image]
) -> None:
    started(long_job)
    errors: list[Exception] = []

    def wait(job: Job[Any]) -> None:
        try:
            job.wait()
        except OrchestratorUnavailable as error:
            errors.append(error)

    with Canvas(home=canvas.home, project=canvas.project) as other:
        queued = other.submit("x", preset=tiny_sd, num_inference_steps=2)
        mine = other.job(long_job.id)
        waiting = threading.Thread(target=wait, args=(mine,))
        waiting.start()
        while not mine._tracker.waited_for:
            time.sleep(0.01)
    waiting.join(60)
    assert len(errors) == 1
    with pytest.raises(OrchestratorUnavailable, match=r"Canvas\(\)\.job\("):
        mine.result()
    with pytest.raises(OrchestratorUnavailable, match="closed"):
        asyncio.run(asyncio.wait_for(_awaited(queued), 60))
    assert canvas.job(queued.id).cancel()


async def _awaited(job: Job[Any]) -> Any:
    return await job


def test_an_await_that_is_given_up_leaves_the_job_running(long_job: Job[Image]) -> None:
    async def impatient() -> None:
        async with asyncio.timeout(0.1):
            await long_job

    started(long_job)
    with pytest.raises(TimeoutError):
        asyncio.run(impatient())
    assert long_job.status == "running"


def test_the_stop_button_ends_waiting_and_says_how_to_cancel(
    long_job: Job[Image],
) -> None:
    started(long_job)
    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    with pytest.raises(Stopped, match=r"still running; job\.cancel\(\)") as stopped:
        long_job.result()
    signal.signal(signal.SIGALRM, before)
    assert stopped.value.job is long_job
    assert long_job.status == "running"


def test_the_stop_button_during_generate_cancels_the_job(
    canvas: Canvas, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "choose", lambda *_: Interrupting())
    with pytest.raises(Stopped, match="cancelled") as stopped:
        canvas.generate("x", preset=tiny_sd, num_inference_steps=LONG_STEPS)
    assert stopped.value.job.wait(60).status == "cancelled"
    assert canvas.images().total == 0


def test_the_stop_button_while_the_job_is_sent_cancels_that_very_job(
    canvas: Canvas, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    submit: Callable[..., Any] = Api.submit

    def interrupted(self: Api, *arguments: Any) -> Any:
        record = submit(self, *arguments)
        sent.append(record.id)
        raise KeyboardInterrupt

    monkeypatch.setattr(Api, "submit", interrupted)
    with pytest.raises(Stopped) as stopped:
        canvas.generate("x", preset=tiny_sd, num_inference_steps=LONG_STEPS)
    assert sent == [stopped.value.job.id]
    assert stopped.value.job.wait(60).status == "cancelled"
