"""Whom a server lets in, by the headers of a request alone. Pure."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mysticanvas import settings
from mysticanvas.errors import InvalidRequest, MystiCanvasError, PermissionDenied

_JSON = b"application/json"
_DECIDE = (b"host", b"authorization", b"origin", b"content-type", b"content-length")


class Refusal(NamedTuple):
    """Why a request is not let in, and the status that says so."""

    error: MystiCanvasError
    status: int


class Gate:
    """Checks requests.

    Args:
        token: what a request must carry.
        hosts: what it may have in its `Host` header.
    """

    def __init__(self, token: str, hosts: frozenset[bytes]) -> None:
        self._token = token.encode()
        self._hosts = hosts

    def refusal(self, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """Why the request with these headers is refused; None if it is not."""
        error = self._intruder(headers)
        if error is not None:
            return Refusal(error, error.status)
        return _unreadable(headers) if has_body(headers) else None

    def _intruder(self, headers: Mapping[bytes, bytes]) -> PermissionDenied | None:
        # A page that had its own name resolve to this machine sends that name here.
        if headers.get(b"host") not in self._hosts:
            return PermissionDenied(
                "The Host header names another server.",
                hint="Use the url in run/orchestrator.json of the home directory as it is.",
            )
        if b"origin" in headers:
            return PermissionDenied("Requests from a browser page are not accepted.")
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        # Bytes, because compare_digest raises for text that is not ASCII.
        if kind.lower() != b"bearer" or not hmac.compare_digest(token, self._token):
            return PermissionDenied(
                "The bearer token is missing or wrong.",
                hint="It is in run/orchestrator.json of the home directory.",
            )
        return None


def repeated(headers: Iterable[tuple[bytes, bytes]]) -> Refusal | None:
    """Why headers are refused of which one that decides is there twice: whoever reads them behind
    the gate might take the other one."""
    counts = Counter(name for name, _ in headers)
    twice = next((name for name in _DECIDE if counts[name] > 1), None)
    if twice is None:
        return None
    name = twice.decode()
    error = InvalidRequest(
        f"The header {name} is there {counts[twice]} times; allowed is once.",
        parameter=name,
        value="",
        allowed="once",
    )
    return Refusal(error, 400)


def has_body(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a body comes after the headers."""
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def too_large() -> Refusal:
    """The refusal of a body that is larger than allowed."""
    allowed = f"at most {settings.MAX_BODY_BYTES:,} bytes"
    return Refusal(
        InvalidRequest(
            f"The request body is too large; allowed are {allowed}.",
            parameter="body",
            value="",
            allowed=allowed,
        ),
        413,
    )


def _unreadable(headers: Mapping[bytes, bytes]) -> Refusal | None:
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > settings.MAX_BODY_BYTES:
        return too_large()
    given = headers.get(b"content-type", b"")
    # A form is what a page can send to any server without being asked for permission first.
    if given.partition(b";")[0].strip().lower() != _JSON:
        error = InvalidRequest(
            "The request body has to be JSON, and its Content-Type application/json.",
            parameter="Content-Type",
            value=given[:80].decode("latin-1"),
            allowed=_JSON.decode(),
        )
        return Refusal(error, 415)
    return None
