"""Which background jobs make way, and when."""

from datetime import UTC, datetime
from typing import Any

import pytest

from mysticanvas.contracts.jobs import JobRecord
from mysticanvas.orchestrator.queue import preemption


def running(**members: Any) -> JobRecord:
    given: dict[str, Any] = {
        "id": "1",
        "kind": "generate",
        "status": "running",
        "project": "default",
        "priority": "background",
        "request_hash": "",
        "attempts": 1,
        "created_at": datetime.now(UTC),
    }
    return JobRecord(**given | members)


def test_a_background_job_makes_way_until_it_is_half_way() -> None:
    assert preemption.decide(running(), 0.0)
    assert preemption.decide(running(), 0.49)
    assert not preemption.decide(running(), 0.5)


def test_a_job_that_somebody_waits_for_does_not() -> None:
    assert not preemption.decide(running(priority="interactive"), 0.0)


@pytest.mark.parametrize("failures", [0, 2])
def test_after_three_times_it_is_left_to_run(failures: int) -> None:
    """Attempts that failed are not held against it."""
    failed = [f"attempt {k}: the worker ended" for k in range(failures)]
    decided = [
        preemption.decide(running(attempts=failures + attempt, failures=failed), 0.0)
        for attempt in (1, 2, 3, 4)
    ]
    assert decided == [True, True, True, False]
