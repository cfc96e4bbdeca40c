"""What an engine sees of its device's memory, for whoever asks how the worker is."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor

from mysticanvas import logs
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.workers.engine import Engine

_SOON_S = 0.1
"""Seconds in which a driver answers that is well; many times what it takes."""
_log = logs.get(__name__)


class Glimpse:
    """Asks on a thread of its own: a driver may fail, or keep whoever asks it. Then what it said
    last is what is known."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="glimpse")
        self._asked: Future[None] | None = None
        self._last: DeviceMemory | None = None

    async def of(self, engine: Engine | None) -> DeviceMemory | None:
        """The memory of the device, now or as it was last seen; None if the engine sees none."""
        if self._asked is None or self._asked.done():
            self._asked = self._thread.submit(self._look, engine)
        await asyncio.wait([asyncio.wrap_future(self._asked)], timeout=_SOON_S)
        return self._last

    def _look(self, engine: Engine | None) -> None:
        try:
            # Of `SeesDevice`; to ask whether it is one has Python 3.11 read all its properties.
            self._last = getattr(engine, "device_memory", None)
        except Exception:  # noqa: BLE001  # whatever it is, all else is told
            _log.warning("device_not_seen", exc_info=True)
