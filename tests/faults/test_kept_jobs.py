"""Jobs in the background that are kept while no worker can be started, however many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ends import SHORT
from house import House

from mysticanvas.contracts.health import WorkerState
from mysticanvas.orchestrator.supervisor import breaker

pytestmark = pytest.mark.timeout(0)
SWEEP = 5
COOL_DOWN_S = 2.0


def _house(root: Path, failing: int) -> House:
    """One whose first processes end as they start."""
    times = {"PROBLEM_START": "exit start", "PROBLEM_TIMES": str(failing)}
    return House(root, SHORT, **times)


def _attempts(house: House, jobs: list[str]) -> list[int]:
    return [house.store.jobs.get(job).record.attempts for job in jobs]


def test_kept_jobs_are_left_alone_until_the_worker_may_be_started(
    tmp_path: Path, faults: Any
) -> None:
    with _house(tmp_path, breaker.MAX_FAILURES) as house:
        house.until(lambda status: status.retry_s is not None)
        with faults.inject("a sweep while the breaker is open", "kept, and not begun in vain"):
            jobs = [house.submit(priority="background") for _ in range(SWEEP)]
            for _ in range(2):
                # Behind which the lane has looked at what else there is.
                house.reached(house.submit(), "failed")
            assert _attempts(house, jobs) == [0] * SWEEP
        with faults.inject("a reset after that", "started; what was kept is done"):
            house.worker.reset()
            house.in_state(WorkerState.READY)
            for job in jobs:
                assert house.reached(job, "succeeded").attempts == 1


@pytest.mark.fault("a sweep while starts fail for long", "one job a trial, and done in the end")
def test_a_trial_costs_one_attempt_however_many_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "COOL_DOWN_S", COOL_DOWN_S)
    with _house(tmp_path, breaker.MAX_FAILURES + 1) as house:
        house.until(lambda status: status.retry_s is not None)
        jobs = [house.submit(priority="background") for _ in range(SWEEP)]
        for job in jobs:
            house.reached(job, "succeeded")
        assert sum(_attempts(house, jobs)) == SWEEP + 1
