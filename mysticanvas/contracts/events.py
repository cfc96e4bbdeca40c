"""Events of `WS /v1/events`, one JSON document a message.

Transitions carry a `seq` that grows by one and can be replayed with `?epoch=…&after=…`. Progress
and previews carry none: of several only the newest counts, and a slow listener may miss some. A
`resync` says that the replay cannot be complete: fetch again what you follow. Behind that of
another `epoch` comes what has happened since that began, as long as all of it is known.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import StrictBool

from mysticanvas.contracts.base import Contract

EventType = Literal[
    "hello", "resync", "job", "image", "worker", "queue", "alert", "vram", "progress", "preview"
]


class Event(Contract):
    """`data` is a `JobRecord` (job), an `ImageRecord` (image), a `WorkerStatus` (worker),
    a `QueueStatus` (queue, when it is paused or resumed), an `Alert` (alert), an `Unloaded`, a
    `MadeRoom` or a `JobMemory` (vram, when a model or a context has left the device, before a job
    that room is made for, and when one was measured), or
    `{"job_id", …}` with the members of `Progress` or of a preview (`step`, `webp`)."""

    epoch: str
    """Changes with every start of the orchestrator."""
    type: EventType
    seq: int | None = None
    data: dict[str, Any] = {}


class Wish(Contract):
    """What a listener may say: whether it wants previews."""

    previews: StrictBool
