"""The stop button of a notebook in a cell with an `await`.

A kernel answers it by cancelling the cell's task, without a word, and only once its loop wakes up
for another reason: while the cell blocks, not at all. A cell that awaits one of our jobs is told
what becomes of that instead, and what blocks is interrupted as in cells without an `await`. No
cancellation is turned into anything else: `asyncio.timeout` and others go on working by them.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from mysticanvas.errors import Stopped
from mysticanvas.session import notebook

T = TypeVar("T")

_CELL = "run_cell_async"
"""The coroutine that IPython runs a cell as; what a cell awaits in a task of its own is another."""


async def heeded(waiting: Coroutine[Any, Any, T], stopped: Callable[[], Stopped]) -> T:
    """Await something; in a cell, the stop button ends that at once.

    Args:
        stopped: makes what is raised then.
    """
    if not in_cell():
        return await waiting
    loop = asyncio.get_running_loop()
    task = loop.create_task(waiting)
    pressed = False

    def press(*_: object) -> None:
        nonlocal pressed
        pressed = True
        # This wakes the loop, which a signal alone does not.
        loop.call_soon_threadsafe(task.cancel)

    before = signal.signal(signal.SIGINT, press)
    try:
        result = await task
    except asyncio.CancelledError:
        if pressed:
            raise stopped() from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    # It may have come as the task ended, with nothing left to cancel.
    if pressed:
        raise stopped()
    return result


@contextlib.contextmanager
def interrupts() -> Iterator[None]:
    """Have the stop button raise `KeyboardInterrupt` in what blocks here."""
    if not in_cell():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def in_cell() -> bool:
    """Whether the task that runs is that of a notebook's cell, which has an `await`.

    An error of the stop button must not come from any other: asyncio lets it out of the loop, and
    the kernel would end.
    """
    if not notebook.in_notebook() or threading.current_thread() is not threading.main_thread():
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs
        return False
    return task is not None and getattr(task.get_coro(), "__name__", "") == _CELL
