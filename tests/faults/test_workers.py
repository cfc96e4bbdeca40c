"""Workers that are killed, stopped and broken in every state, and such as misbehave.

Whatever happens, the job that was begun is done exactly once, a worker is there again, and users
are told why in words. The worker is a real process; only its engine is one that draws no pictures.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from ends import HOW, LONG, SHORT
from house import WAIT_S, House
from tasks import make_task

from mysticanvas.contracts.health import WorkerState
from mysticanvas.orchestrator.supervisor.breaker import MAX_FAILURES
from mysticanvas.orchestrator.supervisor.client import WorkerLost

pytestmark = pytest.mark.timeout(0)
STAGES = ("take", "load", "denoise", "save")
"""At the first, the worker has read of the job and not begun to answer."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One whose worker is well but for what prompts and signals do to it."""
    with House(tmp_path_factory.mktemp("house"), SHORT) as house:
        yield house


def assert_well(house: House) -> None:
    """The next job is done at once, by a worker that is ready behind it."""
    assert house.done().failures == []
    house.in_state(WorkerState.READY)


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP], ids=lambda how: how.name
)
def test_an_idle_worker_is_replaced(
    house: House, few: int, seldom: int, faults: Any, how: signal.Signals
) -> None:
    for _ in range(seldom if how is signal.SIGSTOP else few):
        with faults.inject(f"{how.name} of an idle worker", "another one is ready, without a job"):
            assert_well(house)
            pid, told = house.in_state(WorkerState.READY), len(house.alerts)
            os.kill(pid, how)
            after = house.until(
                lambda s, gone=pid: s.state is WorkerState.READY and s.pid not in (gone, None)
            )
            assert not psutil.pid_exists(pid)
            (alert,) = house.alerts[told:]
            assert (alert.kind, alert.pid) == ("worker_restart", pid)
            # A process that is stopped takes no SIGTERM.
            assert alert.signal == ("SIGKILL" if how is signal.SIGSTOP else how.name)
            assert alert.reason == after.last_error
    assert_well(house)


@pytest.mark.parametrize(
    ("problem", "stage"),
    [
        *((problem, stage) for problem in ("kill", "segv", "exit") for stage in STAGES),
        ("stop", "denoise"),
        ("stop", "load"),
        pytest.param("stop", "save", marks=LONG),
    ],
)
def test_a_job_that_a_worker_was_lost_with_is_done_by_the_next(
    house: House, few: int, seldom: int, faults: Any, problem: str, stage: str
) -> None:
    for _ in range(seldom if problem == "stop" else few):
        with faults.inject(f"{problem} at stage {stage}", "done by the next worker, once"):
            rows, told = house.rows(), len(house.alerts)
            record = house.done(f"{problem} {stage} 1")
            assert record.attempts == 2
            assert house.rows() == rows + 1
            (alert,) = house.alerts[told:]
            assert record.failures == [f"attempt 1: the worker {alert.reason}"]
            assert (alert.signal, alert.exit_code) == HOW[problem]
            assert problem != "exit" or "libcudart.so.12 is missing" in alert.last_lines[-1]


def test_a_worker_that_was_lost_before_it_read_of_a_job_does_not_count(
    house: House, few: int, faults: Any
) -> None:
    for _ in range(few):
        with faults.inject("SIGKILL before it reads of its job", "done by the next worker, once"):
            rows, pid = house.rows(), house.in_state(WorkerState.READY)
            os.kill(pid, signal.SIGSTOP)
            job = house.submit()
            house.until(lambda status: status.state is WorkerState.BUSY)
            os.kill(pid, signal.SIGKILL)
            record = house.reached(job, "succeeded")
            assert (record.attempts, record.failures) == (2, [])
            assert house.rows() == rows + 1


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("stick", "made no progress"),
        ("close", "broke off its answer"),
        ("garble", "answered what no worker answers"),
    ],
)
def test_a_worker_that_misbehaves_is_ended_and_its_job_done_by_the_next(
    house: House, few: int, seldom: int, faults: Any, problem: str, said: str
) -> None:
    for _ in range(seldom if problem == "stick" else few):
        with faults.inject(f"a worker that would {problem}", "ended; done by the next, once"):
            rows, before = house.rows(), house.in_state(WorkerState.READY)
            record = house.done(f"{problem} denoise 1")
            assert (record.attempts, len(record.failures)) == (2, 1)
            assert said in record.failures[0]
            assert said in house.alerts[-1].message
            assert house.rows() == rows + 1
            assert not psutil.pid_exists(before)


def test_a_worker_that_answers_nonsense_when_asked_how_it_is_is_replaced(
    house: House, seldom: int, faults: Any
) -> None:
    for _ in range(seldom):
        with faults.inject("nonsense for an answer about its health", "replaced, and it is said"):
            assert house.done("rave denoise 1").failures == []
            before, told = house.in_state(WorkerState.READY), len(house.alerts)
            house.until(lambda s, pid=before: s.state is WorkerState.READY and s.pid != pid)
            (alert,) = house.alerts[told:]
            assert (alert.kind, alert.pid) == ("worker_restart", before)
            assert "did not answer" in alert.message
            assert not psutil.pid_exists(before)
    assert_well(house)


def test_a_worker_that_does_not_give_its_memory_back_is_ended(house: House, faults: Any) -> None:
    with faults.inject("an unload that is refused", "ended; nobody waits for ever"):
        house.done()
        before, told = house.in_state(WorkerState.READY), len(house.alerts)
        lease = house.worker.lease(WAIT_S)
        # Somebody else has it, whom it does not leave for this; whether that stream breaks off or
        # is told its end depends on how far its process comes meanwhile.
        with (
            contextlib.suppress(WorkerLost),
            lease.client.generate(make_task(Path("sd"), prompt="wait denoise 1")) as stream,
        ):
            for _ in stream:
                house.dispatcher.unload()
        house.until(lambda _: len(house.alerts) > told)
        (alert,) = house.alerts[told:]
        assert alert.pid == before
        assert "would not give its memory back" in alert.message
    assert_well(house)


def test_an_answer_that_comes_late_is_recorded_once(house: House, seldom: int, faults: Any) -> None:
    for _ in range(seldom):
        with faults.inject("an answer while it is ended for hanging", "one result, one row"):
            rows = house.rows()
            record = house.done("late denoise 1")
            assert house.rows() == rows + 1
            assert len(record.images) == 1
            assert len(record.failures) == record.attempts - 1
    assert_well(house)


def test_a_result_of_an_attempt_that_was_given_away_is_refused(house: House, faults: Any) -> None:
    with faults.inject("a result after its lease was given away", "refused: one row"):
        rows = house.rows()
        job = house.submit("wait denoise 1")
        house.at_stage(job, "denoise")
        (run,) = house.transitions.runs()
        os.kill(house.in_state(WorkerState.BUSY), signal.SIGKILL)
        assert house.reached(job, "succeeded").attempts == 2
        assert not house.transitions.succeed(run, [])
        assert house.rows() == rows + 1


def test_a_flood_of_output_holds_nothing_up(house: House, few: int, faults: Any) -> None:
    for _ in range(few):
        with faults.inject("4 MiB on standard error", "the job is done"):
            assert house.done("flood denoise 1").attempts == 1


def test_what_a_worker_started_ends_with_it(house: House, few: int, faults: Any) -> None:
    pids = house.paths.images.with_name("grandchildren")
    for _ in range(few):
        with faults.inject("a worker that dies and leaves children", "they are gone, too"):
            assert house.done("spawn denoise 1").attempts == 2
            for pid in map(int, pids.read_text().split()):
                assert not psutil.pid_exists(pid) or (
                    psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
                )
            pids.unlink()


def test_a_worker_that_ignores_term_is_killed(tmp_path: Path, seldom: int, faults: Any) -> None:
    with House(tmp_path, SHORT, PROBLEM_DEAF="1") as house:
        for _ in range(seldom):
            with faults.inject("SIGTERM is ignored", "killed; the job is done by the next"):
                record = house.done("stick denoise 1")
                assert "SIGKILL" in record.failures[0]
        last = house.in_state(WorkerState.READY)
    assert not psutil.pid_exists(last)
    assert house.worker.status.state is WorkerState.STOPPED


@pytest.mark.parametrize("moment", ["start", "ready", "import"])
@pytest.mark.parametrize(
    "problem",
    ["kill", "segv", "exit", pytest.param("stop", marks=LONG), pytest.param("stick", marks=LONG)],
)
def test_a_worker_that_fails_to_start_is_started_again(
    tmp_path: Path, faults: Any, problem: str, moment: str
) -> None:
    limits = SHORT._replace(import_s=40)
    with faults.inject(f"{problem} before {moment}", "another one does the job"):  # noqa: SIM117
        with House(tmp_path, limits, PROBLEM_START=f"{problem} {moment}") as house:
            assert house.done().failures in ([], [f"attempt 1: the worker {_first(house)}"])
            assert house.worker.status.restarts >= 1
            assert house.alerts[0].kind == "worker_restart"
            if problem == "exit":
                assert house.alerts[0].exit_code == 3
                assert "libcudart.so.12 is missing" in house.alerts[0].message


def test_an_engine_that_cannot_be_imported_is_tried_again(tmp_path: Path, faults: Any) -> None:
    with faults.inject("the engine's import raises", "another one does the job"):  # noqa: SIM117
        with House(tmp_path, SHORT, PROBLEM_START="raise import") as house:
            house.until(lambda status: status.restarts == 1)
            assert "could not import its engine" in house.alerts[0].message
            assert house.done().failures == []


def _first(house: House) -> str:
    return house.alerts[0].reason


def test_a_worker_that_never_starts_opens_the_breaker(tmp_path: Path, faults: Any) -> None:
    times = {"PROBLEM_START": "exit start", "PROBLEM_TIMES": str(MAX_FAILURES)}
    with House(tmp_path, SHORT, **times) as house:
        with faults.inject("exit at every start", "breaker: told, and told to jobs"):
            status = house.until(lambda status: status.retry_s is not None)
            assert (status.state, status.pid) == (WorkerState.FAILED, None)
            house.until(lambda _: len(house.alerts) == MAX_FAILURES)
            kinds = [alert.kind for alert in house.alerts]
            assert kinds == ["worker_restart"] * (MAX_FAILURES - 1) + ["worker_breaker"]
            assert "canvas.workers.reset()" in house.alerts[-1].message
            kept = house.submit(priority="background")
            failed = house.reached(house.submit(), "failed")
            assert failed.error is not None
            assert failed.error.code == "worker_crashed"
            assert "exit code 3" in failed.error.detail
            assert "canvas.workers.reset()" in failed.error.hint
            assert house.store.jobs.get(kept).record.status in ("queued", "running")
        with faults.inject("a reset after that", "started; the job that waited is done"):
            house.worker.reset()
            assert house.reached(kept, "succeeded").failures == []
            assert house.until(lambda s: s.state is WorkerState.READY).retry_s is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=lambda how: how.name)
def test_a_worker_that_is_lost_just_before_it_is_stopped_stays_stopped(
    tmp_path: Path, faults: Any, how: signal.Signals
) -> None:
    with faults.inject(f"{how.name} just before the stop", "no process is left"):
        with House(tmp_path, SHORT) as house:
            job = house.submit("wait denoise 1")
            pid = house.at_stage(job, "denoise")
            os.kill(pid, how)
        assert not psutil.pid_exists(pid)
        assert house.worker.status.state is WorkerState.STOPPED
