"""A GPU that a process cannot use any more: only another process gets over that."""

from __future__ import annotations

from pathlib import Path

import pytest
from house import House
from lost_device_worker import TEXT

pytestmark = pytest.mark.timeout(0)


@pytest.mark.fault("a GPU lost at a step", "its process ends; the job is done by the next")
def test_a_job_whose_device_was_lost_is_done_by_the_next_process(
    tmp_path: Path, tiny_sd: Path
) -> None:
    lost = {"LOST_COUNT": str(tmp_path / "count"), "LOST_PROCESSES": "1"}
    home = tmp_path / "home"
    with House(home, worker_module="lost_device_worker", model=tiny_sd, **lost) as house:
        record = house.done()
        [alert] = house.alerts
        assert (record.attempts, record.failures) == (2, [f"attempt 1: the worker {alert.reason}"])
        assert (alert.kind, alert.exit_code) == ("worker_restart", 1)
        assert f"Its last words: {TEXT}" in alert.message


@pytest.mark.fault("a worker that cannot tell how it is", "ended; the next job is done at once")
def test_a_worker_that_cannot_tell_how_it_is_is_ended(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        record = house.reached(house.submit("ail denoise 1"), "failed")
        assert record.error is not None
        assert (record.error.code, record.attempts) == ("out_of_memory", 1)
        assert house.done().attempts == 1
        [alert] = house.alerts
        assert "could not tell how it is" in alert.message
