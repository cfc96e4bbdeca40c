"""An orchestrator that ends or stands still while jobs run: no process stays without it, no job is
lost, none done twice."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import family, left_of, long_job, processes_of, start_as

from mysticanvas import Canvas
from mysticanvas.client.api import Api
from mysticanvas.orchestrator.supervisor.watch import BEAT_S
from mysticanvas.session import launch

GONE_S = 2.0
EXIT = signal.SIGUSR1
"""At which an orchestrator exits, as `exit_when_told` has it."""
KILLS = 50
"""As many as the long run makes, whatever it makes of other faults."""


def wait_ready(canvas: Canvas) -> None:
    """Until the worker has its death-watch: before, it ends as soon as it is set up."""
    deadline = time.monotonic() + 120
    while canvas.workers[0].state not in ("ready", "busy"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    "how",
    [signal.SIGKILL, signal.SIGSEGV, EXIT],
    ids=lambda how: "exit" if how is EXIT else how.name,
)
def test_workers_are_gone_within_two_seconds_and_the_queue_goes_on(
    home: Path,
    count: int,
    few: int,
    faults: Any,
    how: signal.Signals,
    tiny_sd: Path,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if how is EXIT:
        start_as(monkeypatch, "exit_when_told")
    name = "exit" if how is EXIT else how.name
    kills = min(KILLS, max(2, count // 2)) if how is signal.SIGKILL else few
    slowest_s, submitted = 0.0, []
    for number in range(kills):
        with Canvas(home=home) as canvas:
            job = canvas.submit(f"picture {number}", preset=tiny_sd, num_inference_steps=4, seed=1)
            submitted.append(job.id)
            if number % 2:
                # Otherwise it is killed while its worker still imports the engine. A job that was
                # under way at three such ends would be parked, as it may be what they come from.
                for earlier in submitted[-3:-1]:
                    canvas.job(earlier).result(timeout=300)
            wait_ready(canvas)
            pid = canvas.health().pid
            there = family(pid)
            with faults.inject(f"{name} of the orchestrator", "no process is left after 2 s"):
                os.kill(pid, how)
                killed = time.monotonic()
                assert left_of(there, GONE_S) == [], number
                slowest_s = max(slowest_s, time.monotonic() - killed)
    outcome = "every job is done once"
    with faults.inject(f"{name} of it again and again", outcome), Canvas(home=home) as canvas:
        for job_id in submitted:
            assert canvas.job(job_id).result(timeout=300).job_id == job_id
        rows = canvas.sql("SELECT job, count(*) AS made FROM images GROUP BY job")
        assert sorted(rows["job"]) == sorted(submitted)
        assert set(rows["made"]) == {1}
        canvas.shutdown()
    assert processes_of(home) == []
    record_property("kills", kills)
    record_property("slowest_s", round(slowest_s, 2))


@pytest.mark.timeout(0)
def test_a_process_in_reserve_is_gone_as_well(
    home: Path, few: int, faults: Any, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As users have it: the other tests leave it out, since it takes a core for seconds."""
    monkeypatch.setenv("MYSTICANVAS_SPARE_WORKER", "true")
    for number in range(few):
        with Canvas(home=home) as canvas:
            canvas.generate(f"picture {number}", preset=tiny_sd, num_inference_steps=1)
            reserve = stands_by(canvas)
            pid = canvas.health().pid
            there = family(pid)
            assert {reserve, canvas.workers[0].pid} < {process.pid for process in there}
            with faults.inject("SIGKILL with a process in reserve", "none is left after 2 s"):
                os.kill(pid, signal.SIGKILL)
                assert left_of(there, GONE_S) == [], number
    with Canvas(home=home) as canvas:
        canvas.shutdown()
    assert processes_of(home) == []


def stands_by(canvas: Canvas) -> int:
    """The process in reserve, once there is one that has its death-watch."""
    deadline = time.monotonic() + 120
    while (reserve := canvas.workers[0].reserve) is None or not has_socket(reserve.pid):
        assert time.monotonic() < deadline, canvas.health().workers
        time.sleep(0.05)
    return int(reserve.pid)


def has_socket(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).net_connections())
    return False


@pytest.mark.timeout(0)
def test_one_that_stands_still_goes_on_where_it_was(
    home: Path, few: int, faults: Any, tiny_sd: Path
) -> None:
    """As when the machine swaps or sleeps: nobody who is well may be taken for dead after that."""
    with Canvas(home=home) as canvas, ThreadPoolExecutor(1) as another:
        canvas.generate("the first loads the model", preset=tiny_sd, num_inference_steps=1)
        pid, worker = canvas.health().pid, canvas.workers[0].pid
        for _ in range(few):
            job = canvas.submit("x", **long_job(tiny_sd))
            next(event for event in job.events() if event.type == "progress")
            with faults.inject("SIGSTOP of the orchestrator for a while", "all goes on"):
                os.kill(pid, signal.SIGSTOP)
                answer = another.submit(canvas.health)
                # Longer than it leaves a worker without a question.
                with pytest.raises(TimeoutError):
                    answer.result(timeout=2 * BEAT_S)
                os.kill(pid, signal.SIGCONT)
                assert answer.result(timeout=60).pid == pid
                assert job.result(timeout=300).job_id == job.id
                assert (job.attempts, job.failures) == (1, [])
                assert (canvas.workers[0].pid, canvas.workers[0].restarts) == (worker, 0)
        canvas.shutdown()


@pytest.mark.timeout(0)
@pytest.mark.parametrize("drain_s", [0.0, 60.0], ids=["stopping", "draining"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=lambda how: how.name)
def test_one_that_is_lost_while_it_ends_loses_nothing(
    home: Path, few: int, faults: Any, how: signal.Signals, drain_s: float, tiny_sd: Path
) -> None:
    outcome = "no process is left, and the job is done once by the next"
    for number in range(few):
        with Canvas(home=home) as canvas:
            job = canvas.submit("x", **long_job(tiny_sd))
            next(event for event in job.events() if event.type == "progress")
            runtime = launch.find(canvas._connection.paths)
            assert runtime is not None
            there = family(runtime.pid)
            api = Api(launch.client(runtime))
            with faults.inject(f"{how.name} of an orchestrator that ends", outcome):
                api.shutdown(True, "", drain_s)
                # At another point of its end each time.
                time.sleep(0.05 * (number % 8))
                api.close()
                with contextlib.suppress(ProcessLookupError):
                    os.kill(runtime.pid, how)
                if how is signal.SIGSTOP:
                    ended = subprocess.run(
                        [sys.executable, "-m", "mysticanvas", "stop", "--force", "--home", home],
                        check=False,
                    )
                    assert ended.returncode == 0
                assert left_of(there, GONE_S) == [], number
        with (
            faults.inject(f"{how.name} of it again and again", outcome),
            Canvas(home=home) as again,
        ):
            assert again.job(job.id).result(timeout=300).job_id == job.id
            rows = again.sql("SELECT count(*) AS made FROM images WHERE job = '" + job.id + "'")
            assert list(rows["made"]) == [1]
            again.shutdown(force=True)
    assert processes_of(home) == []
