"""The event stream of an orchestrator, followed on one daemon thread."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mysticanvas import transport
from mysticanvas.client.endpoint import Endpoint
from mysticanvas.contracts.events import Event

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

_log = logging.getLogger(__name__)

TICK_S = 2.0
"""Seconds between two calls of `on_tick` while it is connected, whether events arrive or not."""
_HEAD_START_S = 0.15
"""Seconds that the kernel's first call has the interpreter for itself, before this imports."""
_PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0)
_CONNECT_S = 5.0
_MAX_EVENT_BYTES = 16 << 20


class EventStream:
    """Connects, reads, and connects again where it left off, until it is closed.

    All callbacks run on the stream's thread; what they raise is logged.

    Args:
        client: label under which the orchestrator lists us.
        find: the orchestrator to listen to; None while there is none.
        on_event: called with every event, in order.
        on_tick: called every two seconds, and before each try to connect again.
    """

    def __init__(
        self,
        client: str,
        *,
        find: Callable[[], Endpoint | None],
        on_event: Callable[[Event], None],
        on_tick: Callable[[], None],
    ) -> None:
        self._client = client
        self._find = find
        self._on_event = on_event
        self._on_tick = on_tick
        self._epoch = ""
        self._seq: int | None = None
        self._connection: ClientConnection | None = None
        self._watchers = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._connected = threading.Event()
        self._paused = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mysticanvas-events", daemon=True)

    @property
    def connected(self) -> bool:
        """Whether events arrive: the orchestrator has said hello."""
        return self._connected.is_set()

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait until events arrive; whether they do."""
        return self._connected.wait(timeout_s)

    def start(self) -> None:
        """Begin to listen, on a thread of its own."""
        self._thread.start()

    def pause(self) -> None:
        """Hang up, and stay away until `resume`."""
        self._paused = True
        self._hang_up()

    def resume(self) -> None:
        """Listen again, at once; harmless for one who listens."""
        self._paused = False
        if not self.connected:
            self._wake.set()

    def close(self) -> None:
        """Hang up and end the thread; returns at once."""
        self._closed.set()
        self._wake.set()
        self._hang_up()

    @contextlib.contextmanager
    def previews(self) -> Iterator[None]:
        """Ask for previews while the context lasts; several may overlap."""
        self._watch(+1)
        try:
            yield
        finally:
            self._watch(-1)

    def _watch(self, change: int) -> None:
        with self._lock:
            before = self._watchers > 0
            self._watchers += change
            if before != (self._watchers > 0) and self._connection is not None:
                self._send_switch(self._connection)

    def _send_switch(self, connection: ClientConnection) -> None:
        from websockets.exceptions import WebSocketException

        # The thread that reads notices the end of a connection and replaces it.
        with contextlib.suppress(OSError, WebSocketException):
            connection.send(json.dumps({"previews": self._watchers > 0}))

    def _hang_up(self) -> None:
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        failures = 0
        self._closed.wait(_HEAD_START_S)
        while not self._closed.is_set():
            if self._try_to_listen():
                failures = 0
            if self._closed.is_set():
                break
            if not self._paused:
                self._guarded(self._on_tick)
            self._wake.wait(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
            self._wake.clear()
            failures += 1

    def _try_to_listen(self) -> bool:
        """Listen for as long as that goes well; whether it ever did."""
        if self._paused:
            return False
        # Imported on this thread, in the background: a kernel that attaches need not wait for it.
        from websockets.exceptions import WebSocketException

        try:
            endpoint = self._find()
            if endpoint is not None:
                self._listen(endpoint)
        except (OSError, EOFError, WebSocketException) as error:
            _log.debug("event stream: %s", error)
        except Exception:  # noqa: BLE001 - the thread must outlive whatever one try meets
            _log.exception("the event stream failed; it is tried again")
        greeted = self.connected
        self._connected.clear()
        with self._lock:
            self._connection = None
        return greeted

    def _listen(self, endpoint: Endpoint) -> None:
        with self._connect(endpoint) as connection:
            with self._lock:
                self._connection = connection
                if self._watchers:
                    self._send_switch(connection)
            due = time.monotonic() + TICK_S
            while not (self._closed.is_set() or self._paused):
                left_s = due - time.monotonic()
                if left_s <= 0:
                    self._guarded(self._on_tick)
                    due = time.monotonic() + TICK_S
                    continue
                with contextlib.suppress(TimeoutError):
                    message = connection.recv(timeout=left_s)
                    self._take(Event.model_validate_json(message))

    def _connect(self, endpoint: Endpoint) -> ClientConnection:
        connection = endpoint.connect(_CONNECT_S)
        query = {"client": self._client}
        if self._seq is not None:
            query |= {"epoch": self._epoch, "after": str(self._seq)}
        return transport.websocket(
            endpoint.url,
            f"/v1/events?{urllib.parse.urlencode(query)}",
            endpoint.token,
            sock=connection,
            compression=None,
            open_timeout=_CONNECT_S,
            close_timeout=1,
            ping_interval=None,
            max_size=_MAX_EVENT_BYTES,
        )

    def _take(self, event: Event) -> None:
        if event.type in ("hello", "resync"):
            self._connected.set()
            if event.epoch != self._epoch or event.type == "resync" or self._seq is None:
                self._epoch, self._seq = event.epoch, int(event.data.get("seq", 0))
        elif event.seq is not None:
            self._seq = event.seq
        self._guarded(lambda: self._on_event(event))

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:  # noqa: BLE001 - nor may a callback end it
            _log.exception("a listener of the event stream failed")
