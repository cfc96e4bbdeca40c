"""What was read back from files is told once, to somebody who sees it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from mysticanvas.contracts.alerts import Alert
from mysticanvas.orchestrator import announcement
from mysticanvas.orchestrator.announcement import Announcement
from mysticanvas.store.rebuild import RebuildReport

HOME = Path("/home/of/pictures")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_what_is_told() -> None:
    alert = announcement.of(RebuildReport(1200, 3, []), HOME, NOON)
    assert alert is not None
    assert (alert.kind, alert.at, alert.worker) == ("store_rebuilt", NOON, "")
    assert str(alert).startswith("The database of /home/of/pictures was compared with the image fi")
    assert "1,200 pictures that it did not have were read back" in str(alert)
    assert "doctor" not in str(alert)
    assert "stars" in str(alert)


def test_files_that_could_not_be_read_are_told_without_any_other() -> None:
    alert = announcement.of(RebuildReport(0, 0, ["a.png: it cannot be read"]), HOME, NOON)
    assert "1 files could not be read; `mysticanvas doctor` names them" in str(alert)
    assert "read back" not in str(alert)


def test_what_is_otherwise_is_told_without_any_other() -> None:
    alert = announcement.of(RebuildReport(0, 7, [], deleted=2), HOME, NOON)
    assert str(alert) == (
        "The database of /home/of/pictures was compared with the image files. 2 pictures stay "
        "deleted; their files go when the grace is over."
    )


def test_nothing_is_told_of_nothing() -> None:
    assert announcement.of(RebuildReport(0, 5, []), HOME, NOON) is None


def test_it_is_told_once_and_not_before_somebody_sees_it() -> None:
    alert = announcement.of(RebuildReport(1, 0, []), HOME, NOON)
    somebody, told = False, list[Alert]()
    announced = Announcement(alert, lambda: somebody, told.append)
    announced.look()
    assert told == []
    somebody = True
    announced.start()
    announced._thread.join(60)
    assert not announced._thread.is_alive()
    assert told == [alert]
    announced.stop()


def test_without_an_alert_nothing_runs() -> None:
    announced = Announcement(None, lambda: True, [].append)
    announced.start()
    assert not announced._thread.is_alive()
    announced.stop()
