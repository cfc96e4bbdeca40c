"""Processes that make thumbnails, as many as there is work for; each is owned by one thread."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from concurrent.futures import Future
from pathlib import Path

from mysticanvas import logs
from mysticanvas.contracts.thumbnails import ThumbnailAnswer, ThumbnailOrder
from mysticanvas.errors import Conflict, StoreError
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator.helper import Helper, HelperLost

IN_FLIGHT = 16
"""Orders that a process is given ahead: what it syncs to disk together."""
IDLE_S = 30.0
"""Seconds without an order after which a process is ended."""
ANSWER_S = 60.0
"""Seconds without any answer after which a process is taken to hang."""
_POLL_S = 0.05
LOSSES = 2
"""Processes that may be lost over a picture before it is taken to be the picture's doing."""

_MODULE = "mysticanvas.workers.thumbnails"
_log = logs.get(__name__)


class Task:
    """An order, whoever waits for its answer, and how many processes were lost over it."""

    def __init__(self, order: ThumbnailOrder) -> None:
        self.order = order
        self.answer: Future[ThumbnailAnswer] = Future()
        self.losses = 0


class Backlog:
    """Orders that no process has yet. Urgent ones are first; a suspect is given out alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._urgent: deque[Task] = deque()
        self._normal: deque[Task] = deque()
        self._suspects: deque[Task] = deque()
        self.closed = False

    def put(self, task: Task) -> None:
        """Take a task in.

        Raises:
            Conflict: it is closed.
        """
        with self._changed:
            if self.closed:
                raise Conflict("The orchestrator is stopping.")
            if task.losses:
                self._suspects.append(task)
            else:
                (self._urgent if task.order.urgent else self._normal).append(task)
            self._changed.notify()

    def hurry(self, task: Task) -> None:
        """Have a task come before those that nobody waits for, if it is still here."""
        with self._changed:
            if task in self._normal:
                self._normal.remove(task)
                self._urgent.append(task)

    def take(self, alone: bool, timeout_s: float | None) -> Task | None:
        """The next task; None if none comes in time, or it is closed.

        Args:
            alone: whether whoever takes it has nothing else to do.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self._next(alone), timeout_s)
            found = None if self.closed else self._next(alone)
            return found.popleft() if found else None

    def close(self) -> None:
        """Give out nothing any more."""
        with self._changed:
            self.closed = True
            left = [*self._urgent, *self._normal, *self._suspects]
            self._changed.notify_all()
        for task in left:
            _refuse(task)

    def _next(self, alone: bool) -> deque[Task] | None:
        queues = (self._urgent, self._suspects if alone else None, self._normal)
        return next((queue for queue in queues if queue), None)


class Pool:
    """Makes thumbnails in up to `size` processes, which start when they are needed.

    Args:
        home: what the paths of orders are relative to.
        log: file for what processes put out.
    """

    def __init__(self, home: Path, log: Path, size: int) -> None:
        self.capacity = size * IN_FLIGHT
        """Orders that are at work at a time; more than that just wait."""
        self._backlog = Backlog()
        self._lock = threading.Lock()
        self._making: dict[str, Task] = {}
        file = LogFile(log)
        self._keepers = [_Keeper(self._backlog, home, file) for _ in range(size)]

    @property
    def pids(self) -> list[int]:
        """The processes that run now."""
        return [keeper.pid for keeper in self._keepers if keeper.pid is not None]

    def submit(self, order: ThumbnailOrder) -> Future[ThumbnailAnswer]:
        """Have thumbnails made; the future holds the answer, or a MystiCanvasError.

        A picture that is being made for somebody else is not made twice.

        Raises:
            Conflict: the pool is closed.
        """
        with self._lock:
            task = self._making.get(order.image_id)
            if task is None:
                task = self._making[order.image_id] = Task(order)
                task.answer.add_done_callback(lambda _: self._making.pop(order.image_id, None))
                self._backlog.put(task)
            elif order.urgent:
                self._backlog.hurry(task)
            return task.answer

    def close(self) -> None:
        """End all processes; what they were at is refused."""
        self._backlog.close()
        for keeper in self._keepers:
            keeper.close()


class _Keeper:
    """A thread and its process. The thread lasts as long as the pool: its process needs that."""

    def __init__(self, backlog: Backlog, home: Path, log: LogFile) -> None:
        self._backlog = backlog
        self._home, self._log = home, log
        self._helper: Helper[ThumbnailAnswer] | None = None
        self._flight: dict[str, Task] = {}
        self._thread = threading.Thread(target=self._run, name="thumbnails", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        helper = self._helper
        return None if helper is None else helper.pid

    def close(self) -> None:
        # It may be about to start another process, so once is not enough.
        while self._thread.is_alive():
            if (helper := self._helper) is not None:
                helper.kill()
            self._thread.join(_POLL_S)

    def _run(self) -> None:
        while not self._backlog.closed:
            try:
                self._fill()
                if self._flight and self._helper is not None:
                    self._take_in(self._helper.receive(ANSWER_S))
                else:
                    self._end()
            except HelperLost as lost:
                self._lose(lost)
            # Whatever it is: without this thread, nobody who waits would ever be answered. It
            # counts as from outside, since it says nothing of a picture.
            except Exception as error:  # noqa: BLE001
                _log.exception("thumbnail_keeper_failed")
                self._lose(HelperLost(f"{type(error).__name__}: {error}", killed=True))
        self._lose(HelperLost("the orchestrator is stopping"))

    def _fill(self) -> None:
        """Give the process what it can be given; waits only if it has nothing to do."""
        while len(self._flight) < IN_FLIGHT and not any(
            task.losses for task in self._flight.values()
        ):
            idle_s = None if self._helper is None else IDLE_S
            task = self._backlog.take(not self._flight, 0 if self._flight else idle_s)
            if task is None:
                return
            self._give(task)

    def _give(self, task: Task) -> None:
        self._flight[task.order.image_id] = task
        try:
            self._helper = self._helper or Helper(
                _MODULE,
                ["--home", str(self._home)],
                {"MALLOC_ARENA_MAX": "2"},
                ThumbnailAnswer,
                self._log,
            )
        except OSError as error:
            raise HelperLost(f"it cannot be started: {error}") from error
        self._helper.send(task.order)

    def _take_in(self, answer: ThumbnailAnswer) -> None:
        self._flight.pop(answer.image_id).answer.set_result(answer)

    def _end(self) -> None:
        if self._helper is not None:
            self._helper.close()
            self._helper = None

    def _lose(self, lost: HelperLost) -> None:
        """End the process; what it had is tried again, one by one, to tell whose doing it was."""
        if self._helper is not None:
            self._helper.kill()
        started = self._helper is not None
        self._end()
        flight, self._flight = self._flight, {}
        for task in flight.values():
            self._after_loss(task, lost, started)

    def _after_loss(self, task: Task, lost: HelperLost, started: bool) -> None:
        if self._backlog.closed:
            _refuse(task)
            return
        _log.warning("thumbnail_process_lost", image_id=task.order.image_id, reason=str(lost))
        task.losses += 1
        if task.losses < LOSSES:
            with contextlib.suppress(Conflict):
                self._backlog.put(task)
                return
            _refuse(task)
        elif started:
            # Whoever killed it, such as a system without memory, may not do so another time.
            kind = "unread" if lost.killed else "unfit"
            why = f"the process that decodes it was lost: {lost}"
            answer = ThumbnailAnswer(image_id=task.order.image_id)
            task.answer.set_result(answer.model_copy(update={kind: why}))
        else:
            task.answer.set_exception(StoreError(f"No thumbnail can be made: {lost}."))


def _refuse(task: Task) -> None:
    task.answer.set_exception(Conflict("The orchestrator is stopping."))
