"""What users are told of a store whose pictures were read back from their files.

That happens while the orchestrator starts, when nobody can hear of it yet.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from mysticanvas.contracts.alerts import Alert
from mysticanvas.orchestrator.periodic import Periodic
from mysticanvas.store.rebuild import RebuildReport

LOOK_S = 0.25
"""Seconds between two looks for somebody to tell."""


def of(report: RebuildReport, home: Path, at: datetime) -> Alert | None:
    """The alert for what was read back; None if there is nothing to tell.

    Args:
        home: whose store it is.
        at: when it was done, in UTC.
    """
    skipped, remarks = len(report.skipped), report.remarks()
    if not report.added and not skipped and not remarks:
        return None
    said = [f"The database of {home} was compared with the image files."]
    if report.added:
        said.append(
            f"{report.added:,} pictures that it did not have were read back from their files. "
            "Presets are not in the files, nor what was changed after a picture was made, such as "
            "its stars, ratings, captions and tags."
        )
    if skipped:
        said.append(f"{skipped:,} files could not be read; `mysticanvas doctor` names them.")
    return Alert(
        kind="store_rebuilt", severity="warning", message=" ".join([*said, *remarks]), at=at
    )


class Announcement(Periodic):
    """Tells an alert once, as soon as somebody would see it.

    Args:
        alert: what is to be told; None for nothing.
        heard: whether somebody would see it now.
        tell: tells it.
    """

    def __init__(
        self, alert: Alert | None, heard: Callable[[], bool], tell: Callable[[Alert], None]
    ) -> None:
        super().__init__("announcement", LOOK_S)
        self._alert = alert
        self._heard = heard
        self._tell = tell

    def start(self) -> None:
        if self._alert is not None:
            super().start()

    def look(self) -> None:
        if self._alert is not None and self._heard():
            self._tell(self._alert)
            # There is nothing to look for any more.
            self._stopping.set()
