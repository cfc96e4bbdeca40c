"""SIGKILL of the orchestrator while jobs run: no process stays, no job is lost, none done twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import processes_of

from mysticanvas import Canvas
from mysticanvas.processes import Identity

GONE_S = 2.0
KILLS = 50
"""As many as the long run makes, whatever it makes of other faults."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    for process in processes_of(home):
        process.kill()


def wait_ready(canvas: Canvas) -> None:
    """Until the worker has its death-watch: before, it ends as soon as it is set up."""
    deadline = time.monotonic() + 120
    while canvas.workers[0].state not in ("ready", "busy"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.timeout(0)
def test_workers_are_gone_within_two_seconds_and_the_queue_goes_on(
    home: Path, count: int, tiny_sd: Path, record_property: Callable[[str, object], None]
) -> None:
    kills = min(KILLS, max(2, count // 2))
    slowest_s, submitted = 0.0, []
    for number in range(kills):
        with Canvas(home=home) as canvas:
            job = canvas.submit(f"picture {number}", preset=tiny_sd, num_inference_steps=4, seed=1)
            submitted.append(job.id)
            if number % 2:
                # Otherwise it is killed while its worker still imports the engine.
                canvas.job(submitted[0]).result(timeout=300)
            wait_ready(canvas)
            children = [Identity.of(process.pid) for process in processes_of(home)]
            os.kill(canvas.health().pid, signal.SIGKILL)
            killed = time.monotonic()
            assert all(child.wait_gone(GONE_S) for child in children), number
            slowest_s = max(slowest_s, time.monotonic() - killed)
            assert slowest_s <= GONE_S
    with Canvas(home=home) as canvas:
        for job_id in submitted:
            assert canvas.job(job_id).result(timeout=300).job_id == job_id
        rows = canvas.sql("SELECT job, count(*) AS made FROM images GROUP BY job")
        assert sorted(rows["job"]) == sorted(submitted)
        assert set(rows["made"]) == {1}
        canvas.shutdown()
    assert processes_of(home) == []
    record_property("kills", kills)
    record_property("slowest_s", round(slowest_s, 2))
