"""What a callback of `canvas.on` is given: the handles that a notebook works with."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.events import Event
from mysticanvas.contracts.health import WorkerStatus
from mysticanvas.contracts.images import ImageRecord
from mysticanvas.contracts.jobs import JobRecord
from mysticanvas.contracts.measurements import JobMemory
from mysticanvas.session import calls
from mysticanvas.session.image import Image

if TYPE_CHECKING:
    from mysticanvas.session.connection import Connection
    from mysticanvas.session.subscriptions import Make


def maker(connection: Connection, project: str | None) -> Make:
    """Turns events into a `Job`, an `Image`, a `WorkerStatus`, an `Alert`, a `JobMemory`,
    a `MadeRoom` or an `Unloaded`.

    Args:
        project: whose jobs and images count; None for all.
    """
    # A subscription must not keep its connection alive, which ends when nobody holds it any more.
    held = weakref.ref(connection)

    def make(event: Event) -> Any:
        now = held()
        return None if now is None else _happening(event, now, project)

    return make


def _happening(event: Event, connection: Connection, project: str | None) -> Any:
    if event.type == "worker":
        return WorkerStatus.model_validate(event.data)
    if event.type == "alert":
        return Alert.model_validate(event.data)
    if event.type == "vram" and "plan" in event.data:
        # Late, as it is rare.
        from mysticanvas.contracts.plan import MadeRoom

        return MadeRoom.model_validate(event.data)
    if event.type == "vram" and "unloaded" in event.data:
        from mysticanvas.contracts.vram import Unloaded

        return Unloaded.model_validate(event.data)
    if event.type == "vram":
        return JobMemory.model_validate(event.data)
    if event.type in ("job", "image") and project not in (None, _project(event)):
        return None
    if event.type == "job":
        return calls.held(connection, JobRecord.model_validate(event.data))
    if event.type == "image":
        return Image(ImageRecord.model_validate(event.data), connection)
    return event.data


def _project(event: Event) -> str | None:
    """The project of a job or an image; an internal job has none."""
    return None if event.data.get("internal") else event.data.get("project")
