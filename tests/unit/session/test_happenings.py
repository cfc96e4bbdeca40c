"""What a callback is given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from measurements import measurement

from mysticanvas import Image
from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.events import Event
from mysticanvas.contracts.health import WorkerState, WorkerStatus
from mysticanvas.contracts.measurements import JobMemory
from mysticanvas.contracts.vram import Unloaded
from mysticanvas.session import happenings
from mysticanvas.session.connection import Connection


def event(kind: Any, content: Any) -> Event:
    return Event(epoch="e", seq=1, type=kind, data=content.model_dump(mode="json"))


def test_workers_alerts_and_measurements_are_those_of_the_contract(connection: Connection) -> None:
    make = happenings.maker(connection, None)
    status = WorkerStatus(kind="image", pid=1, state=WorkerState.READY, restarts=0)
    assert make(event("worker", status)) == status
    alert = Alert(
        kind="worker_restart", severity="warning", message="It died.", at=datetime.now(UTC),
        worker="image",
    )  # fmt: skip
    assert make(event("alert", alert)) == alert
    assert str(make(event("alert", alert))) == "It died."
    measured = JobMemory.of([measurement()])
    assert make(event("vram", measured)) == measured
    unloaded = Unloaded(
        unloaded="model", preset="sd", worker="image", frees_mib=1_234.5,
        reason="to make room for chat", wanted_by="chat",
    )  # fmt: skip
    assert make(event("vram", unloaded)) == unloaded
    assert str(unloaded) == (
        "The model of sd was unloaded to make room for chat, which gives 1,234 MiB back."
    )
    alone = unloaded.model_copy(update={"preset": None})
    assert str(alone).startswith("The image worker was ended to make room for chat")
    assert make(Event(epoch="e", type="queue", data={"paused": True})) == {"paused": True}


def test_images_are_those_of_the_project(
    connection: Connection, make_image: Callable[..., Image]
) -> None:
    record = make_image(0)._record
    for project, mine in ((None, True), (record.project, True), ("another", False)):
        image = happenings.maker(connection, project)(event("image", record))
        assert (isinstance(image, Image) and image.id == record.id) is mine


def test_jobs_of_another_project_are_for_nobody(
    connection: Connection, make_job: Callable[..., Any]
) -> None:
    assert happenings.maker(connection, "another")(event("job", make_job("running"))) is None
    internal = make_job("running", kind="index", internal=True)
    assert happenings.maker(connection, "default")(event("job", internal)) is None


def test_a_connection_that_is_gone_has_nobody_called(make_job: Callable[..., Any]) -> None:
    class Gone:
        pass

    make = happenings.maker(Gone(), None)  # type: ignore[arg-type]
    assert make(event("job", make_job("running"))) is None
