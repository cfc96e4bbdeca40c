"""Memory that was given back, and is waited for until the device has it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from mysticanvas import logs
from mysticanvas.contracts.plan import Action
from mysticanvas.contracts.vram import VramStatus

MEMORY_BACK_S = 5.0
"""A device may give memory back late; after so long, the plan is made with what is there."""
TICK_S = 0.25
"""Between two looks."""
_BACK = 0.9
"""Of what an unloading gives back: others take and give meanwhile."""
_log = logs.get(__name__)


def wait(before: VramStatus, unloads: Sequence[Action], memory: Callable[[], VramStatus]) -> None:
    """Wait until the device has the memory again, as far as it ever will.

    Args:
        before: who had what.
        memory: who has what now.
    """
    # What was only promised to it, or not imported yet, does not come back.
    has = {each.worker: each.mib for each in before.holdings}
    back = sum(min(each.frees_mib, has.get(each.worker, 0.0)) for each in unloads)
    expected = before.device.free_mib + _BACK * back
    deadline = time.monotonic() + MEMORY_BACK_S
    while (free := memory().device.free_mib) < expected:
        if time.monotonic() >= deadline:
            _log.warning("memory_not_given_back", missing_mib=round(expected - free))
            return
        time.sleep(TICK_S)
