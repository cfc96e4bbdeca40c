"""The collection of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

from mysticanvas.contracts.jobs import JobKind, JobPage, JobStatus
from mysticanvas.contracts.refusal import refused
from mysticanvas.errors import InvalidRequest, NotFound
from mysticanvas.session import arguments, calls, job_table, table
from mysticanvas.session.job import Job

if TYPE_CHECKING:
    from mysticanvas.contracts.health import QueueStatus
    from mysticanvas.contracts.jobs import JobRecord
    from mysticanvas.session.connection import Connection

_PAGE = 100
_SHOWN = 20


class Jobs:
    """The jobs of a project, newest first; those that the orchestrator gave itself are left out.

    A whole id finds its job in whatever project, and what is found is in the collection.

    Args:
        connection: where they are asked for.
        project: whose; None for all.
    """

    def __init__(self, connection: Connection, project: str | None) -> None:
        self._connection = connection
        self._project = project

    def list(
        self,
        status: JobStatus | str | None = None,
        kind: JobKind | None = None,
        internal: bool = False,
    ) -> list[Job[Any]]:
        """Jobs, newest first.

        Args:
            status: only `queued`, `running`, `succeeded`, `failed` or `cancelled` ones.
            kind: only those of this kind, such as `generate`.
            internal: whether those that the orchestrator gave itself are there too. They belong to
                no project.

        Raises:
            InvalidRequest: there is no such status or kind.
        """
        if kind is not None:
            kind = arguments.one_of("kind", kind, get_args(JobKind))
        return [
            calls.held(self._connection, record)
            for page in self._pages(_status(status), kind, arguments.flag("internal", internal))
            for record in page.items
        ]

    def pause(self) -> None:
        """Have no job begun any more; what runs goes on. It lasts until `resume`, over restarts,
        and for every client of the home."""
        self._connection.call(lambda api: api.pause())

    def resume(self) -> None:
        """Have jobs begun again."""
        self._connection.call(lambda api: api.resume())

    @property
    def paused(self) -> bool:
        """Whether no job is begun now."""
        queue: QueueStatus | None = self._connection.call(lambda api: api.health()).queue
        return queue is not None and queue.paused

    def __getitem__(self, id: str) -> Job[Any]:
        """A job by its whole id, or by 4 or more characters of its end within the project.

        Raises:
            NotFound: there is none.
            InvalidRequest: there are several.
        """
        return calls.held(self._connection, self._find(id))

    def __contains__(self, job: object) -> bool:
        """Whether a job, or the one of an id, would be found."""
        try:
            return bool(self._find(job.id if isinstance(job, Job) else job))
        except (NotFound, InvalidRequest):
            return False

    def __iter__(self) -> Iterator[Job[Any]]:
        for page in self._pages():
            for record in page.items:
                yield calls.held(self._connection, record)

    def __len__(self) -> int:
        return self._page(limit=1).total

    def __repr__(self) -> str:
        return f"<Jobs {len(self)}>"

    def _repr_html_(self) -> str:
        page = self._page(limit=_SHOWN)
        return job_table.of(page.items) + table.rest(page.total - len(page.items), "older")

    def _find(self, id: object) -> JobRecord:
        part = arguments.identifier("job", id)
        return self._connection.call(lambda api: api.job(part, self._project))

    def _pages(
        self,
        status: JobStatus | None = None,
        kind: JobKind | None = None,
        internal: bool = False,
    ) -> Iterator[JobPage]:
        cursor = None
        while True:
            page = self._page(_PAGE, cursor, status, kind, internal)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return

    def _page(
        self,
        limit: int,
        cursor: str | None = None,
        status: JobStatus | None = None,
        kind: JobKind | None = None,
        internal: bool = False,
    ) -> JobPage:
        return self._connection.call(
            lambda api: api.jobs(limit, cursor, status, kind, self._project, internal)
        )


def _status(given: JobStatus | str | None) -> JobStatus | None:
    try:
        return None if given is None else JobStatus(given)
    except ValueError:
        raise refused("status", given, ", ".join(JobStatus)) from None
