"""Has language models leave the device when nobody has used them for a while."""

from __future__ import annotations

import functools
from collections.abc import Collection

from mysticanvas.orchestrator.arbiter.arbiter import Arbiter
from mysticanvas.orchestrator.periodic import Periodic

_EVERY_S = 5.0


class KeepAlive(Periodic):
    """Ends workers that nothing else looks after.

    Args:
        arbiter: knows who is used.
        kinds: of workers; those with a queue of their own are looked after there.
        keep_alive_s: seconds without use after which a model leaves.
    """

    def __init__(self, arbiter: Arbiter, kinds: Collection[str], keep_alive_s: float) -> None:
        super().__init__("keep-alive", min(_EVERY_S, keep_alive_s))
        self._arbiter = arbiter
        self._kinds = kinds
        self._keep_alive_s = keep_alive_s

    def look(self) -> None:
        for kind in self._arbiter.idle(self._keep_alive_s):
            if kind in self._kinds:
                self._arbiter.retire(
                    kind,
                    f"was not used for {self._keep_alive_s:g} s",
                    functools.partial(self._is_idle, kind),
                    self._stopping.is_set,
                )

    def _is_idle(self, kind: str) -> bool:
        return kind in self._arbiter.idle(self._keep_alive_s)
