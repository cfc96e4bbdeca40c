"""The one thread that an engine lives on, and whose turn it is.

Calls are started and ended on the event loop alone, so no lock guards them; the engine is touched
on its own thread alone.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, NoReturn, TypeVar

import structlog

from mysticanvas import errors, logs, processes
from mysticanvas.contracts.health import WorkerState
from mysticanvas.contracts.memory import DeviceKind, MemoryPart
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.logs import capture
from mysticanvas.workers.engine import Control, Engine, LosesDevice, ReportsMemory
from mysticanvas.workers.glimpse import Glimpse

T = TypeVar("T")
Work = Callable[[Engine, Control], T]

_GRACE_S = 0.25
"""A caller who closes a stream and comes back can be faster than the news of the closing."""

_GROWN_MIB = 32.0

_log = logs.get(__name__)


class Call(Generic[T]):
    """One use of the engine, from when it is granted until its thread is done with it."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.ending = asyncio.Event()
        self.result: asyncio.Future[T]

    def cancel(self) -> None:
        """Ask the work to stop at its next step."""
        self.control.cancelled = True
        self.ending.set()

    async def wait(self) -> T:
        """The result. Giving up the wait does not touch the work, which no one can interrupt."""
        return await asyncio.shield(self.result)


class EngineExecutor:
    """Runs an engine's calls one at a time; must be made and used on a running event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._engine: Future[Engine] | None = None
        self._call: Call[Any] | None = None
        self._stopping = False
        self._last_error: Problem | None = None
        self._base_mib: float | None = None
        self._glimpse = Glimpse()
        self._resident_mib = 0.0
        """The least that the process had since its heap was last given back."""

    def begin(self, create: Callable[[], Engine]) -> None:
        """Make the engine on its thread, which may take seconds of imports."""

        def make() -> Engine:
            engine = _logged(create)
            self._base_mib = processes.memory_mib()
            return engine

        self._engine = self._thread.submit(make)

    @property
    def state(self) -> WorkerState:
        """Where the engine is; `failed` means that it could not be imported."""
        if self._stopping:
            return WorkerState.STOPPING
        if self._engine is None or not self._engine.done():
            return WorkerState.STARTING
        if self._engine.exception() is not None:
            return WorkerState.FAILED
        return WorkerState.READY if self._call is None else WorkerState.BUSY

    @property
    def problem(self) -> Problem | None:
        """What went wrong last: at the import, or in a call."""
        if self._engine is None or not self._engine.done():
            return None
        failure = self._engine.exception()
        return self._last_error if failure is None else Problem.of(failure)

    @property
    def models(self) -> list[str]:
        """Digests of the models that are loaded."""
        engine = self._made
        return [] if engine is None else engine.models

    @property
    def memory(self) -> list[MemoryPart]:
        """What the models hold, where the engine tells it."""
        engine = self._made
        return engine.memory if isinstance(engine, ReportsMemory) else []

    @property
    def base_mib(self) -> float | None:
        """Resident memory of the process when the engine was there and held no model."""
        return self._base_mib

    @property
    def device_kind(self) -> DeviceKind | None:
        """What models are put on, where the engine tells it."""
        # Of `SeesDevice`; to ask whether it is one has Python 3.11 read all its properties.
        kind: DeviceKind | None = getattr(self._made, "device_kind", None)
        return kind

    @property
    def is_worn(self) -> bool:
        """Whether it may compute otherwise than a new one, where the engine tells it."""
        # Of `WearsOut`, for the same reason.
        worn: bool = getattr(self._made, "is_worn", False)
        return worn

    async def device_memory(self) -> DeviceMemory | None:
        """The GPU that they are on, where the engine sees it; it is not waited for long."""
        return await self._glimpse.of(self._made)

    @property
    def _made(self) -> Engine | None:
        """The engine, once it was imported."""
        future = self._engine
        if future is None or not future.done() or future.exception() is not None:
            return None
        return future.result()

    @property
    def control(self) -> Control | None:
        """The reins of the call that runs, if one does."""
        return None if self._call is None else self._call.control

    async def start(
        self, work: Work[T], control: Control | None = None, frees: bool = False
    ) -> Call[T]:
        """Begin a call; while the engine is being imported, it waits for that.

        Args:
            frees: whether it may leave memory behind that was in use before.

        Raises:
            Conflict: another call has the engine and has not been cancelled.
        """
        while self._call is not None:
            await self._wait_for_turn(self._call)
        if self._stopping:
            raise errors.Conflict("The worker is stopping.")
        call: Call[T] = Call(control or Control())
        self._call = call
        context = contextvars.copy_context()
        call.result = asyncio.get_running_loop().run_in_executor(
            self._thread, context.run, self._work, work, call.control, frees
        )
        # Registered first, so the engine is free again before anyone sees the result.
        call.result.add_done_callback(lambda _: self._end(call))
        return call

    async def run(self, work: Work[T]) -> T:
        """A call from start to end, which may load or give back what the engine holds."""
        return await (await self.start(work, frees=True)).wait()

    async def stop(self, timeout_s: float) -> None:
        """Refuse new calls, cancel the one that runs, and wait for it at most `timeout_s`; one that
        waits for the import is not waited for."""
        self._stopping = True
        if self._call is not None:
            self._call.cancel()
            began = self._engine is not None and self._engine.done()
            await asyncio.wait([self._call.result], timeout=timeout_s if began else 0)

    async def _wait_for_turn(self, other: Call[Any]) -> None:
        if not other.control.cancelled:
            try:
                await asyncio.wait_for(other.ending.wait(), _GRACE_S)
            except TimeoutError:
                raise errors.Conflict(
                    "The worker is busy with another call.",
                    hint="Wait for it, or close its stream to cancel it.",
                ) from None
        await asyncio.wait([other.result])

    def _work(self, work: Work[T], control: Control, frees: bool) -> T:
        assert self._engine is not None, "begin() comes before the first call"
        engine = self._engine.result()
        held = engine.models
        try:
            with capture.claim(**structlog.contextvars.get_contextvars()):
                return _logged(lambda: work(engine, control))
        except Exception as error:
            if isinstance(engine, LosesDevice) and (words := engine.lost_device(error)):
                _end_process(words)
            raise
        finally:
            # Before anyone sees the result: whoever makes room next looks at what is resident.
            self._give_back(frees or engine.models != held)

    def _give_back(self, freed: bool) -> None:
        """Give back what the heap keeps, if something was freed or the process has grown: it costs
        as much as a small picture's saving, and after most jobs there is nothing to be had."""
        resident = processes.memory_mib()
        if freed or resident > self._resident_mib + _GROWN_MIB:
            processes.give_back_heap()
            self._resident_mib = processes.memory_mib()
        else:
            self._resident_mib = min(self._resident_mib, resident)

    def _end(self, call: Call[T]) -> None:
        error = call.result.exception()
        if error is not None and not isinstance(error, errors.JobCancelled):
            self._last_error = Problem.of(error)
        self._call = None
        call.ending.set()


def _end_process(last_words: str) -> NoReturn:
    logging.shutdown()
    sys.stderr.write(f"{last_words}\n")
    sys.stderr.flush()
    # Not an exit of this thread: what it would run first may wait for the device.
    os._exit(1)


def _logged(work: Callable[[], T]) -> T:
    """Run it, and leave the traceback of what nobody foresaw in the log."""
    try:
        return work()
    except errors.MystiCanvasError as error:
        _log.info("call_failed", code=error.code)
        raise
    except Exception:
        _log.exception("call_failed")
        raise
