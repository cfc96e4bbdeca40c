"""How much of a request's body is read, how deep its JSON may nest, and that it is Unicode text."""

from __future__ import annotations

import itertools
import json
import re

from starlette.types import Message, Receive

from mysticanvas import settings
from mysticanvas.contracts.refusal import is_unicode
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
        Unreadable: it is larger, or nested deeper, than allowed, is no UTF-8, or holds half a
            character; what comes after the limit is not read.
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
    error = objection(body)
    if error is not None:
        raise Unreadable(Refusal(error, error.status))
    first: Message = {"type": "http.request", "body": body, "more_body": False}
    # The client was gone before the end: the application is told at once.
    ahead = iter([first] if message["type"] == "http.request" else [message])

    async def replay() -> Message:
        found = next(ahead, None)
        return await receive() if found is None else found

    return replay


def objection(body: bytes) -> InvalidRequest | None:
    """Why a body is refused before anybody parses it; None for one that is not.

    What is no JSON at all, the application says better.
    """
    if not _is_utf8(body):
        said, allowed = "is no text in UTF-8", "JSON in UTF-8"
    elif _nests_too_deep(body):
        allowed = f"at most {MAX_DEPTH} levels"
        said = f"nests arrays or objects too deep; allowed are {allowed}"
    elif _has_half_a_character(body):
        said = r"holds half a surrogate pair, such as \ud800, which is no character"
        allowed = "Unicode text"
    else:
        return None
    return InvalidRequest(f"The request body {said}.", parameter="body", value="", allowed=allowed)


def _is_utf8(body: bytes) -> bool:
    """Whether it can be read in this way alone. Python's parser takes UTF-16 and UTF-32 as well,
    in which the looks below would see nothing, and lets half a character pass that is written out.
    """
    # JSON has no NUL, and the other encodings have some in each bracket and quotation mark.
    if b"\0" in body:
        return False
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _nests_too_deep(body: bytes) -> bool:
    # What has so few brackets cannot; this is as far as any body of ours gets.
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return False
    return depth(body) > MAX_DEPTH


def depth(body: bytes) -> int:
    """How deep arrays and objects nest in a text of JSON; brackets in strings do not count."""
    brackets = _STRING.sub(b"", body).translate(None, _NO_BRACKET)
    return max(itertools.accumulate(map(_STEP.__getitem__, brackets)), default=0)


def _has_half_a_character(body: bytes) -> bool:
    """Whether an escape lacks the other one that makes a character with it; of half a one, neither
    a file name nor the database knows what to do."""
    if _SURROGATE.search(body) is None:
        return False
    try:
        return not is_unicode(json.loads(body))
    except ValueError:
        return False
