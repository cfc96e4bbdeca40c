"""A kernel's connection to its orchestrator: attach, call, repeat what was lost."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mysticanvas.client.endpoint import Endpoint
from mysticanvas.errors import OrchestratorUnavailable
from mysticanvas.home import HomePaths
from mysticanvas.session import launch, siblings
from mysticanvas.settings import Settings

if TYPE_CHECKING:
    from mysticanvas.client.api import Api
    from mysticanvas.client.events import EventStream
    from mysticanvas.contracts.events import Event
    from mysticanvas.contracts.jobs import JobRecord
    from mysticanvas.session.following import Following
    from mysticanvas.session.subscriptions import Subscriptions
    from mysticanvas.session.tracker import JobTracker

T = TypeVar("T")

_TRIES = 3
_JOBS_AT_ONCE = 200
"""Jobs of a page by which many are followed."""


class Connection:
    """Shared by a canvas and the jobs and images that came from it; thread-safe.

    Args:
        settings: the home, and what an orchestrator that has to be started is to use.
        remote: the address to use instead of the home's own orchestrator; it is never started.
        seen: where the home of `remote` is for this process; None for where it says.
    """

    def __init__(
        self, settings: Settings, remote: Endpoint | None = None, seen: Path | None = None
    ) -> None:
        self.settings = settings
        self.label = _label()
        self._remote = remote
        self._home = seen
        self.pid = os.getpid()
        self._lock = threading.RLock()
        self._endpoint: Endpoint | None = None
        self._api: Api | None = None
        self._stream: EventStream | None = None
        self._following: Following | None = None
        self._subscriptions: Subscriptions | None = None
        self._paused = False
        self._closed = False
        self._told: set[str] = set()
        siblings.join(self)

    def attach(self, strict: bool = False) -> Endpoint:
        """Find or start the orchestrator, and listen to it in the background.

        Args:
            strict: refuse one that runs with other settings than were asked for.

        Raises:
            OrchestratorUnavailable, StoreError: see `launch.attach`.
        """
        self._check_usable()
        with self._lock:
            if self._endpoint is None or not self._endpoint.alive():
                self._forget()
                self._endpoint = self._remote or launch.endpoint(
                    launch.attach(self.settings, strict)
                )
            self._listen()
            return self._endpoint

    @property
    def paths(self) -> HomePaths:
        """Those of the orchestrator's home, for which one that was given by its address is asked.

        Raises:
            OrchestratorUnavailable: it does not answer.
        """
        if self._remote is None:
            return self.settings.paths
        if self._home is None:
            told = self.call(lambda api: api.health()).home
            self._home = self.settings.home if told is None else Path(told)
        return HomePaths.of(self._home)

    @property
    def logs(self) -> str:
        """Where the orchestrator's logs are, in words that need no answer of it."""
        return "`logs` of its home" if self._remote else str(self.settings.paths.logs)

    def find(self, patience_s: float = 0.0) -> Endpoint | None:
        """The orchestrator if it runs; it is not started.

        Args:
            patience_s: seconds to wait for one that somebody else is starting; none by default.

        Raises:
            OrchestratorUnavailable: it cannot be used, or the start takes longer.
        """
        self._check_usable()
        if self._remote is not None:
            return self._remote
        if patience_s:
            launch.settled(self.settings.paths, patience_s)
        runtime = launch.find(self.settings.paths)
        return None if runtime is None else launch.endpoint(runtime)

    def call(self, ask: Callable[[Api], T], background: bool = False) -> T:
        """Ask the orchestrator; one that is lost is found or started again and asked once more.

        Args:
            ask: makes one call, which must be safe to repeat.
            background: whether nobody called, so that nothing is asked, or started, in a pause.

        Raises:
            Paused: only in the background.
            OrchestratorUnavailable: there is no answer.
            MystiCanvasError: the answer is an error.
        """
        from mysticanvas.client.http import AnswerTimeout, ConnectionLost, Stopping

        deadline = time.monotonic() + self.settings.start_timeout_s
        tries = 0
        while tries < _TRIES:
            endpoint, api = self._open(background)
            try:
                return ask(api)
            except Stopping as stopping:
                # It took nothing in; and as often as it comes to this, it counts as no failure.
                reason = str(stopping)
                self._drop(api)
                if not endpoint.wait_gone(self.settings.stop_timeout_s):
                    break
                tries += time.monotonic() > deadline
            except ConnectionLost as lost:
                reason = str(lost)
                late = isinstance(lost, AnswerTimeout) and endpoint.alive()
                if late and api.answers():
                    raise OrchestratorUnavailable(
                        f"The orchestrator at {endpoint.url} is still at work on it: {reason}.",
                        hint="It goes on with it; ask again later.",
                    ) from lost
                self._drop(api)
                if late:
                    break
                tries += 1
                if tries == _TRIES - 1:
                    # Perhaps it refuses because it is ending: the last try starts another.
                    endpoint.wait_gone(self.settings.stop_timeout_s)
        process = f" (process {endpoint.identity.pid})" if endpoint.identity else ""
        raise OrchestratorUnavailable(
            f"The orchestrator at {endpoint.url}{process} does not answer: {reason}.",
            hint=f"The logs are in {self.logs}. If it hangs, end its process: nothing that "
            "was recorded is lost.",
        )

    def follow(self, record: JobRecord) -> JobTracker:
        """Keep a job up to date from now on."""
        with self._lock:
            assert self._following is not None, "jobs come from calls, and those attach first"
            return self._following.follow(record)

    def news(self, notices: list[str]) -> list[str]:
        """Those of the notices that were not shown here before."""
        with self._lock:
            fresh = [notice for notice in notices if notice not in self._told]
            self._told.update(fresh)
        return fresh

    @property
    def subscriptions(self) -> Subscriptions:
        """Whom events are told to; made at the first use."""
        from mysticanvas.session.subscriptions import Subscriptions

        with self._lock:
            if self._subscriptions is None:
                self._subscriptions = Subscriptions()
                weakref.finalize(self, self._subscriptions.close)
            return self._subscriptions

    def _take(self, event: Event) -> None:
        if self._following is not None:
            self._following.take(event)
        if self._subscriptions is not None:
            self._subscriptions.take(event)

    @property
    def listening(self) -> bool:
        """Whether events arrive."""
        return not self._closed and self._stream is not None and self._stream.connected

    @contextlib.contextmanager
    def previews(self) -> Iterator[None]:
        """Have previews made while the context lasts."""
        if self._stream is None:
            yield
            return
        with self._stream.previews():
            yield

    def hear(self, tracker: JobTracker) -> None:
        """See to it that whoever waits for a job hears of it: attach, unless all is known.

        Raises:
            OrchestratorUnavailable, StoreError: as for `attach`.
        """
        if not tracker.settled:
            self.attach()

    def places(self) -> set[str]:
        """Where its orchestrator is, or would be started; no two have one of them in common."""
        if self._remote is not None:
            return {self._remote.url}
        runtime = launch.recorded(self.settings.paths)
        urls = set() if runtime is None else {runtime.url}
        return {os.path.realpath(self.settings.home), *urls}

    def pause(self) -> None:
        """Hang up, and start nothing by itself; the next call takes everything up again."""
        # With the lock, behind whatever is being started at this moment.
        with self._lock:
            self._paused = True
            if self._stream is not None:
                self._stream.pause()

    def resume(self) -> None:
        """Go on as before a pause."""
        with self._lock:
            self._paused = False
            if self._stream is not None:
                self._stream.resume()

    def interrupt(self) -> None:
        """Tell those who wait for a job in another thread that the orchestrator is stopped."""
        if self._following is not None:
            self._following.interrupt()

    def close(self) -> None:
        """Detach for good; the orchestrator and its jobs go on. Who waits for one is told so."""
        if os.getpid() != self.pid:
            self._closed = True
            return
        # Before the lock, which is held while an orchestrator is started.
        self._hang_up()
        self._closed = True
        with self._lock:
            # What a thread that attached meanwhile has made.
            self._hang_up()
            if self._subscriptions is not None:
                self._subscriptions.close()
            self._forget()

    def _hang_up(self) -> None:
        if self._following is not None:
            self._following.close()
        if self._stream is not None:
            self._stream.close()

    def _open(self, background: bool) -> tuple[Endpoint, Api]:
        from mysticanvas.client.api import Api
        from mysticanvas.client.http import HttpClient
        from mysticanvas.session.following import Paused

        with self._lock:
            if background and self._paused:
                raise Paused
            endpoint = self.attach()
            if self._api is None:
                self._api = Api(HttpClient(endpoint.url, endpoint.token, endpoint.alive))
            return endpoint, self._api

    def _drop(self, api: Api) -> None:
        """Have the next call look for the orchestrator anew, unless another thread did so."""
        with self._lock:
            if self._api is api:
                self._forget()

    def _forget(self) -> None:
        if self._api is not None:
            self._api.close()
        self._endpoint = self._api = None

    def _listen(self) -> None:
        self._paused = False
        if self._stream is not None:
            self._stream.resume()
            return
        from mysticanvas.client.events import EventStream
        from mysticanvas.session.following import Following

        # The thread must not keep the connection alive: it ends when nobody holds that any more.
        this = weakref.ref(self)
        following = Following(
            lambda job_id: _call(this, lambda api: api.job(job_id)),
            lambda cursor: _call(this, lambda api: api.jobs(_JOBS_AT_ONCE, cursor, internal=True)),
        )
        stream = EventStream(
            self.label,
            find=lambda: _find(this),
            on_event=lambda event: _take(this, event),
            on_tick=lambda: following.tick(stream.connected),
        )
        self._following, self._stream = following, stream
        weakref.finalize(self, _close, stream, self.pid)
        stream.start()

    def _check_usable(self) -> None:
        if os.getpid() != self.pid:
            raise OrchestratorUnavailable(
                f"This canvas belongs to process {self.pid}; a forked process cannot use it.",
                hint="Make a new Canvas() in the child; it attaches to the same orchestrator.",
            )
        if self._closed:
            raise OrchestratorUnavailable(
                "This canvas is closed.", hint="Make a new Canvas(); it attaches again."
            )


def _find(this: weakref.ref[Connection]) -> Endpoint | None:
    connection = this()
    # What is wrong with an orchestrator that we cannot talk to is for a call to raise.
    with contextlib.suppress(OrchestratorUnavailable):
        return None if connection is None else connection.find()
    return None


def _take(this: weakref.ref[Connection], event: Event) -> None:
    connection = this()
    if connection is not None:
        connection._take(event)


def _call(this: weakref.ref[Connection], ask: Callable[[Api], T]) -> T:
    connection = this()
    if connection is None:
        raise OrchestratorUnavailable("This canvas is gone.", hint="Make a new Canvas().")
    return connection.call(ask, background=True)


def _close(stream: EventStream, pid: int) -> None:
    # A fork shares the socket: hanging up there would cut the parent off.
    if os.getpid() == pid:
        stream.close()


def _label() -> str:
    """How others see this process, when they ask who uses the orchestrator."""
    notebook = "ipykernel" in sys.modules
    name = "notebook kernel" if notebook else Path(sys.argv[0] or "python").name
    # A script's name need not be Unicode text, and what is sent has to be.
    name = name.encode(errors="backslashreplace").decode()
    return f"{name[:100]}, process {os.getpid()}"
