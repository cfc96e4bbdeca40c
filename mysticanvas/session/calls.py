"""What takes more than one call: run a job to its end, reproduce, shut down."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import JsonValue

from mysticanvas.contracts.ids import new_id, short
from mysticanvas.contracts.jobs import (
    GenerateRequest,
    HostRequest,
    JobRecord,
    JobStatus,
    ReproduceRequest,
)
from mysticanvas.errors import MystiCanvasError, NotFound, OrchestratorUnavailable, Stopped
from mysticanvas.session import launch, original, progress, siblings, stop_button, stopping
from mysticanvas.session.arguments import DEFAULT_PROJECT
from mysticanvas.session.image import Image
from mysticanvas.session.images import Images
from mysticanvas.session.job import Job
from mysticanvas.session.reproduction import Reproduction

if TYPE_CHECKING:
    from mysticanvas.client.endpoint import Endpoint
    from mysticanvas.contracts.recipe import Recipe
    from mysticanvas.processes import Identity
    from mysticanvas.session.connection import Connection
    from mysticanvas.session.tracker import JobTracker

T = TypeVar("T")
Request = GenerateRequest | ReproduceRequest | HostRequest
Finish = Callable[[JobRecord], T]
"""Makes the result of a job out of its record, once it succeeded."""


def submit(connection: Connection, request: Request, finish: Finish[T]) -> Job[T]:
    """Queue a job.

    Raises:
        Stopped: the stop button; the job is cancelled.
        MystiCanvasError: what the call failed of.
    """
    _attach(connection)
    key = new_id()
    try:
        return _job(connection, _queue(connection, request, key), finish, request)
    except KeyboardInterrupt:
        raise _stopped(connection, request, key, finish) from None


def _job(
    connection: Connection, tracker: JobTracker, finish: Finish[T], request: Request
) -> Job[T]:
    asked = request if isinstance(request, GenerateRequest) else None
    return Job(connection, tracker, finish, asked)


def _queue(
    connection: Connection,
    request: Request,
    key: str,
    waiting: Callable[[], None] | None = None,
) -> JobTracker:
    """Queue a job; with the same key again, it is the same job."""
    return connection.follow(connection.call(lambda api: api.submit(request, key, waiting)))


def run(connection: Connection, request: Request, finish: Finish[T]) -> T:
    """Queue a job and wait for its result, with a progress line.

    Raises:
        Stopped: the stop button; the job is cancelled.
        MystiCanvasError: what the job, or the call, failed of.
    """
    _attach(connection)
    key = new_id()
    display = progress.choose(connection.settings.progress, key)
    started = time.monotonic()
    try:
        with stop_button.interrupts(), progress.shown(display, connection):
            tracker = _queue(
                connection, request, key, lambda: display.prepare(time.monotonic() - started)
            )
            record = progress.follow(tracker, display)
            result = _job(connection, tracker, finish, request).result()
    except KeyboardInterrupt:
        raise _stopped(connection, request, key, finish) from None
    line = progress.summary(record, time.monotonic() - started)
    display.finish("\n".join([line, *connection.news(record.notices)]))
    return result


def _attach(connection: Connection) -> None:
    try:
        connection.attach()
    except KeyboardInterrupt:
        raise Stopped("nothing was sent yet.") from None


def _stopped(connection: Connection, request: Request, key: str, finish: Finish[T]) -> Stopped:
    """Cancel what was sent under a key, whether a job has come of it or not."""
    try:
        record = connection.call(lambda api: api.withdraw(key))
    except (MystiCanvasError, KeyboardInterrupt):
        return Stopped("it is not known whether the job was cancelled; canvas.jobs.list() has it.")
    if record is None:
        return Stopped("no job had come of it yet, and none will.")
    ended = record.status.final and record.status is not JobStatus.CANCELLED
    what = f"had {record.status} before" if ended else "was cancelled"
    job = _job(connection, connection.follow(record), finish, request)
    return Stopped(f"job {short(record.id)} {what}.", job)


def reproduce(
    connection: Connection, what: Image | Recipe | Path | str, project: str | None
) -> Reproduction:
    """Make a picture again and compare; see `Canvas.reproduce`."""
    found = original.resolve(what, connection)
    image = found.image
    request = ReproduceRequest(
        project=project or (image.project if image else DEFAULT_PROJECT),
        recipe=found.recipe,
        parent=image.id if image and found.stored else None,
        pixels_sha256=found.pixels_sha256,
    )

    def finish(record: JobRecord) -> Reproduction:
        made = None if record.matched else Image(record.images[0], connection)
        return Reproduction(found, made)

    return run(connection, request, finish)


def one(connection: Connection) -> Finish[Image]:
    """The result of a job for one picture."""

    def finish(record: JobRecord) -> Image:
        if not record.images:
            raise NotFound(f"The picture of job {short(record.id)} was deleted.")
        return Image(record.images[0], connection, reused=record.reused)

    return finish


def several(connection: Connection) -> Finish[Images]:
    """The result of a job for a list of pictures."""
    return lambda record: Images(
        Image(image, connection, reused=record.reused) for image in record.images
    )


def whatever(connection: Connection) -> Finish[Any]:
    """The result of a job of which we do not know how it was asked for: an image if it made one,
    else a list; a dict if its kind makes no pictures."""

    def finish(record: JobRecord) -> Image | Images | dict[str, JsonValue]:
        if record.result is not None:
            return record.result
        return one(connection)(record) if len(record.images) == 1 else several(connection)(record)

    return finish


def held(connection: Connection, record: JobRecord) -> Job[Any]:
    """A handle for a job that is known by its record alone."""
    return Job(connection, connection.follow(record), whatever(connection))


def shutdown(connection: Connection, force: bool) -> None:
    """Stop orchestrator and workers; see `Canvas.shutdown`."""
    settings = connection.settings
    with siblings.paused(connection) as others:
        processes = _told_to_end(connection, force)
    deadline = time.monotonic() + settings.end_timeout_s
    for process in processes:
        if not process.wait_gone(max(0.0, deadline - time.monotonic())):
            raise OrchestratorUnavailable(
                f"Process {process.pid} did not stop in time.",
                hint=f"The logs are in {connection.logs}; `kill -9 {process.pid}` ends it.",
            )
    for each in others:
        each.resume()


def _told_to_end(connection: Connection, force: bool) -> list[Identity]:
    """The processes that end, once the orchestrator was asked to, or is about to."""
    endpoint = connection.find(connection.settings.start_timeout_s)
    if endpoint is None:
        ending = launch.ending(connection.paths)
        return [] if ending is None else stopping.processes(launch.identity(ending))
    identity = endpoint.identity
    processes = [] if identity is None else stopping.processes(identity)
    _ask_to_end(connection, endpoint, force)
    return processes


def _ask_to_end(connection: Connection, endpoint: Endpoint, force: bool) -> None:
    from mysticanvas.client.http import ANSWER_S

    patience_s = connection.settings.stop_timeout_s
    if not stopping.ask(endpoint, force, connection.label, ANSWER_S, patience_s):
        raise OrchestratorUnavailable(
            f"The orchestrator at {endpoint.url} does not answer.",
            hint=f"The logs are in {connection.logs}. If it hangs, `mysticanvas stop --force` ends "
            "it: nothing that was recorded is lost.",
        )
