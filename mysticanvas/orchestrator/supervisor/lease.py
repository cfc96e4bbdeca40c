"""A worker's process in the hands of one job, or of whoever else has something to ask of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from mysticanvas.contracts.health import Health, WorkerState
from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.errors import MystiCanvasError
from mysticanvas.orchestrator.supervisor import messages
from mysticanvas.orchestrator.supervisor.client import WorkerClient, WorkerLost
from mysticanvas.orchestrator.supervisor.watch import Watch

if TYPE_CHECKING:
    from mysticanvas.orchestrator.supervisor.worker import Worker

GONE_S = 20.0
"""Seconds after which an end, or news of it, is waited for no longer."""
_ENDING_S = 1.0
_LOOK_S = 1.0
_POLL_S = 0.02
_LONG_POLL_S = 0.5


class Lease:
    """A process that is lent to one job, and what is said of it meanwhile."""

    def __init__(self, worker: Worker, watch: Watch, client: WorkerClient) -> None:
        self.client = client
        self._worker = worker
        self._watch = watch

    @contextlib.contextmanager
    def asked(self) -> Iterator[None]:
        """Say that something is asked of it meanwhile that may take it as long as a job."""
        self._worker.tell(messages.Asked(self._watch.number))
        try:
            yield
        finally:
            self._worker.tell(messages.Told(self._watch.number))

    def begun(self, held: messages.Held, times: float = 1.0) -> None:
        """Say that a job with this model runs on it, and how many times as long as one usual
        picture it may take."""
        self._worker.tell(messages.Begun(self._watch.number, held, times))

    def progressed(self, stage: str, step: int) -> None:
        """Say how far the job is."""
        self._worker.tell(messages.Progressed(self._watch.number, stage, step))

    @property
    def gone(self) -> bool:
        """Whether the process has ended."""
        return self._watch.gone.is_set()

    def look(self, timeout_s: float = GONE_S) -> None:
        """Have what is known of the process brought up to date, as it is only now and then; returns
        when everybody can see it.

        Args:
            timeout_s: seconds that it has to answer.

        Raises:
            WorkerLost: it does not answer.
        """
        health = self.client.health(timeout_s)
        self._worker.tell(messages.Beat.of(self._watch.number, health, None))
        self._worker.catch_up()

    def ended(self, held: messages.Held | None, parts: Sequence[MemoryPart] = ()) -> None:
        """Say that nothing runs on it, and which model it holds, in which parts of memory."""
        if self._watch.stood_for:
            # What it has beside that model is learned from both, and its last word may be older.
            with contextlib.suppress(WorkerLost, MystiCanvasError):
                self.look(_LOOK_S)
        self._worker.tell(messages.Ended(self._watch.number, held, tuple(parts)))

    def released(self) -> None:
        """Say that it holds no model any more; returns when everybody can see that."""
        self.ended(None)
        self._worker.catch_up()

    @contextlib.contextmanager
    def relied_on(self) -> Iterator[None]:
        """Have the process gone, should it break off or garble an answer meanwhile: what it would
        still do cannot be known."""
        try:
            yield
        except WorkerLost as lost:
            self.give_up(lost.words)
            raise

    def give_up(self, why: str) -> str:
        """Have a process gone that cannot be used; returns when it is.

        Args:
            why: what it did, to stand behind `the image worker`, should it live on.

        Returns:
            How it ended.
        """
        # Mostly it has ended by itself, which is the better reason.
        return self.ending(_ENDING_S) or self.distrust(why)

    def ending(self, timeout_s: float) -> str | None:
        """How the process ended; None if it has not in time."""
        return self._worker.wait_gone(self._watch, timeout_s)

    def distrust(self, why: str, failed: bool = True) -> str:
        """End the process, whatever it does, and wait until it is gone; how it ended.

        Args:
            failed: whether that is its fault, and is told as such.
        """
        self._worker.tell(messages.Distrusted(self._watch.number, why, failed))
        return self._worker.wait_gone(self._watch, GONE_S) or why

    def settle(self, timeout_s: float, is_needed: Callable[[], bool] = lambda: True) -> Health:
        """Wait until a cancelled batch has really ended; how the process is then. One that hangs on
        is ended, which is no failure of its own.

        Args:
            timeout_s: seconds that it has.
            is_needed: whether somebody waits for it; where nobody does, it has as long as a job
                that is not cancelled.

        Raises:
            WorkerLost: the process is gone.
        """
        began = time.monotonic()
        while True:
            waited_s = time.monotonic() - began
            health = self._health(max(_ENDING_S, timeout_s - waited_s))
            if health is not None and health.state is not WorkerState.BUSY:
                return health
            if waited_s > timeout_s and is_needed():
                why = "was still at a step of a job that was cancelled"
                raise WorkerLost(self.distrust(why, failed=False))
            # The longer it lasts, the less a moment counts.
            time.sleep(max(_POLL_S, min(_LONG_POLL_S, waited_s / 20)))

    def _health(self, timeout_s: float) -> Health | None:
        """How the process is; None if it does not answer in time.

        Raises:
            WorkerLost: it is gone. One that cannot tell how it is, is ended.
        """
        if self._watch.gone.is_set():
            raise WorkerLost("it ended")
        try:
            return self.client.health(max(_POLL_S, timeout_s))
        except WorkerLost:
            return None
        except MystiCanvasError as error:
            raise WorkerLost(self.give_up("could not tell how it is")) from error
