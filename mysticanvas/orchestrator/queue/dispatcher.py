"""Runs jobs on a worker, one at a time: one dispatcher a slot."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from mysticanvas import logs
from mysticanvas.contracts.health import WorkerStatus
from mysticanvas.contracts.jobs import WORKER_KINDS
from mysticanvas.contracts.measurements import Measurement
from mysticanvas.contracts.memory import DeviceKind, MemoryPart
from mysticanvas.contracts.plan import SLOW, MadeRoom, Plan
from mysticanvas.contracts.vram import Unloaded
from mysticanvas.contracts.worker import Kept
from mysticanvas.errors import Conflict, JobCancelled, MystiCanvasError
from mysticanvas.orchestrator import latents
from mysticanvas.orchestrator.arbiter import registry
from mysticanvas.orchestrator.arbiter.feedback import Feedback
from mysticanvas.orchestrator.arbiter.pins import Pins
from mysticanvas.orchestrator.events import Bus
from mysticanvas.orchestrator.queue.admission import Admit
from mysticanvas.orchestrator.queue.generation import Generation
from mysticanvas.orchestrator.queue.lane import Lane
from mysticanvas.orchestrator.queue.retry import Failure
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.orchestrator.supervisor.client import (
    Refused,
    Unreached,
    WorkerBroken,
    WorkerLost,
)
from mysticanvas.orchestrator.supervisor.lease import Lease
from mysticanvas.orchestrator.supervisor.messages import Held
from mysticanvas.orchestrator.supervisor.worker import Worker
from mysticanvas.store import Store, StoredJob

_log = logs.get(__name__)
_WORKER_START_S = 60.0
_RETIRING_S = 15.0
_NO_MEMORY = "had no memory left to decode"
_WORN = "was refused memory, after which the GPU's libraries may compute otherwise"
_DECODED_ANEW = (
    "Memory ran out while the pictures were decoded; a new process does it, without sampling again."
)


class _Unload(NamedTuple):
    """A call that waits for the device to be given back."""

    preset: str | None
    done: threading.Event


class _Holding(NamedTuple):
    """A model that a process of the worker holds, as far as is known here."""

    model: Held
    lease: Lease


class Dispatcher(Lane[Generation]):
    """Feeds one worker from the queue.

    Args:
        transitions, store, bus: where jobs come from, what is kept, and where progress goes.
        worker: what carries them out.
        admit: makes room for each on the device, and keeps it while the block runs.
        keep_alive_s: seconds without a job after which the model leaves the device.
        settle_s: seconds that a cancelled job has to end at least, should another wait.
        feedback: learns from what jobs took of the memory.
        loaded: hears of how many seconds loading a model took.
        pins: which models stay however long nobody uses them.
        folder: of what lasts as long as the orchestrator; None if workers keep nothing there.
        unloaded: hears of each model that left the device by what is done here.
    """

    def __init__(
        self,
        transitions: Transitions,
        store: Store,
        bus: Bus,
        worker: Worker,
        admit: Admit,
        feedback: Feedback,
        keep_alive_s: float,
        settle_s: float = 10.0,
        loaded: Callable[[float], None] = lambda _: None,
        pins: Pins | None = None,
        folder: Path | None = None,
        unloaded: Callable[[Unloaded], None] = lambda _: None,
    ) -> None:
        super().__init__("dispatcher", WORKER_KINDS, transitions)
        transitions.gate.keep_back(WORKER_KINDS, lambda: worker.broken)
        self._store = store
        self._bus = bus
        self._worker = worker
        self._admit = admit
        self._keep_alive_s = keep_alive_s
        self._settle_s = settle_s
        self._feedback = feedback
        self._loaded = loaded
        self._pins = pins or Pins()
        self._pins.listen(self.wake)
        self._folder = folder
        self._unloaded = unloaded
        self._unload_asked: list[_Unload] = []
        self._holding: _Holding | None = None
        self._last_used = time.monotonic()

    def stop(self) -> None:
        super().stop()
        for asked in self._unload_asked:
            asked.done.set()

    def unload(self, preset: str | None = None) -> None:
        """Have the model leave the device; returns when it has left, which is after the job that
        runs if that has the model.

        Args:
            preset: do so only if it is this preset's model.
        """
        asked = _Unload(preset, threading.Event())
        with self._transitions.changed:
            if self._stopping.is_set() or not self._may_have(preset):
                return
            self._unload_asked.append(asked)
            self._transitions.changed.notify_all()
        asked.done.wait()

    def begin(self, job: StoredJob) -> Generation:
        def device() -> DeviceKind | None:
            return self._worker.status.device_kind

        return Generation(job, self._bus, self._transitions.somebody_waits, device)

    @property
    def loaded(self) -> str | None:
        held = self._held
        return None if held is None else held.digest

    def between_jobs(self) -> None:
        with self._transitions.changed:
            asked, self._unload_asked = self._unload_asked, []
        for unload in asked:
            if self._held and self._is_of(unload.preset, self._held):
                self._give_back("it was asked for")
            unload.done.set()
        if self._expires_s() == 0.0:
            self._give_back(f"it was not used for {self._keep_alive_s:g} s")

    def needed_s(self) -> float | None:
        return 0.0 if self._unload_asked else self._expires_s()

    def execute(self, run: Generation) -> None:
        try:
            self._generate(run)
        except WorkerLost as lost:
            if run.finished is None:
                self._lost(run, lost)
            else:
                # It died behind its last message: the pictures are made.
                self._holding = None
                self._succeed(run)
        except Conflict as refusal:
            self._lost(run, Refused(str(refusal)))
        except Exception:
            # Whatever it was: the next job needs the worker.
            self._settle(run)
            if not run.stopped:
                raise
            _log.info("stopped_job_failed", exc_info=True)
            self._transitions.stop(run)
        else:
            self._conclude(run)
        finally:
            self._last_used = time.monotonic()
            # Also what a process kept of which nothing was heard any more.
            self._forget(run)
            self._replace_if_worn(run)

    def _generate(self, run: Generation) -> None:
        self._carry_out(run)
        if run.ran_out_loading and not run.stopped:
            # Others have taken memory since the plan was made: another is, of what is there.
            _log.warning("planning_anew")
            self._settle(run)
            run.begin_anew()
            self._carry_out(run)

    def _carry_out(self, run: Generation) -> None:
        with self._admit(run.task, lambda: self._ready(run), lambda: run.stopped) as plan:
            if plan is not None:
                self._take_in(run, plan)
            self._follow(run)
            if run.kept is not None and not run.stopped:
                try:
                    self._decode_anew(run, run.kept)
                finally:
                    self._forget(run)

    def _follow(self, run: Generation) -> None:
        assert run.lease is not None
        # Not before there is room: until then the worker has the model that it had.
        run.lease.begun(run.model, run.times)
        with run.lease.client.generate(run.task) as stream:
            run.follow(stream)

    def _decode_anew(self, run: Generation, kept: Kept) -> None:
        """Have what was sampled decoded by a new process, which has none of what fills or
        fragments the memory of this one; in the room that was made for both."""
        _log.warning("decoding_anew", latents=kept.latents)
        self._transitions.notice(run, [_DECODED_ANEW])
        status = self._worker.status
        self._holding = None
        self._worker.retire(_NO_MEMORY, _RETIRING_S)
        self._tell(status, run.model, f"it {_NO_MEMORY}", process_ends=True)
        run.to_be_decoded(kept)
        self._ready(run)
        self._follow(run)

    def _forget(self, run: Generation) -> None:
        """Leave no latents behind."""
        if self._folder is not None:
            latents.forget(self._folder, run.id)

    def _ready(self, run: Generation) -> Lease:
        run.lease = self._worker.lease(_WORKER_START_S)
        return run.lease

    def _take_in(self, run: Generation, plan: Plan) -> None:
        """Have the job run as planned, and say so if that is not the usual way."""
        _log.info(
            "job_planned",
            decision=plan.decision,
            needed_mib=round(plan.total_mib),
            free_mib=round(plan.free_mib),
        )
        run.planned(plan)
        if plan.actions or plan.slowdown >= SLOW:
            self._transitions.notice(run, plan.notices())
            told = MadeRoom(job_id=run.id, plan=plan)
            self._bus.publish("vram", told.model_dump(mode="json"))

    def _conclude(self, run: Generation) -> None:
        """The stream came to its end."""
        if run.finished is not None:
            # The last message comes when the engine is free, so there is nothing to wait for.
            assert run.lease is not None
            self._hold(run.lease, run.model, run.finished.memory_parts)
            self._succeed(run)
        elif run.stopped:
            self._settle(run)
            self._transitions.stop(run)
        elif run.problem is None or run.problem.code == JobCancelled.code:
            # Nobody here cancelled it: the worker is told to end, or has lost its way.
            self._lost(run, WorkerLost("it stopped in mid-answer"))
        else:
            self._settle(run)
            measured = self._learn(run)
            self._transitions.fail(run, run.problem, measured)
            self._feedback.tell(measured, self._worker.kind)

    def _lost(self, run: Generation, lost: WorkerLost) -> None:
        """The connection is gone: because we hung up, or because the worker is."""
        if run.stopped:
            self._settle(run)
            self._transitions.stop(run)
            return
        self._holding = None
        failure = _failure(lost)
        if run.lease is None:
            self._transitions.lose(run, failure, str(lost))
            return
        # It is waited for: until the process is known to be gone, it might be given out again.
        ending = run.lease.give_up(lost.words)
        self._transitions.lose(run, failure, f"the worker {ending}")

    def _succeed(self, run: Generation) -> None:
        measured = self._learn(run)
        if told := run.notices:
            self._transitions.notice(run, told)
        if self._transitions.succeed(run, run.images, run.matched, measured=measured):
            _log.info("job_succeeded", seconds=run.finished and run.finished.seconds)
            # Behind the news, which somebody waits for.
            self._feedback.tell(measured, self._worker.kind)
            if (ran := run.ran()) is not None:
                self._feedback.weigh(ran, self._worker.kind)
            self._store.raise_high_water()

    def _learn(self, run: Generation) -> Sequence[Measurement]:
        """What the run took of the memory, to be kept with its end."""
        # Zero if the model was there.
        if run.finished is not None and (seconds := run.finished.seconds.get("load")):
            self._loaded(seconds)
        ran = run.ran()
        return [] if ran is None else self._feedback.learn(ran)

    def _settle(self, run: Generation) -> None:
        """Leave no batch behind that still runs: the next job needs the worker."""
        if run.lease is None:
            return
        try:
            health = run.lease.settle(max(self._settle_s, run.settle_s), self._is_needed)
        except WorkerLost:
            self._holding = None
            return
        run.worn = health.worn
        # It may have got as far as to give up the one before, or to load its own, or neither. Of
        # the same files in two number formats, only the job can tell which is there.
        known = [run.model, self._held] if run.has_model else [self._held, run.model]
        there = next((held for held in known if held and held.digest in health.models), None)
        self._hold(run.lease, there, health.memory_parts)

    def _replace_if_worn(self, run: Generation) -> None:
        """Have a new process follow one that may make other pixels than it."""
        if not run.worn or run.lease is None:
            return
        _log.warning("worker_replaced", reason=_WORN)
        held, status, self._holding = self._held, self._worker.status, None
        run.lease.distrust(_WORN, failed=False)
        if held is not None:
            self._tell(status, held, f"its process {_WORN}", process_ends=True)

    def _is_needed(self) -> bool:
        """Whether anybody waits for what runs to be over."""
        waits = self._transitions.due_s(self._kinds) == 0.0
        return waits or bool(self._unload_asked) or self._stopping.is_set()

    def _hold(self, lease: Lease, model: Held | None, parts: Sequence[MemoryPart]) -> None:
        """Note what the worker holds, and in which parts of memory, and that nothing runs on it."""
        self._holding = None if model is None else _Holding(model, lease)
        lease.ended(model, parts)

    def _may_have(self, preset: str | None) -> bool:
        """Whether the worker has the model of a preset, or will have it for the job that runs; None
        stands for any. To be asked under the lock of the transitions: a run leaves them when what
        it left behind is noted."""
        runs = [run for run in self._transitions.runs() if isinstance(run, Generation)]
        models = [run.model for run in runs]
        if self._holding is not None and not any(run.has_model for run in runs):
            models.append(self._holding.model)
        return preset is None or any(self._is_of(preset, each) for each in models)

    def _is_of(self, preset: str | None, model: Held) -> bool:
        """Whether it is the model of a preset; None stands for any."""
        return preset is None or self._pins.means(self._worker.kind, preset, model)

    @property
    def _held(self) -> Held | None:
        """The model that the worker holds; its process may have been ended for its memory."""
        if self._holding is not None and self._holding.lease.gone:
            self._holding = None
        return None if self._holding is None else self._holding.model

    def _expires_s(self) -> float | None:
        held = self._held
        if held is None or self._pins.protecting(self._worker.kind, held) is not None:
            return None
        return max(0.0, self._last_used + self._keep_alive_s - time.monotonic())

    def _give_back(self, reason: str) -> None:
        holding, status = self._holding, self._worker.status
        if holding is None:
            return
        # Of the process that has it: should that be at its end, no other is waited for.
        lease = holding.lease
        with contextlib.suppress(WorkerLost), lease.relied_on():
            try:
                lease.client.unload()
            except MystiCanvasError:
                # The end of its process is the sure way.
                lease.give_up("would not give its memory back")
            else:
                lease.released()
        _log.info("model_unloaded", preset=holding.model.preset, reason=reason)
        self._holding = None
        self._tell(status, holding.model, reason)

    def _tell(
        self, status: WorkerStatus, held: Held, reason: str, process_ends: bool = False
    ) -> None:
        """Let it be known that a model has left a worker, by the status that it had before."""
        what: Literal["model", "process"] = "process" if process_ends else "model"
        self._unloaded(registry.left(status, held.preset, f"because {reason}", what))


def _failure(lost: WorkerLost) -> Failure:
    match lost:
        case WorkerBroken():
            return Failure.WORKER_BROKEN
        case Unreached():
            return Failure.WORKER_MISSING
        case _:
            return Failure.WORKER_LOST
