"""What `canvas.export` is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mysticanvas.contracts.exports import MAX_IDS, ExportParams, ExportReport
from mysticanvas.contracts.jobs import HostRequest
from mysticanvas.contracts.refusal import refused
from mysticanvas.session import arguments, calls
from mysticanvas.session.arguments import DEFAULT_PROJECT, whole_id

if TYPE_CHECKING:
    from mysticanvas.session.connection import Connection
    from mysticanvas.session.job import Job


_IMAGES = f"at most {MAX_IDS:,} pictures or whole ids, such as a page; None for all"


def submit(connection: Connection, asked: ExportParams, project: str | None) -> Job[ExportReport]:
    """Queue the job that writes an export.

    Args:
        project: the canvas's own, which the job belongs to whatever pictures it is about.
    """
    request = HostRequest(
        kind="export",
        project=project or DEFAULT_PROJECT,
        params=asked.model_dump(mode="json"),
        priority="interactive",
    )
    return calls.submit(
        connection, request, lambda record: ExportReport.model_validate(record.result)
    )


def params(path: object, images: object, project: str | None) -> ExportParams:
    """What the arguments mean.

    Args:
        path: a new folder, or a new file that ends in `.zip`; made absolute here, since the
            orchestrator has another working directory.
        images: pictures or whole ids, such as a page; None for all of the project.

    Raises:
        InvalidRequest: an argument is not allowed.
    """
    allowed = "a new folder, or a new file that ends in .zip"
    if not str(path).strip():
        raise refused("path", path, allowed)
    place = str(arguments.path("path", path, allowed).absolute())
    if images is None:
        return ExportParams(path=place, project=project)
    if isinstance(images, str) or not isinstance(images, Iterable):
        raise refused("images", images, _IMAGES)
    ids = [whole_id("images", image, _IMAGES) for image in images]
    if len(ids) > MAX_IDS:
        raise refused("images", f"{len(ids):,} pictures", _IMAGES)
    return ExportParams(path=place, ids=ids)
