"""A model that is let go, and was not used for long, leaves then."""

from __future__ import annotations

import time
from typing import Any

from dispatching import WAIT_S, Submit

from mysticanvas.contracts.vram import Unloaded
from mysticanvas.orchestrator.queue.dispatcher import Dispatcher
from mysticanvas.orchestrator.queue.transitions import Transitions


def test_a_model_whose_time_is_over_leaves_when_it_is_no_longer_pinned(
    dispatcher: Dispatcher,
    transitions: Transitions,
    unloads: list[Unloaded],
    submit: Submit,
    reached: Any,
) -> None:
    dispatcher._keep_alive_s = 0.0
    dispatcher._pins.set("tiny", True)
    dispatcher.start()
    reached(submit("a castle"), "succeeded")
    deadline = time.monotonic() + WAIT_S
    while not transitions._idle and time.monotonic() < deadline:
        time.sleep(0.01)
    assert unloads == []
    begun = time.monotonic()
    dispatcher._pins.set("tiny", False)
    while not unloads and time.monotonic() < begun + WAIT_S / 6:
        time.sleep(0.01)
    assert [each.reason for each in unloads] == ["because it was not used for 0 s"]
