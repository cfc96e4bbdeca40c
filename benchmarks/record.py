"""What the log of an orchestrator says of the room that was made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import needless


class Unload(NamedTuple):
    """A context that was dropped, or a worker that was ended."""

    worker: str
    kind: str
    why: str


class Record(NamedTuple):
    """See the module."""

    decisions: list[dict[str, Any]]
    unloads: list[Unload]
    faults: list[str]
    """What is wrong with decisions, one each."""
    again: int
    """Requests' decisions behind their first."""
    unexplained: int
    """Unloadings without a reason, or without a decision."""

    def count(self, kind: str) -> int:
        """Unloadings of a kind."""
        return sum(each.kind == kind for each in self.unloads)


def read(home: Path, budget_mib: float, since: datetime) -> Record:
    """All of a home, since workers had that much together in it."""
    lines = [
        each
        for each in _lines(home)
        if each.get("event") in ("room_decided", "making_room")
        and datetime.fromisoformat(each["at"]) >= since
    ]
    decisions = [each for each in lines if each["event"] == "room_decided"]
    unloads = [
        Unload(each["worker"], each["kind"], each.get("why", ""))
        for each in lines
        if each["event"] == "making_room"
    ]
    decided = sum(len(each["unloads"]) for each in decisions)
    found = [needless.fault(each, budget_mib) for each in decisions]
    return Record(
        decisions,
        unloads,
        faults=[
            f"{each['at']}: {what}" for each, what in zip(decisions, found, strict=True) if what
        ],
        again=len(decisions) - len({each["request_id"] for each in decisions}),
        unexplained=sum(not each.why for each in unloads) + abs(decided - len(unloads)),
    )


def _lines(home: Path) -> Iterator[dict[str, Any]]:
    # Older files have higher numbers.
    for file in sorted((home / "logs").glob("orchestrator.jsonl*"), reverse=True):
        for line in file.read_text().splitlines():
            yield json.loads(line)
