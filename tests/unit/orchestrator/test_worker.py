"""What those who listen to a worker are told."""

from __future__ import annotations

from pathlib import Path

from house import House

from mysticanvas.contracts.health import WorkerState


def test_it_is_told_when_the_imports_are_over(tmp_path: Path) -> None:
    with House(tmp_path / "home") as house:
        house.until(lambda status: status.state is WorkerState.READY and not status.importing)
        house.until(lambda _: bool(house.statuses) and not house.statuses[-1].importing)
        told = [(status.state.value, status.importing) for status in house.statuses]
    # A process that has said nothing yet counts as one that imports.
    assert told[-2:] == [("ready", True), ("ready", False)]
