"""The canvas: what a notebook works with."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mysticanvas.session import arguments
from mysticanvas.session.connection import Connection
from mysticanvas.session.generating import Generating

if TYPE_CHECKING:
    from mysticanvas.contracts.health import Health, WorkerStatus
    from mysticanvas.session.image import Image, Images
    from mysticanvas.session.job import Job
    from mysticanvas.session.page import Page
    from mysticanvas.session.tags import Tags

# Modules that only a request needs are imported by the methods: attaching has to be quick.


class Canvas(Generating):
    """Makes pictures, and finds them again.

    It attaches to the orchestrator of the home directory, or starts it. Several notebooks share
    one orchestrator, so models stay warm and jobs go on when a kernel is restarted. A canvas is
    thread-safe, and a context manager that detaches at the end.

    Args:
        home: where pictures, database and logs are; `MYSTICANVAS_HOME` by default, else the
            user's data directory.
        project: a namespace within the home. None sees all projects, and makes pictures in
            `default`.
        url, token: an orchestrator to use instead of the home's own, as its
            `run/orchestrator.json` has them; it is never started.
        reuse: what `generate` does if it is not told: see there.
        keep_alive_s: seconds without use after which a model leaves the device; by default
            `MYSTICANVAS_KEEP_ALIVE_S`, else 900. It counts if this call starts the orchestrator.
        idle_timeout_s: seconds without any client or job after which the orchestrator stops; by
            default `MYSTICANVAS_IDLE_TIMEOUT_S`, else 900. It counts as above.

    Raises:
        InvalidRequest: an argument is not allowed.
        OrchestratorUnavailable: the orchestrator cannot be started or used; says what to do.
        StoreError: the store of the home cannot be opened.
    """

    def __init__(
        self,
        home: str | Path | None = None,
        *,
        project: str | None = None,
        url: str | None = None,
        token: str | None = None,
        reuse: bool = False,
        keep_alive_s: float | None = None,
        idle_timeout_s: float | None = None,
    ) -> None:
        within = arguments.project(project)
        settings = arguments.settings(
            home=home, keep_alive_s=keep_alive_s, idle_timeout_s=idle_timeout_s
        )
        connection = Connection(settings, arguments.remote(url, token))
        super().__init__(connection, within, arguments.flag("reuse", reuse))
        connection.attach()

    @property
    def home(self) -> Path:
        """The home directory."""
        return self._connection.settings.home

    @property
    def project(self) -> str | None:
        """The project; None for all of them."""
        return self._project

    def images(
        self,
        limit: int = 50,
        cursor: str | None = None,
        *,
        job: str | None = None,
        project: str | None = None,
    ) -> Page:
        """A page of pictures, newest first.

        Args:
            limit: pictures on a page, 1 to 1,000.
            cursor: `next_cursor` of the page before, asked for in the same way.
            job: only those of the job with this id.
            project: only those of this project; by default the canvas's own.

        Raises:
            InvalidRequest: an argument is not allowed, or the cursor belongs to another query.
        """
        from mysticanvas.session.page import Page

        size = arguments.page_size(limit)
        where = arguments.project(project) or self._project
        whose = None if job is None else arguments.identifier("job", job)
        page = self._connection.call(lambda api: api.images(size, cursor, project=where, job=whose))
        return Page(
            page,
            self._connection,
            lambda next_cursor: self.images(size, next_cursor, job=whose, project=where),
        )

    def search(
        self, text: str, limit: int = 50, cursor: str | None = None, *, project: str | None = None
    ) -> Page:
        """A page of pictures by their words, best first; each has a `.score`.

        Looked through are prompt, caption, tags, style and, for less, the negative prompt. New
        pictures are found at once, and do not shift the pages of a search that has begun.

        Args:
            text: words, of which the more and the rarer count more (BM25). `"red circle"` has to
                be there as it stands, `-blurry` and `-"red circle"` must not; `cast*` is every
                word that starts so. `tag:noir`, `-tag:noir`, `preset:…`, `style:…`, `project:…`,
                `seed:42`, `starred:true` and `rating:4` (or better) are conditions. Without any
                words, the newest come first.
            limit: pictures on a page, 1 to 1,000.
            cursor: `next_cursor` of the page before, asked for in the same way.
            project: only those of this project; by default the canvas's own.

        Raises:
            InvalidRequest: an argument is not allowed, or the cursor belongs to another search.
        """
        from mysticanvas.contracts.filters import ImageFilters
        from mysticanvas.session.page import Page

        query = arguments.text("text", text)
        size = arguments.page_size(limit)
        filters = ImageFilters(project=arguments.project(project) or self._project)
        page = self._connection.call(lambda api: api.search(query, filters, size, cursor))
        return Page(
            page,
            self._connection,
            lambda next_cursor: self.search(query, size, next_cursor, project=filters.project),
        )

    def image(self, id: str) -> Image:
        """A picture by its id, or by 4 or more characters of its end.

        Raises:
            NotFound: there is none, or more than one.
        """
        from mysticanvas.session.image import Image

        part = arguments.identifier("image", id)
        return Image(self._connection.call(lambda api: api.image(part)), self._connection)

    def job(self, id: str) -> Job[Image | Images]:
        """A job by its id, or by 4 or more characters of its end; also one of another kernel.

        Its result is an image if it made one, else a list.

        Raises:
            NotFound: there is none, or more than one.
        """
        from mysticanvas.session import calls
        from mysticanvas.session.job import Job

        part = arguments.identifier("job", id)
        record = self._connection.call(lambda api: api.job(part))
        tracker = self._connection.follow(record)
        return Job(self._connection, tracker, calls.one_or_several(self._connection))

    @property
    def tags(self) -> Tags:
        """The tags of the project's pictures: by name, with their number of pictures."""
        from mysticanvas.session.tags import Tags

        return Tags(self._connection, self._project)

    @property
    def schedulers(self) -> list[str]:
        """What `scheduler` may be: the usual aliases, then the diffusers class names."""
        from mysticanvas.contracts import schedulers

        return list(schedulers.NAMES)

    @property
    def workers(self) -> list[WorkerStatus]:
        """The worker processes: kind, pid, state, restarts and what is loaded."""
        return self._connection.call(lambda api: api.workers())

    def health(self) -> Health:
        """How the orchestrator is: state, version, memory, queue and workers."""
        return self._connection.call(lambda api: api.health())

    def unload(self, preset: str | None = None) -> None:
        """Give the device's memory back; returns when it is free, after the job that runs.

        Args:
            preset: only the model of this preset; None for all.

        Raises:
            NotFound: there is no such preset.
        """
        self._connection.call(lambda api: api.unload(preset))

    def shutdown(self, force: bool = False) -> None:
        """Stop the orchestrator and its workers; returns when every process is gone.

        Nothing is lost: jobs that wait go on with the next start, which the next call makes.

        Args:
            force: whether to stop although other clients use it.

        Raises:
            Conflict: other clients use it; the error names them.
            OrchestratorUnavailable: a process did not stop in time.
        """
        from mysticanvas.session import calls

        calls.shutdown(self._connection, arguments.flag("force", force))

    def close(self) -> None:
        """Detach; orchestrator, models and jobs go on. A closed canvas cannot be used again."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        within = f" project={self._project!r}" if self._project is not None else ""
        return f"<Canvas{within}>"
