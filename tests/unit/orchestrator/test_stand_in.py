"""What memory a worker has for which another process stands, a shell of a launcher's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from house import House
from wrappers import wrapped

from mysticanvas.orchestrator.supervisor import launcher, lifecycle, watch
from mysticanvas.orchestrator.supervisor.launcher import Launch, Started
from mysticanvas.orchestrator.supervisor.seams import Seams
from mysticanvas.orchestrator.supervisor.spare import Spare


def start(launch: Launch) -> Started:
    return launcher.start(launch._replace(spawn=wrapped("--parent-pid", "0")))


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(lifecycle, "REST_S", 0.0)
    seams = Seams(start=start, free_mib=lambda: 9000.0, spare=Spare(start))
    with House(tmp_path / "home", seams=seams) as house:
        yield house


def own_mib(pid: int | None) -> float:
    """What the worker has, which is the one child of that process once it is there."""
    children = psutil.Process(pid).children()
    return sum(float(child.memory_info().rss) for child in children) / 2**20


def is_own(pid: int | None, mib: float) -> bool:
    return mib == pytest.approx(own_mib(pid), rel=0.3)


def test_its_own_memory_is_told_and_not_the_shells(house: House) -> None:
    assert house.done().failures == []
    # Both may still import, and are asked now and then.
    house.until(lambda seen: is_own(seen.pid, seen.memory))
    house.until(lambda seen: seen.reserve and is_own(seen.reserve.pid, seen.reserve.memory))


def test_at_the_end_of_a_job_it_is_that_of_now(
    tmp_path: Path, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "BEAT_S", 600.0)
    seams = Seams(start=start, free_mib=lambda: 9000.0)
    with House(
        tmp_path / "home", seams=seams, worker_module="mysticanvas.workers", model=tiny_sd
    ) as house:
        assert house.done("x").failures == []
        seen = house.worker.status
        assert seen.memory == pytest.approx(own_mib(seen.pid), rel=0.1)
