"""A worker: the machinery around its life.

One thread owns the life and takes messages, one after another, from whoever sees something of the
process; nobody else writes it. What the messages mean is decided in `lifecycle.py`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from mysticanvas import logs, processes
from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.health import Health, WorkerState, WorkerStatus
from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.orchestrator.supervisor import alerts, deadlines, messages
from mysticanvas.orchestrator.supervisor.client import (
    Unreached,
    WorkerBroken,
    WorkerClient,
    WorkerLost,
)
from mysticanvas.orchestrator.supervisor.deadlines import Deadlines
from mysticanvas.orchestrator.supervisor.ending import Ending
from mysticanvas.orchestrator.supervisor.launcher import Launch
from mysticanvas.orchestrator.supervisor.lifecycle import Life, step
from mysticanvas.orchestrator.supervisor.seams import REAL, Seams
from mysticanvas.orchestrator.supervisor.watch import Watch

_log = logs.get(__name__)
_TICK_S = 1.0
_SHORT_TICK_S = 0.05
_POLL_S = 0.02
_GONE_S = 20.0


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
        self._life = Life()
        self._watch: Watch | None = None
        # Never ends before the orchestrator does: the death signal of the child hangs on it.
        self._thread = threading.Thread(target=self._run, name=f"worker-{launch.kind}", daemon=True)

    @property
    def status(self) -> WorkerStatus:
        """The worker as it is now."""
        return self._status(self._life)

    def start(self, on_demand: bool = False) -> None:
        """Start the process, in the background.

        Args:
            on_demand: leave that to whoever wants the first one.
        """
        if not on_demand:
            self.tell(messages.Start())
        self._thread.start()

    def ask_to_end(self) -> None:
        """Have the process end, for good, and do not wait for it."""
        self.tell(messages.Stop(self._stop_timeout_s))

    def stop(self) -> None:
        """End the process and return when it is gone."""
        self.ask_to_end()
        if self._thread.is_alive():
            self._thread.join()

    def reset(self) -> None:
        """Forget the failures, and start a process at once if there is none."""
        self.tell(messages.Reset())

    def retire(self, why: str, timeout_s: float) -> bool:
        """End the process for its memory; the next who wants one has it started.

        Args:
            why: to stand behind `the image worker`.
            timeout_s: seconds to wait for its end.

        Returns:
            Whether there is no process now.
        """
        self.tell(messages.Retire(why))
        with self._changed:
            return self._changed.wait_for(lambda: self._life.process is None, timeout_s)

    def drop_context(self) -> None:
        """Have a language model's context given back; returns when everybody can see that.

        Raises:
            WorkerLost: the process does not answer.
            MystiCanvasError: it will not.
        """
        lease = self.lease(_GONE_S)
        parts = tuple(lease.client.drop_context())
        process = self._life.process
        lease.ended(None if process is None else process.held, parts)

        def seen() -> bool:
            process = self._life.process
            return process is None or process.memory_parts == parts

        with self._changed:
            self._changed.wait_for(seen, _GONE_S)

    def want(self) -> None:
        """Have the process started if it waits for that; for a job, `lease` does."""
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
        self.want()
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._life.available:
                self._refuse_if_broken()
                left_s = deadline - time.monotonic()
                if left_s <= 0 or self._life.stopping:
                    raise Unreached(f"the {self.kind} worker does not start{self._because()}")
                self._changed.wait(left_s)
            watch = self._watch
        assert watch is not None
        assert watch.client is not None
        return Lease(self, watch, watch.client)

    def _refuse_if_broken(self) -> None:
        life = self._life
        if life.broken and life.retry_at is not None and life.retry_at > time.monotonic():
            raise WorkerBroken(
                f"the {self.kind} worker has failed {len(life.history.failures)} times in a row"
                f"{self._because()}"
            )

    def _because(self) -> str:
        return f": it {self._life.last_error}" if self._life.last_error else ""

    def wait_gone(self, watch: Watch, timeout_s: float) -> str | None:
        """How a process ended; None if it has not in time."""

        def gone() -> bool:
            return self._life.number != watch.number or self._life.process is None

        with self._changed:
            return self._life.last_error if self._changed.wait_for(gone, timeout_s) else None

    def wait_released(self, watch: Watch, timeout_s: float) -> None:
        """Wait until it is known that a process holds no model, or is gone."""

        def released() -> bool:
            process = self._life.process
            return self._life.number != watch.number or process is None or process.held is None

        with self._changed:
            self._changed.wait_for(released, timeout_s)

    def wait_seen(self, watch: Watch, device: DeviceMemory | None, timeout_s: float) -> None:
        """Wait until it is known that a process has seen its device like that, or is gone."""

        def seen() -> bool:
            process = self._life.process
            return self._life.number != watch.number or process is None or process.device == device

        with self._changed:
            self._changed.wait_for(seen, timeout_s)

    def _run(self) -> None:
        while not (self._life.stopping and self._life.state is WorkerState.STOPPED):
            try:
                self._take(self._next())
                # After every message: a process that chatters must not put off its own deadlines.
                self._take(messages.Tick())
            # Whatever one message meets, the process hangs on this thread.
            except Exception:  # noqa: BLE001
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
        if _shown(before) != _shown(life):
            self._listener.status(self._status(life))
        for effect in effects:
            self._carry_out(effect)

    def _carry_out(self, effect: messages.Effect) -> None:
        match effect:
            case messages.Spawn(number):
                self._spawn(number)
            case messages.Signal(pid, how):
                processes.kill_group(pid, how)
            case messages.Prepare():
                if self._seams.spare is not None:
                    self._seams.spare.prepare(self._launch)
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
            started = launch(self._launch)
        except OSError as error:
            self._take(messages.Exited(number, Ending(None, str(error))))
            return
        self._take(messages.Spawned(number, started.process.pid))
        self._watch = Watch(number, started, self.tell, self._quiet_s, self._seams.free_mib)

    def _quiet_s(self) -> float:
        """Seconds since the job that runs was heard of."""
        process = self._life.process
        work = None if process is None else process.work
        return float("inf") if work is None else time.monotonic() - work.since

    def _status(self, life: Life) -> WorkerStatus:
        process = life.process
        held = None if process is None else process.held
        return WorkerStatus(
            kind=self.kind,
            pid=None if process is None else process.pid,
            state=life.state,
            importing=process is not None and process.importing,
            restarts=life.restarts,
            preset=None if held is None else held.preset,
            memory=0.0 if process is None else processes.memory_mib(process.pid),
            base=None if process is None else process.base_mib,
            memory_parts=[] if process is None else list(process.memory_parts),
            device=None if process is None else process.device,
            device_kind=None if process is None else process.device_kind,
            model=None if held is None else held.digest,
            last_error=life.last_error,
            retry_s=_retry_s(life),
        )


class Lease:
    """A process that is lent to one job, and what is said of it meanwhile."""

    def __init__(self, worker: Worker, watch: Watch, client: WorkerClient) -> None:
        self.client = client
        self._worker = worker
        self._watch = watch

    def begun(self, held: messages.Held) -> None:
        """Say that a job with this model runs on it."""
        self._worker.tell(messages.Begun(self._watch.number, held))

    def progressed(self, stage: str, step: int) -> None:
        """Say how far the job is."""
        self._worker.tell(messages.Progressed(self._watch.number, stage, step))

    @property
    def gone(self) -> bool:
        """Whether the process has ended."""
        return self._watch.gone.is_set()

    def look(self) -> None:
        """Have what is known of the process brought up to date, as it is only now and then; returns
        when everybody can see it.

        Raises:
            WorkerLost: it does not answer.
        """
        health = self.client.health(_GONE_S)
        self._worker.tell(messages.Beat.of(self._watch.number, health, None))
        self._worker.wait_seen(self._watch, health.device, _GONE_S)

    def ended(self, held: messages.Held | None, parts: Sequence[MemoryPart] = ()) -> None:
        """Say that nothing runs on it, and which model it holds, in which parts of memory."""
        self._worker.tell(messages.Ended(self._watch.number, held, tuple(parts)))

    def released(self) -> None:
        """Say that it holds no model any more; returns when everybody can see that."""
        self.ended(None)
        self._worker.wait_released(self._watch, _GONE_S)

    def ending(self, timeout_s: float) -> str | None:
        """How the process ended; None if it has not in time."""
        return self._worker.wait_gone(self._watch, timeout_s)

    def distrust(self, why: str) -> str:
        """End the process, whatever it does, and wait until it is gone; how it ended."""
        self._worker.tell(messages.Distrusted(self._watch.number, why))
        return self._worker.wait_gone(self._watch, _GONE_S) or why

    def settle(self, timeout_s: float) -> Health:
        """Wait until a cancelled batch has really ended; how the process is then. One that hangs on
        is ended.

        Raises:
            WorkerLost: the process is gone.
        """
        deadline = time.monotonic() + timeout_s
        while (health := self._health(deadline - time.monotonic())) is None or (
            health.state is WorkerState.BUSY
        ):
            if time.monotonic() > deadline:
                raise WorkerLost(self.distrust("did not stop a cancelled job in time"))
            time.sleep(_POLL_S)
        return health

    def _health(self, timeout_s: float) -> Health | None:
        """How the process is; None if it does not answer in time."""
        if self._watch.gone.is_set():
            raise WorkerLost("it ended")
        try:
            return self.client.health(max(_POLL_S, timeout_s))
        except WorkerLost:
            return None


def _pause_s(life: Life) -> float:
    """Seconds until time itself may be news."""
    waits = life.state in (WorkerState.STOPPING, WorkerState.FAILED) and not life.broken
    return _SHORT_TICK_S if waits or life.owed else _TICK_S


def _shown(life: Life) -> tuple[object, ...]:
    """What listeners are told of: not every second's memory, but what the model holds."""
    process = life.process
    identity = None if process is None else (process.pid, process.held, process.memory_parts)
    return life.state, identity, life.restarts, life.broken


def _retry_s(life: Life) -> float | None:
    if not life.broken or life.retry_at is None:
        return None
    return max(0.0, life.retry_at - time.monotonic())
