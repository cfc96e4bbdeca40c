from collections.abc import Callable
from typing import Any

import pytest

from mysticanvas import InvalidRequest, Job
from mysticanvas.session.connection import Connection
from mysticanvas.session.tracker import JobTracker

MakeJob = Callable[..., Any]


@pytest.mark.parametrize("bad", ["a", True, float("nan")])
def test_a_time_that_is_no_number_is_refused_at_once(
    make_job: MakeJob, connection: Connection, bad: Any
) -> None:
    job: Job[None] = Job(connection, JobTracker(make_job("running")), lambda record: None)
    for wait in (job.wait, job.result):
        with pytest.raises(InvalidRequest, match="timeout="):
            wait(bad)


def test_any_time_will_do_for_a_job_that_has_ended(
    make_job: MakeJob, connection: Connection
) -> None:
    job = Job(connection, JobTracker(make_job("succeeded")), lambda record: record.status)
    for timeout in (None, 0, -1, 0.5, float("inf"), 10**400):
        assert job.result(timeout) == "succeeded"
