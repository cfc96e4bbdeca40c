"""A server on the loopback interface that speaks as much of the Hugging Face hub as a download
needs, and fails as hubs and networks do."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import select
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
_LARGE = (".safetensors", ".gguf", ".bin")
_PIECE = 1 << 18


class Hub:
    """One repository, `owner/name`, at one commit.

    Args:
        files: name -> what the server sends.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.url = ""
        self.told_sizes: dict[str, int] = {}
        """Name -> a size that is not the file's."""
        self.told: dict[str, str] = {}
        """Name, or `commit` -> a digest that is not its own."""
        self.refusals: list[tuple[int, dict[str, str]]] = []
        """Status and headers with which the next requests are answered."""
        self.token: str | None = None
        """What a client has to show."""
        self.breaks_after: list[int] = []
        """Bytes after which the next bodies of files break off."""
        self.stalls_after: int | None = None
        """Bytes after which a body goes on only when `go_on` is set."""
        self.go_on = threading.Event()
        self.stalled = threading.Event()
        self.sent: dict[str, int] = {}
        """Name -> bytes of its body that were sent, in all."""
        self.ranges: list[str] = []
        self.moved_to = ""
        """Another server that has the contents of large files."""
        self.authorizations: list[str | None] = []
        """What the requests for files showed."""

    def entry(self, name: str) -> dict[str, Any]:
        content = self.files[name]
        size = self.told_sizes.get(name, len(content))
        found: dict[str, Any] = {"size": size, "oid": self.told.get(name, _git(content))}
        if name.endswith(_LARGE):
            digest = self.told.get(name, hashlib.sha256(content).hexdigest())
            lfs = {"oid": digest, "size": size, "pointerSize": 130}
            found["lfs"] = lfs
        return found

    def etag(self, name: str) -> str:
        entry = self.entry(name)
        return str(entry.get("lfs", entry)["oid"])


def _git(content: bytes) -> str:
    head = f"blob {len(content)}\0".encode()
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Hub]:
    """A hub that runs."""
    hub = Hub(files)

    class Handler(_Handler):
        of = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients are killed
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    of: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.of
        if hub.refusals:
            status, headers = hub.refusals.pop(0)
            self._answer(status, b"no", headers)
            return
        if hub.token is not None and self.headers["Authorization"] != f"Bearer {hub.token}":
            self._answer(401, b"no", {"X-Error-Code": "GatedRepo"})
            return
        path = unquote(urlsplit(self.path).path)
        if re.fullmatch(r"/api/models/owner/name(/revision/[^/]+)?", path):
            self._tell_repository(path.partition("/revision/")[2])
        elif path == f"/api/models/owner/name/tree/{COMMIT}":
            tree = [{"type": "file", "path": name, **hub.entry(name)} for name in hub.files]
            self._answer(200, json.dumps(tree).encode(), {"Content-Type": "application/json"})
        elif path.startswith(f"/owner/name/resolve/{COMMIT}/"):
            self._send_file(path.partition(f"{COMMIT}/")[2])
        else:
            self._answer(404, b"no", {"X-Error-Code": "RepoNotFound"})

    def _tell_repository(self, revision: str) -> None:
        if revision not in ("", "main", "v1", COMMIT):
            self._answer(404, b"no", {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = []
        for name in self.of.files:
            entry = self.of.entry(name)
            told = {"rfilename": name, "size": entry["size"], "blobId": entry["oid"]}
            if "lfs" in entry:
                told["lfs"] = {**entry["lfs"], "sha256": entry["lfs"]["oid"]}
            siblings.append(told)
        commit = self.of.told.get("commit", COMMIT)
        info = {"id": "owner/name", "sha": commit, "siblings": siblings}
        self._answer(200, json.dumps(info).encode(), {"Content-Type": "application/json"})

    def _send_file(self, name: str) -> None:
        hub = self.of
        if name not in hub.files:
            self._answer(404, b"no", {"X-Error-Code": "EntryNotFound"})
            return
        hub.authorizations.append(self.headers["Authorization"])
        if hub.moved_to and name.endswith(_LARGE):
            size, etag = str(len(hub.files[name])), f'"{hub.etag(name)}"'
            moved = {"Location": hub.moved_to + self.path, "X-Repo-Commit": COMMIT}
            self._answer(302, b"", {**moved, "X-Linked-Etag": etag, "X-Linked-Size": size})
            return
        content, start = hub.files[name], 0
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hub.etag(name)}"', "Accept-Ranges": "bytes"}
        if (wanted := self.headers["Range"]) is not None:
            hub.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            if start >= len(content):
                self._answer(416, b"no", {"Content-Range": f"bytes */{len(content)}"})
                return
            last = len(content) - 1
            headers["Content-Range"] = f"bytes {start}-{last}/{len(content)}"
        self.send_response(206 if wanted else 200)
        for key, value in {**headers, "Content-Length": str(len(content) - start)}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self._send_body(name, content, start)

    def _send_body(self, name: str, content: bytes, start: int) -> None:
        hub = self.of
        large = len(content) > _PIECE
        breaks_at = start + hub.breaks_after.pop(0) if large and hub.breaks_after else None
        for at in range(start, len(content), _PIECE):
            piece = content[at : at + _PIECE]
            if breaks_at is not None and at >= breaks_at:
                self.close_connection = True
                self.connection.close()
                return
            if large and hub.stalls_after is not None and at >= hub.stalls_after:
                hub.stalled.set()
                hub.go_on.wait(60)
                if self._is_left():
                    return
            try:
                self.wfile.write(piece)
            except OSError:
                return
            hub.sent[name] = hub.sent.get(name, 0) + len(piece)

    def _is_left(self) -> bool:
        """Whether nobody takes the rest."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        try:
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
