"""How much of a request's body is read, how deep its JSON may nest, and that it is Unicode."""

from __future__ import annotations

import itertools
import json
import re

from starlette.types import Message, Receive

from mysticanvas import settings
from mysticanvas.errors import InvalidRequest
from mysticanvas.web.gate import Refusal, too_large

MAX_DEPTH = 64
"""Arrays and objects within one another. Beyond some hundreds, Python's parser gives up."""

# Possessive, and satisfied with the end of the text as well: it looks at each byte once.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class Unreadable(Exception):
    """The body is refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal.error))
        self.refusal = refusal


async def read(receive: Receive) -> Receive:
    """Read a body, and give it on in one piece.

    Returns:
        What stands for `receive` from now on.

    Raises:
        Unreadable: it is larger, or nested deeper, than allowed, or holds half a character; what
            comes after the limit is not read.
    """
    parts: list[bytes] = []
    size = 0
    while (message := await receive())["type"] == "http.request":
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > settings.MAX_BODY_BYTES:
            raise Unreadable(too_large())
        if not message.get("more_body", False):
            break
    body = b"".join(parts)
    if _nests_too_deep(body):
        raise Unreadable(_too_deep())
    if not _is_unicode(body):
        raise Unreadable(_no_unicode())
    first: Message = {"type": "http.request", "body": body, "more_body": False}
    # The client was gone before the end: the application is told at once.
    ahead = iter([first] if message["type"] == "http.request" else [message])

    async def replay() -> Message:
        found = next(ahead, None)
        return await receive() if found is None else found

    return replay


def _nests_too_deep(body: bytes) -> bool:
    # What has so few brackets cannot; this is as far as any body of ours gets.
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return False
    return depth(body) > MAX_DEPTH


def depth(body: bytes) -> int:
    """How deep arrays and objects nest in a text of JSON; brackets in strings do not count."""
    brackets = _STRING.sub(b"", body).translate(None, _NO_BRACKET)
    return max(itertools.accumulate(map(_STEP.__getitem__, brackets)), default=0)


def _is_unicode(body: bytes) -> bool:
    """Whether escapes come in pairs that make a character; of half a one, neither a file name nor
    the database knows what to do."""
    if _SURROGATE.search(body) is None:
        return True
    try:
        json.dumps(json.loads(body), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    except ValueError:
        pass  # no JSON, which the application says better
    return True


def _no_unicode() -> Refusal:
    error = InvalidRequest(
        r"The request body holds half a surrogate pair, such as \ud800, which is no character.",
        parameter="body",
        value="",
        allowed="Unicode text",
    )
    return Refusal(error, error.status)


def _too_deep() -> Refusal:
    allowed = f"at most {MAX_DEPTH} levels"
    error = InvalidRequest(
        f"The request body nests arrays or objects too deep; allowed are {allowed}.",
        parameter="body",
        value="",
        allowed=allowed,
    )
    return Refusal(error, error.status)
