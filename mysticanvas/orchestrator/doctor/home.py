"""What a check is given, and what it gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mysticanvas.contracts.doctor import State
from mysticanvas.contracts.plugins import PluginRecord
from mysticanvas.home import HomePaths
from mysticanvas.settings import Settings
from mysticanvas.store import Store

YOUNG_S = 900.0
"""Seconds for which a file of a running home counts as being made, and belongs to nothing yet."""
_SHOWN = 5


class Home(NamedTuple):
    """What is examined."""

    paths: HomePaths
    settings: Settings
    store: Store | None
    """The open store; None if there is none, or none that can be opened."""
    store_error: str = ""
    """Why it cannot be opened."""
    running: bool = True
    """Whether pictures may be made meanwhile."""
    plugins: Sequence[PluginRecord] = ()
    """What became of the plug-ins."""

    def settled(self, changed_at: float) -> bool:
        """Whether a file that was last changed then is no longer being made.

        Args:
            changed_at: seconds since the epoch.
        """
        return not self.running or changed_at < time.time() - YOUNG_S


class Found(NamedTuple):
    """What one check found; members as those of `contracts.doctor.Finding`."""

    state: State
    message: str
    hint: str = ""
    examples: Sequence[str] = ()


Check = Callable[[Home, bool], Found]
"""Looks at one thing; mends it if the second argument says so, and then says `repaired`."""

REPAIR = "`mysticanvas doctor --repair` mends this."


def some(names: Sequence[str]) -> list[str]:
    """The first few of them."""
    return sorted(names)[:_SHOWN]


NO_STORE = Found("ok", "Not looked at, for want of a store.")
