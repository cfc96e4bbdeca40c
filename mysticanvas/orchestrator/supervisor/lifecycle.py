"""The life of a worker as a state machine: pure.

`step` takes what happened and gives the life after it and what is to be done. Messages name the
process that they are about, by its number: what is said of an earlier one is out of date.

    stopped ──► starting ──► ready ◄──► busy
                   ▲  │        │         │
                   │  ▼        ▼         ▼
                 failed ◄── (it ended) ◄── stopping ──► stopped
"""

from __future__ import annotations

import signal
from typing import NamedTuple

from mysticanvas.contracts.health import WorkerState
from mysticanvas.contracts.memory import DeviceKind, MemoryPart
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.orchestrator.ending import Ending, in_words
from mysticanvas.orchestrator.supervisor import breaker, deadlines, messages
from mysticanvas.orchestrator.supervisor.breaker import History, Open
from mysticanvas.orchestrator.supervisor.deadlines import Deadlines, Work

NEXT: dict[WorkerState, frozenset[WorkerState]] = {
    WorkerState.STOPPED: frozenset({WorkerState.STARTING}),
    WorkerState.STARTING: frozenset({WorkerState.READY, WorkerState.STOPPING, WorkerState.FAILED}),
    WorkerState.READY: frozenset({WorkerState.BUSY, WorkerState.STOPPING, WorkerState.FAILED}),
    WorkerState.BUSY: frozenset({WorkerState.READY, WorkerState.STOPPING, WorkerState.FAILED}),
    WorkerState.STOPPING: frozenset({WorkerState.STOPPED, WorkerState.FAILED}),
    WorkerState.FAILED: frozenset({WorkerState.STARTING, WorkerState.STOPPED}),
}
"""Which state may follow which."""

MEMORY_BACK_S = 5.0
"""A device may give memory back late; after so long, the next load is left to try."""
_MEMORY_BACK = 0.5
"""Of what a process held: others take and give meanwhile."""
REST_S = 5.0
"""A worker that had nothing to do for so long lets the next process be prepared."""
SPARE_FREE_MIB = 3072.0
"""Memory that has to be free for that."""


class Process(NamedTuple):
    """The process that lives now."""

    pid: int
    started_at: float
    answering: bool = False
    """Whether its shell has answered."""
    stood_for: bool = False
    """Whether `pid` only stands for it, so that it alone knows its memory."""
    importing: bool = True
    silent_s: float = 0.0
    """Seconds of questions without an answer."""
    memory_mib: float = 0.0
    memory_parts: tuple[MemoryPart, ...] = ()
    """What its model held when it answered last."""
    device: DeviceMemory | None = None
    """The GPU that its model is on."""
    base_mib: float | None = None
    """What it had when it held no model."""
    free_mib: float | None = None
    """What the system's memory had left when it answered last."""
    held: messages.Held | None = None
    work: Work | None = None
    rests_since: float = 0.0
    """When its imports or its newest job were over."""
    ended_for: str = ""
    """Why it is being ended; empty if it is not."""
    retired: bool = False
    """Whether that is no failure: for its memory, or for a job that nobody wants any more."""
    kill_at: float | None = None

    def later(self, seconds: float) -> Process:
        """It as if all that has a deadline had begun so much later."""
        return self._replace(
            started_at=self.started_at + seconds,
            work=self.work and self.work._replace(since=self.work.since + seconds),
            kill_at=None if self.kill_at is None else self.kill_at + seconds,
        )


class Life(NamedTuple):
    """A worker, from its first process to its last."""

    state: WorkerState = WorkerState.STOPPED
    wanted: bool = False
    """Whether a process is to be there, now or as soon as there can be one. It holds until the
    process is retired, or fails too often; whoever waits then says so again."""
    number: int = 0
    """Of the newest process, from 1."""
    process: Process | None = None
    restarts: int = 0
    history: History = History()
    retry_at: float | None = None
    """When the next process may be started."""
    broken: bool = False
    """Whether the breaker is open: the next process is a trial, which nobody wants by itself."""
    last_error: str = ""
    device_kind: DeviceKind | None = None
    """What its processes compute on, as far as one has said so."""
    gpu: DeviceMemory | None = None
    """The GPU as one of them saw it last."""
    stopping: bool = False
    """Whether no process is to come any more."""
    expected_mib: float | None = None
    """What the system's memory has to have left before the next load; None if nothing is owed."""
    expected_gpu_mib: float | None = None
    """The same of the GPU."""
    owed_until: float = 0.0
    seen_at: float = float("inf")
    """When the message before came; in the beginning, none has."""

    @property
    def available(self) -> bool:
        """Whether a job can be given to it."""
        return self.state is WorkerState.READY and not self.stopping and not self.owed

    @property
    def owed(self) -> bool:
        """Whether memory is still to come back of the process before."""
        return self.expected_mib is not None or self.expected_gpu_mib is not None


Step = tuple[Life, tuple[messages.Effect, ...]]


def step(life: Life, message: messages.Message, now: float, limits: Deadlines) -> Step:
    """The life after a message, and what is to be done, in order.

    Args:
        now: on the monotonic clock.
    """
    life = _caught_up(life, now)
    number = getattr(message, "number", None)
    if number is not None and number != life.number:
        return life, ()
    match message:
        case messages.Stop(grace_s):
            return _stop(life, now, grace_s)
        case messages.Retire(why):
            return _retire(life, why, now, limits.term_s)
        case messages.Reset():
            return _reset(life)
        case messages.Wanted():
            return _if_due(life._replace(wanted=not life.stopping), now)
        case messages.Tick():
            return _tick(life, now, limits)
        case messages.MemorySeen():
            return _memory(life, message, now), ()
        case messages.CaughtUp():
            return life, (message,)
        case messages.Spawned(pid=pid):
            return life._replace(process=Process(pid, now)), ()
        case messages.Exited(ending=ending):
            return _exited(life, ending, now)
        case messages.Distrusted(why=why, failed=failed):
            return _end(life, why, now, limits.term_s, retired=not failed)
        case _:
            return _heard(life, message, now), ()


def _caught_up(life: Life, now: float) -> Life:
    """It at another time; what is longer than we ever wait, we have stood still ourselves."""
    stood_s = now - life.seen_at - deadlines.MOST_S
    process = life.process
    if process is not None and stood_s > 0:
        process = process.later(stood_s)
    return life._replace(process=process, seen_at=now)


def _start(life: Life) -> Step:
    number = life.number + 1
    begun = life._replace(
        state=WorkerState.STARTING,
        wanted=True,
        number=number,
        restarts=life.restarts + (life.number > 0),
        retry_at=None,
        broken=False,
    )
    return begun, (messages.Spawn(number),)


def _stop(life: Life, now: float, grace_s: float) -> Step:
    life = life._replace(stopping=True, wanted=False)
    if life.process is None:
        return life._replace(state=WorkerState.STOPPED), ()
    return _end(life, "was asked to", now, grace_s)


def _retire(life: Life, why: str, now: float, grace_s: float) -> Step:
    return _end(life._replace(wanted=False), why, now, grace_s, retired=True)


def _reset(life: Life) -> Step:
    life = life._replace(history=History())
    return _start(life) if life.state is WorkerState.FAILED else (life, ())


def _end(life: Life, why: str, now: float, grace_s: float, retired: bool = False) -> Step:
    process = life.process
    if process is None or life.state is WorkerState.STOPPING:
        return life, ()
    ended = process._replace(ended_for=why, kill_at=now + grace_s, retired=retired)
    life = life._replace(state=WorkerState.STOPPING, process=ended)
    return life, (messages.Signal(process.pid, signal.SIGTERM),)


def _tick(life: Life, now: float, limits: Deadlines) -> Step:
    process = life.process
    if process is None:
        return _if_due(life, now)
    if life.state is WorkerState.STOPPING:
        if process.kill_at is None or now < process.kill_at:
            return life, ()
        life = life._replace(process=process._replace(kill_at=None))
        return life, (messages.Signal(process.pid, signal.SIGKILL),)
    why = overdue(process, life.state, now, limits)
    if why is not None:
        return _end(life, why, now, limits.term_s)
    return life, ((messages.Prepare(),) if _at_rest(life, process, now) else ())


def _at_rest(life: Life, process: Process, now: float) -> bool:
    return (
        life.state is WorkerState.READY
        and not process.importing
        and now - process.rests_since >= REST_S
        and process.free_mib is not None
        and process.free_mib >= SPARE_FREE_MIB
    )


def _if_due(life: Life, now: float) -> Step:
    """It with the next process, if one is wanted and may be started now."""
    due = life.state is WorkerState.STOPPED or (
        life.state is WorkerState.FAILED and life.retry_at is not None and now >= life.retry_at
    )
    return _start(life) if life.wanted and due else (life, ())


def overdue(process: Process, state: WorkerState, now: float, limits: Deadlines) -> str | None:
    """What a process is to be ended for, if it hangs."""
    age_s = now - process.started_at
    if not process.answering:
        return f"did not start within {limits.start_s:g} s" if age_s > limits.start_s else None
    if process.importing and age_s > limits.import_s:
        return f"did not import its engine within {limits.import_s:g} s"
    silence_s = deadlines.silence_s(state, process.importing, process.work, limits)
    if process.silent_s > silence_s:
        return f"did not answer for {process.silent_s:.0f} s"
    if process.work is not None and not process.importing:
        stuck_s = now - process.work.since
        if stuck_s > deadlines.progress_s(process.work, limits):
            return f"made no progress for {stuck_s:.0f} s (stage: {process.work.stage})"
    return None


def _heard(life: Life, message: messages.Message, now: float) -> Life:
    """What the process, or whoever uses it, says while it lives."""
    process = life.process
    if process is None:
        return life
    match message:
        case messages.Answered(stood_for=stood_for):
            process = process._replace(answering=True, stood_for=stood_for)
            if life.state is WorkerState.STARTING:
                life = life._replace(state=WorkerState.READY)
        case messages.Beat(
            _, importing, memory_mib, free_mib, parts, device, device_kind, base_mib
        ):
            process = process._replace(
                importing=importing,
                silent_s=0.0,
                memory_mib=memory_mib,
                memory_parts=parts,
                device=device,
                base_mib=base_mib,
                free_mib=process.free_mib if free_mib is None else free_mib,
                rests_since=_rests_since(process, now),
            )
            # A GPU is that of its kind: where another is computed on, it has left.
            before = life.gpu if device_kind in (None, life.device_kind) else None
            life = life._replace(device_kind=device_kind or life.device_kind, gpu=device or before)
            life = _if_well(life, process, now)
        case messages.Missed(seconds=seconds):
            process = process._replace(silent_s=process.silent_s + seconds)
        case messages.Asked():
            process = process._replace(work=Work(deadlines.LOOKING, 0, now))
            life = _unless_ending(life, WorkerState.BUSY)
        case messages.Told():
            process = process._replace(work=None, rests_since=now)
            life = _unless_ending(life, WorkerState.READY)
        case messages.Begun(held=held, times=times):
            work = Work(deadlines.LOADING, 0, now, times=times)
            process = process._replace(work=work, held=held)
            life = _unless_ending(life, WorkerState.BUSY)
        case messages.Progressed(stage=stage, step=steps) if process.work is not None:
            work = process.work.advanced(stage, steps, now)
            process = process._replace(
                work=work,
                silent_s=0.0,
                importing=False,
                rests_since=_rests_since(process, now),
            )
            life = _if_well(life, process, now)
        case messages.Ended(_, held, parts):
            if process.work is not None:
                life = life._replace(history=History())
            process = process._replace(work=None, held=held, memory_parts=parts, rests_since=now)
            life = _unless_ending(life, WorkerState.READY)
        case _:
            return life
    return life._replace(process=process)


def _rests_since(process: Process, now: float) -> float:
    return now if process.importing else process.rests_since


def _if_well(life: Life, process: Process, now: float) -> Life:
    """It after a sign of life, which may be proof that what failed before fails no longer."""
    well = not process.importing and now - process.rests_since >= breaker.STABLE_S
    return life._replace(history=History()) if well else life


def _unless_ending(life: Life, state: WorkerState) -> Life:
    return life if life.state is WorkerState.STOPPING else life._replace(state=state)


def _memory(life: Life, seen: messages.MemorySeen, now: float) -> Life:
    owed = (seen.free_mib, life.expected_mib), (seen.gpu_free_mib, life.expected_gpu_mib)
    if now < life.owed_until and any(_is_less(free, expected) for free, expected in owed):
        return life
    return life._replace(expected_mib=None, expected_gpu_mib=None)


def _is_less(free_mib: float | None, expected_mib: float | None) -> bool:
    # Of a GPU whose driver does not say what is free, nothing can be waited for.
    return free_mib is not None and expected_mib is not None and free_mib < expected_mib


def _exited(life: Life, ending: Ending, now: float) -> Step:
    process = life.process
    if process is not None and process.ended_for:
        ending = ending._replace(ended_for=process.ended_for)
    reason = in_words(ending)
    gone = life._replace(
        process=None,
        last_error=reason,
        expected_mib=_expected_mib(process),
        expected_gpu_mib=_expected_gpu_mib(process),
        owed_until=now + MEMORY_BACK_S,
    )
    if life.stopping or (process is not None and process.retired):
        return gone._replace(state=WorkerState.STOPPED), ()
    ran_s = 0.0 if process is None else now - process.started_at
    history = breaker.after_end(life.history, now, ran_s)
    what = breaker.decide(history)
    broken = isinstance(what, Open)
    wait_s = what.cool_down_s if isinstance(what, Open) else what.delay_s
    failed = gone._replace(
        state=WorkerState.FAILED,
        wanted=life.wanted and not broken,
        history=history,
        broken=broken,
        retry_at=now + wait_s,
    )
    pid = None if process is None else process.pid
    cool_down_s = wait_s if broken else None
    failures = len(history.failures)
    report = messages.Report(ending, reason, pid, failures, cool_down_s, failed.wanted)
    return failed, (report,)


def _expected_mib(process: Process | None) -> float | None:
    if process is None or process.free_mib is None:
        return None
    return process.free_mib + _MEMORY_BACK * process.memory_mib


def _expected_gpu_mib(process: Process | None) -> float | None:
    """Of a process that is on a GPU: what was free beside it, and its model's part."""
    if process is None or process.device is None:
        return None
    there = sum(part.mib for part in process.memory_parts if part.device != "cpu")
    return process.device.free_mib + _MEMORY_BACK * there
