"""The canvas: what a notebook works with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, get_args

from mysticanvas.session import arguments, filters as choosing
from mysticanvas.session.connection import Connection
from mysticanvas.session.generating import Generating
from mysticanvas.session.signatures import spelled_out
from mysticanvas.settings import MAX_SEARCH_CHARS

if TYPE_CHECKING:
    import pandas as pd

    from mysticanvas.contracts.exports import ExportReport
    from mysticanvas.contracts.health import Health
    from mysticanvas.contracts.presets import ImagePreset, LLMPreset
    from mysticanvas.session.collections.images import ImageCollection
    from mysticanvas.session.collections.jobs import Jobs
    from mysticanvas.session.collections.models import Models
    from mysticanvas.session.collections.plugins import Plugins
    from mysticanvas.session.collections.presets import Presets
    from mysticanvas.session.collections.tags import Tags
    from mysticanvas.session.collections.workers import Workers
    from mysticanvas.session.filters import Filters
    from mysticanvas.session.image import Image
    from mysticanvas.session.job import Job
    from mysticanvas.session.page import Page
    from mysticanvas.session.subscriptions import Subscription, Topic
    from mysticanvas.session.vram import Vram

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
            `run/orchestrator.json` has them; it is never started. `home` is then where its home is
            seen from here, by default where it says.
        reuse: what `generate` does if it is not told: see there.
        keep_alive_s: seconds without use after which a model leaves the device; by default
            `MYSTICANVAS_KEEP_ALIVE_S`, else 900. At most 1e9, which is as good as never. An
            orchestrator that runs with another value, or another of any `MYSTICANVAS_…` variable
            that is set, is refused.
        idle_timeout_s: seconds without any client or job after which the orchestrator stops; by
            default `MYSTICANVAS_IDLE_TIMEOUT_S`, else 900. As above.
        ipc: what carries the HTTP between processes: `"tcp"`, a port of the loopback interface, or
            `"unix"`, a socket in the home that no other user can reach; by default
            `MYSTICANVAS_IPC`, else `"tcp"`. `"pipe"`, for Windows, is refused so far. As above.
        memory_budget_mib: MiB of system memory that the workers may take together, where there is
            no GPU; by default `MYSTICANVAS_MEMORY_BUDGET_MIB`, else all there is. As above.

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
        ipc: Literal["tcp", "unix", "pipe"] | None = None,
        memory_budget_mib: int | None = None,
    ) -> None:
        within = arguments.project(project)
        settings = arguments.settings(
            home=home,
            keep_alive_s=keep_alive_s,
            idle_timeout_s=idle_timeout_s,
            ipc=ipc,
            memory_budget_mib=memory_budget_mib,
        )
        seen = None if home is None else settings.home
        connection = Connection(settings, arguments.remote(url, token), seen)
        super().__init__(connection, within, arguments.flag("reuse", reuse))
        connection.attach(strict=True)

    @property
    def home(self) -> Path:
        """The orchestrator's home directory; one that was given by its `url` is asked for it."""
        return self._connection.paths.root

    @property
    def project(self) -> str | None:
        """The project; None for all of them."""
        return self._project

    @property
    def images(self) -> ImageCollection:
        """The pictures: `canvas.images(limit=50, tags="castle")` is a page of them, newest first,
        `canvas.images[id]` one, and going through it gives them all."""
        from mysticanvas.session.collections.images import ImageCollection

        return ImageCollection(self._connection, self._project)

    @spelled_out(choosing.Filters)
    def search(
        self,
        text: str,
        limit: int = 50,
        cursor: str | None = None,
        *,
        sort: Literal["best", "newest", "oldest"] = "best",
        **filters: Unpack[Filters],
    ) -> Page:
        """A page of pictures by their words, best first; each has a `.score`.

        Looked through are prompt, caption, tags, style and, for less, the negative prompt. New
        pictures are found at once, and do not shift the pages of a search that has begun. Words
        mean tags by the names that they have now; other names of a tag, such as aliases and the one
        from before `canvas.tags.rename`, find it as `tag:bw` only.

        Args:
            text: at most 4,000 characters. Of words, the more and the rarer count more (BM25).
                `"red circle"` has to be there as it stands, `-blurry` and `-"red circle"` must not;
                `cast*` is every word that starts so, `sci-fi*` a phrase; all these leave the
                negative prompt aside. `tag:noir`, `-tag:noir`, `preset:…`, `style:…`, `project:…`,
                `seed:42`, `starred:true` and `rating:4` (or better) are conditions. Without any
                words, the newest come first; symbols alone find nothing.
            limit: pictures on a page, 1 to 1,000.
            cursor: `next_cursor` of the page before, asked for in the same way.
            sort: which come first: those that meet the words best, or the newest or the oldest of
                all that have one of them.
            **filters: as for `canvas.images`.

        Raises:
            InvalidRequest: an argument is not allowed, or the cursor belongs to another search.
            StoreBusy: the index is being made, such as after `mysticanvas restore`, and is far from
                complete; says how many pictures are left.
        """
        from mysticanvas.contracts.search import SearchSort
        from mysticanvas.session import searching

        return searching.search(
            self._connection,
            arguments.text("text", text, MAX_SEARCH_CHARS),
            choosing.parse(filters, self._project),
            arguments.page_size(limit),
            cursor,
            arguments.one_of("sort", sort, get_args(SearchSort)),
        )

    def image(self, id: str) -> Image:
        """A picture by its id, or by 4 or more characters of its end; of whatever project.

        Raises:
            NotFound: there is none.
            InvalidRequest: several have that part.
        """
        from mysticanvas.session.image import Image

        part = arguments.identifier("image", id)
        return Image(self._connection.call(lambda api: api.image(part)), self._connection)

    def job(self, id: str) -> Job[Any]:
        """A job by its id, or by 4 or more characters of its end; of whatever kernel and project.

        Its result is an image if it made one, else a list; a dict if it makes no pictures.

        Raises:
            NotFound: there is none.
            InvalidRequest: several have that part.
        """
        from mysticanvas.session import calls

        part = arguments.identifier("job", id)
        return calls.held(self._connection, self._connection.call(lambda api: api.job(part)))

    @property
    def jobs(self) -> Jobs:
        """The jobs of the project, newest first; the way to pause the queue, too."""
        from mysticanvas.session.collections.jobs import Jobs

        return Jobs(self._connection, self._project)

    def sql(
        self, query: str | None = None, params: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Ask the store in SQL; everything in it can be read, nothing can be changed.

        It sees the pictures of all projects. Times are in UTC, ids and JSON are text, and a whole
        number stays one beside NULL (pandas' `Int64`).

        Args:
            query: one SELECT over the documented views, in DuckDB's dialect. None describes the
                views: a row a column, with its type and what it means.
            params: values for `?` or `$1` as a sequence, or for `$name` as a mapping: numbers,
                text, dates, ids, pictures, or lists of them, as in `id = ANY($1::UUID[])`.

        Returns:
            A data frame. A result that is larger than allowed is refused, never cut.

        Raises:
            InvalidRequest: it is no such SELECT, it is wrong (the message says where), it is nested
                more than 200 levels deep (a subquery in an expression counts as 25), a value in it
                could be more than 200 times as large as a column, it takes longer than
                `MYSTICANVAS_SQL_TIMEOUT_S` (30 s), or gives more rows than
                `MYSTICANVAS_SQL_MAX_ROWS` (1,000,000) or more than 1 GiB.
        """
        from mysticanvas.session import sql

        request = sql.request(query, params)
        return sql.answer(request, self._connection.call(lambda api: api.sql(request)))

    @property
    def tags(self) -> Tags:
        """The tags of the project's pictures: by name, with their number of pictures."""
        from mysticanvas.session.collections.tags import Tags

        return Tags(self._connection, self._project)

    def export(
        self, path: str | Path, images: Iterable[Image | str] | None = None
    ) -> Job[ExportReport]:
        """Write pictures, their recipes and all that is known of them to a new folder.

        PNG files, Parquet tables that pandas and DuckDB read, recipes as JSON lines, and a gallery
        to look at in a browser. A job does it, so this returns at once: `.result()` waits.

        Args:
            path: a new folder, or a new file that ends in `.zip`; nothing is overwritten.
            images: pictures or whole ids, such as a page, of whatever project; None for all of the
                canvas's own.

        Raises:
            InvalidRequest: an argument is not allowed, or there is something at the path.
            NotFound: a picture is no longer in the store.
            StoreFull: the disk has too little room; raised by `.result()`.
        """
        from mysticanvas.session import exporting

        asked = exporting.params(path, images, self._project)
        return exporting.submit(self._connection, asked, self._project)

    @property
    def presets(self) -> Presets:
        """Models under names: `.image` and `.llm`. `canvas.presets.image["ink"]` is one,
        `.save(ImagePreset(...))` keeps one, `.default` is what `generate` uses."""
        from mysticanvas.session.collections.presets import Presets

        return Presets(self._connection)

    @property
    def models(self) -> Models:
        """The models on this machine: `canvas.models.add(folder)` finds those of other programs
        where they lie, `.list("image")` has them."""
        from mysticanvas.session.collections.models import Models

        return Models(self._connection)

    @property
    def schedulers(self) -> list[str]:
        """What `scheduler` may be: the usual aliases, then the diffusers class names."""
        from mysticanvas.contracts import schedulers

        return list(schedulers.NAMES)

    @property
    def workers(self) -> Workers:
        """The worker processes: kind, pid, state, restarts, preset and memory; `.reset()` gives
        one that has failed another try."""
        from mysticanvas.session.collections.workers import Workers

        return Workers(self._connection)

    @property
    def vram(self) -> Vram:
        """The memory that models are loaded into: the device's as a whole, what each worker and
        model has of it, and what other programs have. Without a GPU it is the system's memory, or
        `memory_budget_mib` of it. `.history()` is a table of what jobs took beside what was
        predicted, `.accuracy()` how near that came."""
        from mysticanvas.session.vram import Vram

        return Vram(self._connection.call(lambda api: api.vram()), self._connection)

    def on(self, event: Topic, callback: Callable[[Any], object]) -> Subscription:
        """Have a function called when something happens, until the subscription is closed.

        Callbacks run in the order of the events, one at a time, on one background thread; what
        they raise is logged. A callback may call the canvas. One that is slow delays the others,
        and the oldest of more than 10,000 events that wait are dropped. What happens while the
        connection is lost is told once it is back, if that is no more than some thousand events;
        the last moments of an orchestrator that crashes are not.

        Args:
            event: `job` (a `Job` that changed its state), `image` (a new or changed `Image`),
                `worker` (a `WorkerStatus`), `alert` (an `Alert`: what you should know, such as a
                worker that crashed; `str(alert)` is one line) or `vram` (an
                `Unloaded`: a model, or a language model's context, that left the device, with the
                reason and what it gives back; a `MadeRoom`: what is done so that a job fits; a
                `JobMemory`: what a job took of the memory, beside what was predicted). Jobs and
                images are those of the canvas's project.
            callback: called with that.

        Returns:
            The subscription: `.close()` ends it, and so does the end of a `with` block.

        Raises:
            InvalidRequest: there is no such event, or the callback cannot be called.
        """
        from mysticanvas.session import happenings, subscriptions

        topic = subscriptions.topic(event)
        called = subscriptions.callback(callback)
        self._connection.attach()
        make = happenings.maker(self._connection, self._project)
        return self._connection.subscriptions.add(topic, called, make)

    @property
    def plugins(self) -> Plugins:
        """The plug-ins that the orchestrator found when it started: what each brings, or why it was
        skipped."""
        from mysticanvas.session.collections.plugins import Plugins

        return Plugins(self._connection.call(lambda api: api.plugins()))

    def health(self) -> Health:
        """How the orchestrator is: state, version, memory, queue and workers."""
        return self._connection.call(lambda api: api.health())

    def unload(self, preset: str | ImagePreset | LLMPreset | None = None) -> None:
        """Give the device's memory back; returns when it is free, which is after the job that runs,
        or the load of a language model, if that has the model. What was pinned is so no longer.

        Args:
            preset: only the model of this preset, or of the one with this name; None for all.

        Raises:
            InvalidRequest: that is no preset, and no name of one.
            NotFound: there is no such preset.
        """
        name, kind = (None, None) if preset is None else arguments.preset_named(preset)
        self._connection.call(lambda api: api.unload(name, kind))

    def pin(self, preset: str | ImagePreset | LLMPreset, pinned: bool = True) -> None:
        """Have the model of a preset stay, once it is loaded: neither time nor the needs of other
        requests unload it, which are refused with `DoesNotFit` if it is in their way. `unload`
        ends that, and so do deleting the preset and the end of the orchestrator.

        Args:
            preset: a preset, or its name, which may be that of one of each kind.
            pinned: False lets it go when it is its turn.

        Raises:
            InvalidRequest, NotFound: as for `unload`.
        """
        name, kind = arguments.preset_named(preset)
        on = arguments.flag("pinned", pinned)
        self._connection.call(lambda api: api.pin(name, kind, on))

    def shutdown(self, force: bool = False) -> None:
        """Stop the orchestrator and its workers; returns when every process is gone.

        Nothing is lost: jobs that wait go on with the next start, which the next call makes.

        Args:
            force: stop even if other processes use it; canvases of this one do not count.

        Raises:
            Conflict: other processes use it; the error names them.
            OrchestratorUnavailable: a process did not stop in time.
        """
        from mysticanvas.session import calls

        calls.shutdown(self._connection, arguments.flag("force", force))

    def close(self) -> None:
        """Detach; orchestrator, models and jobs go on. A closed canvas cannot be used again."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        within = f" project={self._project!r}" if self._project is not None else ""
        return f"<Canvas{within}>"
