"""Which models the user wants to stay, by the names of their presets; for as long as we live."""

from __future__ import annotations

import threading


class Pins:
    """Names of presets, from any thread."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def __contains__(self, preset: object) -> bool:
        return preset in self._names

    def set(self, preset: str, pinned: bool) -> None:
        """Have the model of a preset stay, or go when it is its turn."""
        with self._lock:
            self._names = self._names | {preset} if pinned else self._names - {preset}

    def clear(self, preset: str | None = None) -> None:
        """Have one stay no longer; without a name, all."""
        with self._lock:
            self._names = frozenset() if preset is None else self._names - {preset}
