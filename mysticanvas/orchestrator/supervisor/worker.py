"""A worker: the machinery around its life.

One thread owns the life and takes messages, one after another, from whoever sees something of the
process; nobody else writes it. What the messages mean is decided in `lifecycle.py`.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from mysticanvas import logs, processes
from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.health import Reserve, WorkerState, WorkerStatus
from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.errors import MystiCanvasError
from mysticanvas.orchestrator.ending import Ending
from mysticanvas.orchestrator.supervisor import alerts, deadlines, messages, status
from mysticanvas.orchestrator.supervisor.client import Unreached, WorkerBroken, WorkerLost
from mysticanvas.orchestrator.supervisor.deadlines import Deadlines
from mysticanvas.orchestrator.supervisor.launcher import Launch, Started
from mysticanvas.orchestrator.supervisor.lease import GONE_S, Lease
from mysticanvas.orchestrator.supervisor.lifecycle import Life, step
from mysticanvas.orchestrator.supervisor.seams import REAL, Seams
from mysticanvas.orchestrator.supervisor.watch import Watch

_log = logs.get(__name__)
_TICK_S = 1.0
_SHORT_TICK_S = 0.05
_LOOK_S = 1.0


class Listener(NamedTuple):
    """Who hears of changes; called on the worker's thread, and must not block."""

    status: Callable[[WorkerStatus], None]
    alert: Callable[[Alert], None]


class Worker:
    """Keeps one process of a kind running until `stop`.

    Args:
        launch: how to start it.
        listener: who hears of it.
        stop_timeout_s: seconds between the request to end and the kill.
        limits: when it is taken to hang.
        seams: other ways to start processes and to see memory.
    """

    def __init__(
        self,
        launch: Launch,
        listener: Listener,
        stop_timeout_s: float,
        limits: Deadlines = deadlines.USUAL,
        seams: Seams = REAL,
    ) -> None:
        self.kind = launch.kind
        self._launch = launch
        self._listener = listener
        self._stop_timeout_s = stop_timeout_s
        self._limits = limits
        self._seams = seams
        self._inbox: queue.SimpleQueue[messages.Message] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._life = Life(device_kind=launch.device_kind)
        self._watch: Watch | None = None
        self._ending = False
        # Never ends before the orchestrator does: the death signal of the child hangs on it.
        self._thread = threading.Thread(target=self._run, name=f"worker-{launch.kind}", daemon=True)

    @property
    def status(self) -> WorkerStatus:
        """The worker as it is now."""
        return status.of(self.kind, self._life, self._reserve)

    @property
    def broken(self) -> bool:
        """Whether it has failed too often to be started now."""
        return _is_broken(self._life)

    def start(self, on_demand: bool = False, before: DeviceKind | None = None) -> None:
        """Start the process, in the background.

        Args:
            on_demand: leave that to whoever wants the first one.
            before: what its processes computed on in an earlier orchestrator, if that is known.
        """
        self._launch = self._launch._replace(earlier=before)
        if not on_demand:
            self.want()
        self._thread.start()

    def ask_to_end(self) -> None:
        """Have the process end, for good, and do not wait for it."""
        with self._changed:
            # For who waits for a process: our thread may be with a launcher that blocks.
            self._ending = True
            self._changed.notify_all()
        self.tell(messages.Stop(self._stop_timeout_s))

    def stop(self, timeout_s: float | None = None) -> None:
        """End the process and return when it is gone. A launcher that blocks is left behind.

        Args:
            timeout_s: seconds to wait for that; by default as long as it may take.
        """
        self.ask_to_end()
        if self._thread.is_alive():
            self._thread.join(self._stop_timeout_s + GONE_S if timeout_s is None else timeout_s)
        if self._thread.is_alive():
            # What it would still start ends with us, as any worker does.
            _log.error("worker_not_stopped", kind=self.kind)

    def reset(self) -> None:
        """Forget the failures, and start a process at once if there is none."""
        self.tell(messages.Reset())

    def retire(self, why: str, timeout_s: float) -> bool:
        """End the process for its memory; the next who wants one has it started.

        Args:
            why: to stand behind `the image worker`.
            timeout_s: seconds to wait for its end.

        Returns:
            Whether it is gone, or there was none.
        """
        number = self._life.number
        self.tell(messages.Retire(why))
        with self._changed:
            return self._changed.wait_for(lambda: self._is_gone(number), timeout_s)

    def drop_context(self) -> None:
        """Have a language model's context given back; returns when everybody can see that.

        Raises:
            WorkerLost: the process does not answer.
            MystiCanvasError: it will not.
        """
        lease = self.lease(GONE_S)
        parts = tuple(lease.client.drop_context())
        process = self._life.process
        lease.ended(None if process is None else process.held, parts)
        self.catch_up()

    def look(self) -> None:
        """Have what is known of the process brought up to date; returns when everybody can see it.
        Harmless if there is none, or it does not answer at once."""
        watch = self._watch
        if watch is not None and watch.client is not None and not watch.gone.is_set():
            with contextlib.suppress(WorkerLost, MystiCanvasError):
                Lease(self, watch, watch.client).look(_LOOK_S)

    def want(self) -> None:
        """Have a process started if there is none, as soon as there can be one; for a job, `lease`
        does."""
        self.tell(messages.Wanted())

    def tell(self, message: messages.Message) -> None:
        """Hand a message to the thread that decides."""
        self._inbox.put(message)

    def lease(self, timeout_s: float) -> Lease:
        """The process, for a job, once it answers and its device has its memory back.

        Raises:
            WorkerBroken: it has failed too often to be started now.
            Unreached: it did not answer in time, or is being stopped.
        """
        with self._changed:
            self._wait_until(lambda: self._life.available, timeout_s)
            watch = self._watch
        assert watch is not None
        assert watch.client is not None
        return Lease(self, watch, watch.client)

    def computes_on(self, timeout_s: float) -> DeviceKind | None:
        """What its processes compute on, once one has said so; None for an engine that does not.

        Raises:
            WorkerBroken, Unreached: none has said anything in time, as for `lease`.
        """

        def told() -> bool:
            process = self._life.process
            has_engine = process is not None and process.base_mib is not None
            return has_engine or self._life.device_kind is not None

        with self._changed:
            self._wait_until(told, timeout_s)
            return self._life.device_kind

    def _wait_until(self, there: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not there():
            self._refuse_if_broken()
            left_s = deadline - time.monotonic()
            if left_s <= 0 or self._ending:
                raise Unreached(f"the {self.kind} worker does not start{self._because()}")
            # Each time: what was wanted may have been retired meanwhile, or have failed too often.
            if not self._life.wanted:
                self.want()
            self._changed.wait(left_s)

    def _refuse_if_broken(self) -> None:
        life = self._life
        if _is_broken(life):
            raise WorkerBroken(
                f"the {self.kind} worker has failed {len(life.history.failures)} times in a row"
                f"{self._because()}"
            )

    def _because(self) -> str:
        return f": it {self._life.last_error}" if self._life.last_error else ""

    def wait_gone(self, watch: Watch, timeout_s: float) -> str | None:
        """How a process ended; None if it has not in time."""
        with self._changed:
            gone = self._changed.wait_for(lambda: self._is_gone(watch.number), timeout_s)
            return self._life.last_error if gone else None

    def _is_gone(self, number: int) -> bool:
        """Whether a process has ended; another may have followed it."""
        return self._life.number != number or self._life.process is None

    def catch_up(self) -> None:
        """Wait until everybody can see what was told before."""
        asked = messages.CaughtUp(threading.Event())
        self.tell(asked)
        with self._changed:
            # After its last message nothing is taken, and what can be seen stays as it is.
            self._changed.wait_for(lambda: asked.seen.is_set() or self._is_over, GONE_S)

    @property
    def _is_over(self) -> bool:
        return self._life.stopping and self._life.state is WorkerState.STOPPED

    def _run(self) -> None:
        while not self._is_over:
            try:
                self._take(self._next())
                # After every message: a process that chatters must not put off its own deadlines.
                self._take(messages.Tick())
            # Whatever one message meets, a SystemExit even: the process hangs on this thread.
            except BaseException:  # noqa: BLE001
                _log.exception("worker_message_failed", kind=self.kind)
        if self._seams.spare is not None:
            self._seams.spare.close()

    def _next(self) -> messages.Message:
        """The next message, or what time itself has to say."""
        try:
            return self._inbox.get(timeout=_pause_s(self._life))
        except queue.Empty:
            if not self._life.owed:
                return messages.Tick()
            on_gpu = self._life.expected_gpu_mib is not None
            gpu_free_mib = self._seams.gpu_free_mib() if on_gpu else None
            return messages.MemorySeen(self._seams.free_mib(), gpu_free_mib)

    def _take(self, message: messages.Message) -> None:
        before = self._life
        life, effects = step(before, message, time.monotonic(), self._limits)
        with self._changed:
            self._life = life
            self._changed.notify_all()
        if status.shown(before) != status.shown(life):
            self._listener.status(status.of(self.kind, life, self._reserve))
        for effect in effects:
            self._carry_out(effect)

    def _carry_out(self, effect: messages.Effect) -> None:
        match effect:
            case messages.Spawn(number):
                self._spawn(number)
            case messages.Signal(pid, how):
                processes.kill_group(pid, how)
            case messages.Prepare():
                spare = self._seams.spare
                if spare is not None and spare.prepare(self._next_launch):
                    self._listener.status(self.status)
            case messages.CaughtUp(seen):
                with self._changed:
                    seen.set()
                    self._changed.notify_all()
            case messages.Report():
                _log.warning(
                    "worker_ended",
                    kind=self.kind,
                    pid=effect.pid,
                    reason=effect.reason,
                    last_words=effect.ending.last_lines,
                )
                self._listener.alert(alerts.of(effect, self.kind, datetime.now(UTC)))

    def _spawn(self, number: int) -> None:
        try:
            spare = self._seams.spare
            launch = self._seams.start if spare is None else spare.launch
            started = launch(self._next_launch)
            self._watch = self._watching(number, started)
        # Whatever it is: without news of it, the worker would be starting for ever.
        except BaseException as error:  # noqa: BLE001
            if not isinstance(error, OSError):
                _log.exception("worker_start_failed", kind=self.kind)
            self._take(messages.Exited(number, Ending(None, str(error))))
            return
        # What the watch has seen already waits behind this.
        self._take(messages.Spawned(number, started.process.pid))

    @property
    def _next_launch(self) -> Launch:
        return self._launch.after(self._life.device_kind)

    def _watching(self, number: int, started: Started) -> Watch:
        try:
            return Watch(number, started, self.tell, self._quiet_s, self._seams.free_mib)
        except RuntimeError:
            started.spawned.kill()
            raise

    @property
    def _reserve(self) -> Reserve | None:
        return None if self._seams.spare is None else self._seams.spare.reserve

    def _quiet_s(self) -> float:
        """Seconds since the job that runs was heard of; an engine is asked for its first word."""
        process = self._life.process
        work = None if process is None or process.base_mib is None else process.work
        return float("inf") if work is None else time.monotonic() - work.since


def _is_broken(life: Life) -> bool:
    return life.broken and life.retry_at is not None and life.retry_at > time.monotonic()


def _pause_s(life: Life) -> float:
    """Seconds until time itself may be news."""
    delayed = life.state is WorkerState.FAILED and life.wanted and not life.broken
    waits = life.state is WorkerState.STOPPING or delayed or life.owed
    return _SHORT_TICK_S if waits else _TICK_S
