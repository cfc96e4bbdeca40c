"""The queue on real processes: order, pauses, workers and orchestrators that die."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from support import long_job

from mysticanvas import Canvas, Job, errors
from mysticanvas.processes import Identity
from mysticanvas.session import progress
from mysticanvas.session.tracker import Snapshot

WAIT_S = 150
STAGES = ("load", "encode", "denoise", "decode", "save")


def kill_worker(canvas: Canvas) -> None:
    worker = canvas.workers["image"]
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)


def small(tiny_sd: Path, **more: Any) -> dict[str, Any]:
    return {"preset": str(tiny_sd), "num_inference_steps": 2, **more}


def reached(job: Job[Any], stage: str, attempt: int = 1) -> None:
    """Wait until an attempt of the job is at that stage, or has left it: of two pieces of news that
    come at once, a listener is told the newer alone."""
    there = STAGES[STAGES.index(stage) :]
    for event in job.events():
        if event.type == "progress" and job.attempts == attempt and event.data["stage"] in there:
            return
    raise AssertionError(f"job {job.id} ended before attempt {attempt} came to {stage}")


def test_interactive_jobs_overtake_background_ones(canvas: Canvas, tiny_sd: Path) -> None:
    first = canvas.submit("x", **long_job(tiny_sd))
    reached(first, "denoise")
    later = canvas.submit("y", priority="background", **small(tiny_sd))
    sooner = canvas.submit("z", **small(tiny_sd))
    assert (later.position, sooner.position) == (1, 0)
    first.cancel()
    assert later.result(WAIT_S).created_at < sooner.result(WAIT_S).created_at
    assert later.started_at > sooner.started_at


@pytest.mark.fault("SIGKILL of the image worker at a step", "the same pixels, once")
@pytest.mark.parametrize("stage", ["load", "denoise"])
def test_a_worker_that_dies_at_a_step_costs_nothing(
    canvas: Canvas, tiny_sd: Path, stage: str
) -> None:
    """With a real model; every other step is in the dispatcher's own tests."""
    settings = {**long_job(tiny_sd), "num_inference_steps": 200, "num_images": 2}
    undisturbed = canvas.generate("x", **settings)
    canvas.unload()
    job = canvas.submit("x", **settings)
    reached(job, stage)
    kill_worker(canvas)
    images = job.result(WAIT_S)
    assert (job.attempts, len(job.failures)) == (2, 1)
    assert [image.pixels_sha256 for image in images] == [
        image.pixels_sha256 for image in undisturbed
    ]
    assert canvas.images().total == 4
    assert canvas.workers[0].restarts >= 1


def test_a_background_job_makes_way_and_comes_to_its_end(canvas: Canvas, tiny_sd: Path) -> None:
    slow = canvas.submit("x", priority="background", **long_job(tiny_sd))
    reached(slow, "denoise")
    quick = canvas.submit("y", **small(tiny_sd))
    quick.result(WAIT_S)
    slow.result(WAIT_S)
    assert (slow.attempts, slow.failures, quick.attempts) == (2, [], 1)
    assert quick.finished_at < slow.finished_at


def test_a_pause_lasts_over_a_restart_and_is_said(home: Path, tiny_sd: Path) -> None:
    with Canvas(home=home) as canvas:
        canvas.jobs.pause()
        assert canvas.jobs.paused
        job = canvas.submit("later", **small(tiny_sd))
        assert job.notices[-1].startswith("The queue is paused")
        canvas.shutdown()
    with Canvas(home=home) as canvas:
        job = canvas.job(job.id)
        assert canvas.health().queue.paused
        assert job.status == "queued"
        canvas.jobs.resume()
        assert job.result(WAIT_S).width == 64
        assert not any("paused" in notice for notice in job.notices)
        canvas.shutdown()


def test_a_generate_that_waits_for_the_queue_says_that_it_is_paused(
    canvas: Canvas, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Resuming:
        previews = False

        def prepare(self, seconds: float) -> None:
            pass

        def update(self, snapshot: Snapshot, seconds: float) -> None:
            said.append(progress.headline(snapshot))
            if said[-1].startswith("waiting: the queue is paused, canvas.jobs.resume()"):
                canvas.jobs.resume()

        def finish(self, line: str) -> None:
            said.append(line)

    monkeypatch.setattr(progress, "choose", lambda *_: Resuming())
    canvas.jobs.pause()
    assert canvas.generate("x", **small(tiny_sd)).width == 64
    assert not canvas.jobs.paused


@pytest.mark.fault("SIGKILL of the orchestrator with a queue", "every job is done once")
def test_no_job_is_lost_or_done_twice_when_the_orchestrator_is_killed(
    home: Path, tiny_sd: Path
) -> None:
    with Canvas(home=home) as canvas:
        jobs = [canvas.submit("first", **long_job(tiny_sd))]
        jobs += [canvas.submit(f"number {k}", **small(tiny_sd)) for k in range(4)]
        cancelled = canvas.submit("never", **small(tiny_sd))
        cancelled.cancel()
        reached(jobs[0], "denoise")
        orchestrator = Identity.of(canvas.health().pid)
        os.kill(orchestrator.pid, signal.SIGKILL)
        assert orchestrator.wait_gone(WAIT_S)
        made = [job.result(WAIT_S) for job in jobs]
        assert [job.attempts for job in jobs] == [2, 1, 1, 1, 1]
        assert {image.id for image in canvas.images()} == {image.id for image in made}
        assert canvas.images().total == len(jobs)
        assert canvas.job(cancelled.id).status == "cancelled"
        assert [len(canvas.jobs.list(status)) for status in ("succeeded", "running", "queued")] == [
            5,
            0,
            0,
        ]
        canvas.shutdown()


def test_the_jobs_of_a_project_are_a_collection(canvas: Canvas, tiny_sd: Path) -> None:
    made = [canvas.submit(f"{k}", **small(tiny_sd)) for k in range(3)]
    for job in made:
        job.result(WAIT_S)
    jobs = canvas.jobs
    assert len(jobs) == 3
    assert [job.id for job in jobs] == [job.id for job in reversed(made)]
    assert jobs[made[0].id[-8:]].result() == made[0].result()
    assert [job.id for job in jobs.list(status="failed")] == []
    assert len(jobs.list(kind="generate")) == 3
    assert repr(jobs) == "<Jobs 3>"
    assert jobs._repr_html_().count(">succeeded</td>") == 3
    with pytest.raises(errors.InvalidRequest, match="queued, running"):
        jobs.list(status="done")
    with pytest.raises(errors.NotFound):
        jobs["ffffffff"]


def test_a_job_that_is_not_to_run_again_after_a_crash_is_cancelled_with_the_reason(
    home: Path, tiny_sd: Path
) -> None:
    with Canvas(home=home) as canvas:
        job = canvas.submit("once", after_crash="cancel", **long_job(tiny_sd))
        waiting = canvas.submit("waits", after_crash="cancel", **small(tiny_sd))
        canvas.jobs.pause()
        reached(job, "denoise")
        os.kill(canvas.health().pid, signal.SIGKILL)
        with pytest.raises(errors.JobCancelled, match="ended while it ran.*not to run again"):
            job.result(WAIT_S)
        assert (job.status, job.attempts) == ("cancelled", 1)
        # It never ran, so the crash was none of its own.
        assert waiting.status == "queued"
        canvas.shutdown()
