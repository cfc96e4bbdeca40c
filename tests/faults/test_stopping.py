"""A worker that is lost while it stops stays stopped, and its job is left for the next start."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from ends import SHORT
from house import House

from mysticanvas.contracts.health import WorkerState


@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    "how",
    [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP],
    ids=lambda how: how.name,
)
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
def test_it_stays_stopped(
    tmp_path: Path, few: int, faults: Any, how: signal.Signals, busy: bool
) -> None:
    state = "busy" if busy else "idle"
    for number in range(few):
        outcome = "stopped; no row, and nothing is told"
        with (
            faults.inject(f"{how.name} of a worker that stops, {state} till then", outcome),
            # It does not hear that it is to end, and so is found while it stops.
            House(tmp_path / str(number), SHORT, PROBLEM_DEAF="1") as house,
        ):
            pid = house.in_state(WorkerState.READY)
            job = house.submit("stick denoise 1") if busy else None
            if job is not None:
                assert house.at_stage(job, "denoise") == pid
            house.worker.ask_to_end()
            house.until(lambda status: status.state is WorkerState.STOPPING)
            os.kill(pid, how)
            status = house.until(lambda status: status.state is WorkerState.STOPPED)
            assert (status.pid, status.restarts) == (None, 0)
            assert not psutil.pid_exists(pid)
            # One that stands still is killed once its time is over.
            assert ("SIGSEGV" if how is signal.SIGSEGV else "SIGKILL") in status.last_error
            assert house.alerts == []
            assert house.rows() == 0
            if job is not None:
                assert not house.store.jobs.get(job).record.status.final
        assert house.worker.status.state is WorkerState.STOPPED
