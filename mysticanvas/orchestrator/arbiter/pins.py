"""Which models the user wants to stay, by the presets that mean them; for as long as we live."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import NamedTuple, get_args

from mysticanvas.contracts.plugins import LLM_ENGINE
from mysticanvas.contracts.presets import Kind
from mysticanvas.orchestrator.supervisor.messages import Held


class _Preset(NamedTuple):
    kind: Kind
    name: str


class Pins:
    """Presets whose models stay, and what each preset meant when it was last loaded; from any
    thread. Another preset may mean the same model, which then stays under that one's name."""

    def __init__(self) -> None:
        self._pinned: frozenset[_Preset] = frozenset()
        self._meant: dict[_Preset, Held] = {}
        self._lock = threading.Lock()
        self._tell: Callable[[], None] = lambda: None

    def listen(self, tell: Callable[[], None]) -> None:
        """Have somebody called when a model may have become one that goes."""
        self._tell = tell

    def set(self, preset: str, pinned: bool, kind: Kind | None = None) -> None:
        """Have the model of a preset stay, or go when it is its turn.

        Args:
            kind: of the preset; None for those of every kind with that name.
        """
        with self._lock:
            named = {_Preset(each, preset) for each in _kinds(kind)}
            self._pinned = self._pinned | named if pinned else self._pinned - named
        self._tell()

    def clear(self, preset: str | None = None, kind: Kind | None = None) -> None:
        """Have one stay no longer; without a name, all. Those of a kind, if one is given."""
        if preset is not None:
            self.set(preset, False, kind)
            return
        kinds = _kinds(kind)
        with self._lock:
            self._pinned = frozenset(each for each in self._pinned if each.kind not in kinds)
        self._tell()

    def loaded(self, worker: str, held: Held) -> None:
        """Note what a preset means.

        Args:
            worker: kind of the one that loads it.
        """
        with self._lock:
            self._meant[_Preset(_kind(worker), held.preset)] = held

    def protecting(self, worker: str, held: Held | None, beside: str | None = None) -> str | None:
        """A preset that is pinned and means the model that a worker of that kind holds; None if
        that may go.

        Args:
            beside: a preset that does not count.
        """
        kind = _kind(worker)
        names = sorted(each.name for each in self._pinned if each.kind == kind)
        found = (each for each in names if each != beside and self.means(worker, each, held))
        return next(found, None)

    def means(self, worker: str, preset: str, held: Held | None) -> bool:
        """Whether a preset means the model that a worker of that kind holds."""
        if held is None:
            return False
        meant = self._meant.get(_Preset(_kind(worker), preset))
        return preset == held.preset or (meant is not None and meant.is_same(held))


def _kind(worker: str) -> Kind:
    """Of the presets whose models a kind of worker loads."""
    return "llm" if worker == LLM_ENGINE else "image"


def _kinds(kind: Kind | None) -> Collection[Kind]:
    return get_args(Kind) if kind is None else (kind,)
