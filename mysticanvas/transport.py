"""How the processes of a home reach one another: the one place that knows sockets and addresses.

All of them speak HTTP; what carries it is a choice, `ipc`:

    tcp     a free port of the loopback interface       http://127.0.0.1:40123
    unix    a socket in `run/`, for the user alone      http+unix://%2Fhome%2Fme%2F…%2Fa.sock
    pipe    a named pipe of Windows                     not there yet, and refused

An address is a URL and holds the choice, so whoever is given one need not know it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import socket
import sys
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mysticanvas.errors import InvalidRequest, OrchestratorUnavailable

if TYPE_CHECKING:
    from http.client import HTTPConnection

    from websockets.sync.client import ClientConnection

    from mysticanvas.settings import Ipc

_UNIX = "http+unix://"
_UNIX_HOST = "localhost"
"""What stands for the host in a request that goes through a file."""
MAX_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
"""The system's limit, one byte less for the end of the text."""
_BACKLOG = 256


Connection = socket.socket


class Listener(NamedTuple):
    """A socket that listens, and the address that leads to it."""

    socket: socket.socket
    url: str

    def close(self) -> None:
        """Listen no longer; a socket in the file system is removed."""
        self.socket.close()
        if (path := socket_path(self.url)) is not None:
            path.unlink(missing_ok=True)


def check(ipc: Ipc, *paths: Path) -> None:
    """Refuse what this system, or a path of this length, cannot do; nothing is opened.

    Args:
        paths: the sockets that would be made.

    Raises:
        InvalidRequest: says what to use instead.
    """
    if ipc == "pipe":
        raise _refused(ipc, "Named pipes are for Windows, which MystiCanvas does not support yet.")
    if ipc == "unix" and not hasattr(socket, "AF_UNIX"):
        raise _refused(ipc, "This system has no Unix sockets.")
    for path in paths:
        if ipc == "unix" and len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
            raise _refused(
                ipc,
                f"The path of the socket {path} has {len(os.fsencode(path))} bytes; the system "
                f"allows {MAX_SOCKET_PATH_BYTES}.",
                hint="Use a home on a shorter path, or ipc='tcp'.",
            )


def worker_socket(folder: Path) -> Path:
    """A new path for a worker's socket; each process has its own, since one may wait in reserve.
    Its number would not do, which in a container may be that of another one's."""
    return folder / f"worker-{secrets.token_urlsafe(5)}.sock"


def remove_worker_sockets(folder: Path) -> None:
    """Remove the sockets that killed workers left: for the folder's owner, who has none yet."""
    for path in folder.glob("worker-*.sock"):
        with contextlib.suppress(OSError):
            path.unlink()


def listen(ipc: Ipc, path: Path) -> Listener:
    """Listen for the processes of this user.

    Args:
        path: where the socket goes, if it is one in the file system; its folder is private, and
            nobody else listens there: what a killed process left is replaced.

    Raises:
        InvalidRequest: see `check`.
        OrchestratorUnavailable: the system refuses.
    """
    check(ipc, path)
    try:
        return _listen_on_loopback() if ipc == "tcp" else _listen_at(path)
    except OSError as error:
        raise OrchestratorUnavailable(
            f"Nothing can listen with ipc={ipc!r}: {error.strerror or error}.",
            hint=f"The file system of {path.parent} may not hold sockets; ipc='tcp' needs none."
            if ipc == "unix"
            else "The loopback interface 127.0.0.1 has to be up; ipc='unix' does without.",
        ) from error


def _listen_on_loopback() -> Listener:
    listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    # asyncio sets this only on sockets that name TCP as their protocol, and these do not. Without
    # it, the body of an answer waits 40 ms until its head is acknowledged.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    return Listener(listener, "http://{}:{}".format(*listener.getsockname()))


def _listen_at(path: Path) -> Listener:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Linux gives the file the mode of the socket, so there is no moment in which it is open.
        with contextlib.suppress(OSError):
            os.fchmod(listener.fileno(), 0o600)
        listener.bind(os.fsencode(path))
        path.chmod(0o600)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return Listener(listener, _UNIX + urllib.parse.quote(os.fsencode(path), safe=""))


def is_address(url: str) -> bool:
    """Whether it is an address of a kind that we know."""
    if not (url.isascii() and url.isprintable()) or " " in url:
        return False
    if (path := socket_path(url)) is not None:
        return path.is_absolute() and "\0" not in str(path)
    try:
        address = urllib.parse.urlsplit(url)
        return address.scheme in ("http", "https") and bool(address.hostname) and _possible(address)
    except ValueError:  # such as brackets that are not closed
        return False


def _possible(address: urllib.parse.SplitResult) -> bool:
    """Whether there are ports like that; the library raises ValueError beyond the largest."""
    return address.port is None or address.port > 0


def is_loopback(url: str) -> bool:
    """Whether the address is a port, of which it can be seen who holds it."""
    return url.startswith("http://")


def connect(url: str, timeout_s: float) -> Connection:
    """A connection to a port, before anything is sent over it.

    Raises:
        OSError: nobody answers there.
    """
    address = urllib.parse.urlsplit(url)
    return socket.create_connection((address.hostname or "", address.port or 80), timeout_s)


def http_connection(url: str, timeout_s: float) -> HTTPConnection:
    """A connection to that address that speaks HTTP, before anything is sent over it.

    It is this one or none: once it is closed, it does not open another by itself.

    Raises:
        OSError: nobody answers there.
    """
    import http.client

    path = socket_path(url)
    address = urllib.parse.urlsplit(url)
    if path is not None:
        connection = http.client.HTTPConnection(_UNIX_HOST)
        connection.sock = _connect_at(path, timeout_s)
    else:
        secure = address.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(address.hostname or "", address.port, timeout=timeout_s)
        connection.connect()
    connection.auto_open = 0
    return connection


def prefix(url: str) -> str:
    """What the path of every request to that address begins with; mostly nothing."""
    return "" if socket_path(url) is not None else urllib.parse.urlsplit(url).path.rstrip("/")


def is_silent(connection: HTTPConnection) -> bool:
    """Whether a connection between two calls is as it should be: open, and with nothing to read."""
    if connection.sock is None:
        return False
    return not is_heard(connection, 0)


def is_heard(connection: HTTPConnection, timeout_s: float) -> bool:
    """Whether there is something to read on an open connection, or its end, within that time."""
    # Not select.select, which refuses descriptors beyond 1,023.
    waiting = select.poll()
    waiting.register(connection.sock, select.POLLIN)
    return bool(waiting.poll(timeout_s * 1000))


def _connect_at(path: Path, timeout_s: float) -> Connection:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        connection.connect(os.fsencode(path))
    except BaseException:
        connection.close()
        raise
    return connection


def hosts(url: str) -> frozenset[bytes]:
    """What a request to that address has in its `Host` header."""
    if socket_path(url) is not None:
        return frozenset({_UNIX_HOST.encode()})
    host = urllib.parse.urlsplit(url).netloc
    return frozenset(name.encode() for name in (host, host.replace("127.0.0.1", "localhost")))


def websocket(url: str, target: str, token: str, **options: Any) -> ClientConnection:
    """A WebSocket to that address.

    Args:
        target: path and query, such as `/v1/events?client=me`.
        options: those of `websockets.sync.client.connect`.

    Raises:
        OSError, websockets.exceptions.WebSocketException: there is no connection.
    """
    from websockets.sync.client import connect, unix_connect

    options["additional_headers"] = {"Authorization": f"Bearer {token}"}
    path = socket_path(url)
    connection: ClientConnection
    if path is not None:
        connection = unix_connect(str(path), uri=f"ws://{_UNIX_HOST}{target}", **options)
    else:
        connection = connect(f"{url.replace('http', 'ws', 1)}{target}", proxy=None, **options)
    return connection


def socket_path(url: str) -> Path | None:
    """The file of an address that is one."""
    if not url.startswith(_UNIX):
        return None
    return Path(os.fsdecode(urllib.parse.unquote_to_bytes(url.removeprefix(_UNIX).rstrip("/"))))


def _refused(ipc: str, reason: str, hint: str = "") -> InvalidRequest:
    return InvalidRequest(
        reason,
        hint=hint or "Use ipc='tcp' or, where there are Unix sockets, ipc='unix'.",
        parameter="ipc",
        value=ipc,
        allowed="'tcp' or 'unix'",
    )
