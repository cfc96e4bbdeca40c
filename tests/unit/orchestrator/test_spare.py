"""A process in reserve takes over from one that was lost."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from house import House
from support import kill

from mysticanvas.contracts.health import WorkerState
from mysticanvas.orchestrator.supervisor import lifecycle
from mysticanvas.orchestrator.supervisor.seams import Seams
from mysticanvas.orchestrator.supervisor.spare import Spare


@pytest.fixture
def spare() -> Spare:
    return Spare()


@pytest.fixture
def house(tmp_path: Path, spare: Spare, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(lifecycle, "REST_S", 0.0)
    with House(tmp_path / "home", seams=Seams(spare=spare, free_mib=lambda: 9000.0)) as house:
        yield house


def prepared(house: House, spare: Spare) -> int:
    """The pid of the process in reserve, once there is one."""
    house.until(lambda _: spare.pid)
    assert spare.pid is not None
    return spare.pid


def test_it_takes_over_and_another_is_prepared(house: House, spare: Spare) -> None:
    assert house.done().failures == []
    first, reserve = house.in_state(WorkerState.READY), prepared(house, spare)
    assert reserve != first
    kill(first)
    assert house.until(lambda s: s.pid not in (first, None) and s.state == "ready").pid == reserve
    assert house.done().failures == []
    assert prepared(house, spare) != reserve


@pytest.mark.fault("SIGKILL of the process in reserve", "it is not given out")
def test_one_that_died_unnoticed_is_not_given_out(house: House, spare: Spare) -> None:
    assert house.done().failures == []
    reserve = prepared(house, spare)
    kill(reserve)
    kill(house.in_state(WorkerState.READY))
    assert house.done().failures == []
    assert house.in_state(WorkerState.READY) != reserve


def test_it_ends_with_its_worker(tmp_path: Path, spare: Spare, house: House) -> None:
    assert house.done().failures == []
    reserve = prepared(house, spare)
    house.worker.stop()
    assert spare.pid is None
    assert not psutil.pid_exists(reserve)


@pytest.mark.fault("SIGSTOP of the process in reserve", "it is ended, and a new one does the job")
def test_one_that_hangs_is_not_given_out(house: House, spare: Spare) -> None:
    assert house.done().failures == []
    reserve = prepared(house, spare)
    house.until(lambda _: spare._held and select.select([spare._held.spawned.ready], [], [], 0)[0])
    os.kill(reserve, signal.SIGSTOP)
    kill(house.in_state(WorkerState.READY))
    assert house.done().failures == []
    assert house.in_state(WorkerState.READY) != reserve
    assert not psutil.pid_exists(reserve)
    assert reserve not in [alert.pid for alert in house.alerts]


def test_it_is_told_with_the_worker_that_it_stands_by_for(house: House, spare: Spare) -> None:
    assert house.done().failures == []
    reserve = prepared(house, spare)
    seen = house.until(lambda _: reserve in told(house)).reserve
    assert seen is not None
    assert (seen.pid, seen.memory > 1.0) == (reserve, True)
    kill(house.in_state(WorkerState.READY))
    taken = house.until(lambda status: status.pid == reserve)
    assert taken.reserve is None or taken.reserve.pid != reserve


def told(house: House) -> list[int]:
    """The processes in reserve that listeners have heard of."""
    return [status.reserve.pid for status in house.statuses if status.reserve is not None]
