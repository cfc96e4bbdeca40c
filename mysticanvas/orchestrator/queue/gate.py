"""Which of the jobs whose time has come may begin."""

from __future__ import annotations

from collections.abc import Callable, Collection

from mysticanvas.store import Store

_PAUSED = "queue.paused"
_LOOK_S = 1.0
"""How often a lane whose jobs are kept back looks whether they still are."""


class Gate:
    """Not thread-safe: the transitions, which own it, have a lock.

    Args:
        store: whose jobs wait; it keeps whether the queue is paused.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._paused = store.facts.get(_PAUSED) is True
        self._draining = False
        self._in_vain: dict[str, Callable[[], bool]] = {}

    @property
    def paused(self) -> bool:
        """Whether users have the queue begin no job."""
        return self._paused

    def pause(self, paused: bool) -> None:
        """Let no job begin, or let them begin again; lasts over a restart."""
        self._store.facts.set(_PAUSED, paused)
        self._paused = paused

    def drain(self) -> None:
        """Let no job begin any more."""
        self._draining = True

    def keep_back(self, kinds: Collection[str], in_vain: Callable[[], bool]) -> None:
        """Let no job of these kinds begin that nobody waits for, as long as it would be in vain.

        Args:
            in_vain: whether it would be; must not block.
        """
        self._in_vain |= dict.fromkeys(kinds, in_vain)

    def lets(self, kind: str, background: bool) -> bool:
        """Whether a job may begin."""
        if self._paused or self._draining:
            return False
        in_vain = self._in_vain.get(kind)
        return not background or in_vain is None or not in_vain()

    def lets_next(self, kinds: Collection[str]) -> bool:
        """Whether the next job of these kinds may begin, should its time have come: the first that
        somebody waits for, if there is one."""
        first = self._store.jobs.next_up(kinds)
        return first is not None and self.lets(first.kind, first.background)

    def due_s(self, kinds: Collection[str]) -> float | None:
        """Seconds until a job of these kinds may begin; None if none is foreseen."""
        if self._paused or self._draining:
            return None
        due_s = self._store.jobs.next_due_s(kinds)
        return _LOOK_S if due_s == 0.0 and not self.lets_next(kinds) else due_s
