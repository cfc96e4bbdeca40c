"""The story of one call: which lines belong to a request, or to a job."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal

from mysticanvas.contracts import ids
from mysticanvas.errors import InvalidRequest, NotFound
from mysticanvas.logs import line, reading
from mysticanvas.logs.reading import Accept, Entry

Kind = Literal["request", "job"]


class Story:
    """A request or a job, and what its lines are known by.

    Args:
        kind: which of the two.
        identifier: its whole id.
        requests: ids of the requests that a job came from. Lines of these belong to the job, unless
            they are another's.
    """

    def __init__(self, kind: Kind, identifier: str, requests: Collection[str] = ()) -> None:
        self.kind = kind
        self.id = identifier
        self.requests = set(requests)

    def has(self, entry: Entry) -> bool:
        """Whether a line belongs to it."""
        request, job = (entry.members.get(name, "") for name in ("request_id", "job_id"))
        if self.kind == "request":
            return bool(request == self.id)
        return job == self.id or (not job and request in self.requests)

    def read(self, folder: Path) -> list[Entry]:
        """All its lines in the logs of a folder, in order."""
        words = {self.id, *self.requests}
        since = min((made for word in words if (made := reading.made_at(word))), default=None)
        return _mentioning(folder, words, self.has, since)


def find(folder: Path, kind: Kind, given: str) -> Story:
    """The request or job that an id, or an unambiguous head or tail of one, means in the logs.

    Raises:
        InvalidRequest: it cannot be part of an id, or is part of several.
        NotFound: no line is of such a request or job.
    """
    part = given.strip().lower()
    if not ids.is_part(part):
        raise InvalidRequest(
            f"{given!r} is no id of a {kind}, and no part of one.",
            hint="Give an id, or 4 or more characters of its head or tail.",
            parameter=f"--{kind}",
            value=given,
            allowed="an id, or 4 or more characters of its head or tail",
        )
    member = f"{kind}_id"

    def meant(entry: Entry) -> bool:
        return _means(part, entry.members.get(member, ""))

    entries = _mentioning(folder, {part}, meant, reading.made_at(part))
    found = {str(entry.members[member]) for entry in entries}
    if not found:
        raise NotFound(
            f"No line in {folder} is of a {kind} {part}.",
            hint="Old lines go when a log is full. `mysticanvas logs` shows the newest.",
        )
    if len(found) > 1:
        raise InvalidRequest(
            f"{part!r} is part of the ids of {len(found)} {kind}s: {', '.join(sorted(found)[:5])}.",
            parameter=f"--{kind}",
            value=part,
            allowed="a part that only one has",
        )
    requests = {entry.members["request_id"] for entry in entries if "request_id" in entry.members}
    return Story(kind, found.pop(), requests if kind == "job" else ())


def at_least(level: str, entry: Entry) -> bool:
    """Whether a line is of that level or a graver one."""
    given = entry.members.get("level")
    return given not in line.LEVELS or line.LEVELS.index(given) >= line.LEVELS.index(level)


def _mentioning(folder: Path, words: set[str], accept: Accept, since: float | None) -> list[Entry]:
    """The lines that mention one of the words and are accepted, in order; for those since a time,
    fewer files are read. If there are none, the clock of the files may be another, or was set back.
    """
    for oldest in dict.fromkeys((since, None)):
        found = list(filter(accept, reading.mentioning(folder, words, oldest)))
        if found:
            break
    return found


def _means(part: str, identifier: str) -> bool:
    return identifier.startswith(part) or identifier.endswith(part)
