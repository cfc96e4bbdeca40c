"""Carries plans out: makes room on the device for one request at a time.

Everything that changes who has memory goes through here, one after another: whose turn it is gets
its worker ready, a plan is made from what is there now, what it gives back is given back, and what
is left is promised to the request before it is the next one's turn. Only who has had its turn is at
work, and needs none to come to its end; so nobody waits for somebody who waits. Where a plan waits
for a worker, what needs no turn goes in between, and the plan is made again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from mysticanvas import logs
from mysticanvas.contracts.health import WorkerStatus
from mysticanvas.contracts.plan import Action, Decision, Plan
from mysticanvas.contracts.vram import Unloaded, VramStatus
from mysticanvas.errors import JobCancelled, MystiCanvasError
from mysticanvas.orchestrator.arbiter import grounds, policy, refusals, registry, returning
from mysticanvas.orchestrator.arbiter.pins import Pins
from mysticanvas.orchestrator.arbiter.planning import Situation, Use
from mysticanvas.orchestrator.arbiter.policy import ORDER, Resident
from mysticanvas.orchestrator.arbiter.turns import Stopped, Turns, require_wanted
from mysticanvas.orchestrator.supervisor.client import WorkerLost
from mysticanvas.orchestrator.supervisor.memory import Probe, system_free_mib
from mysticanvas.orchestrator.supervisor.messages import Held

_ENDING_S = 15.0
_UNLOADS = ("soft_unload", "hard_unload")
_MOST_UNLOADS = 8
"""For one request: more means that somebody else takes what is given back."""

_log = logs.get(__name__)

Decide = Callable[[Situation], Plan]
"""A plan for a request in a situation; pure."""
Prepare = Callable[[], Decide | None]
Wanted = Callable[[], Held | None]


class Tenant(Protocol):
    """A worker, as far as its memory goes."""

    @property
    def kind(self) -> str: ...

    @property
    def status(self) -> WorkerStatus: ...

    def drop_context(self) -> None:
        """Give back a language model's context.

        Raises:
            WorkerLost, MystiCanvasError: it cannot be asked, or will not.
        """

    def retire(self, why: str, timeout_s: float) -> bool:
        """End, to be started again when it is wanted; whether there is no process now."""


class _Asked(NamedTuple):
    """Who asks for room, and is ready to be given it."""

    worker: str
    """Kind of the one that runs the request."""
    pid: int | None
    """The process that is ready."""
    wanted: Held | None
    """The model that is needed."""
    decide: Decide | None

    @property
    def preset(self) -> str | None:
        """Whose model is needed."""
        return None if self.wanted is None else self.wanted.preset


class Arbiter:
    """The one owner of the device's memory.

    Args:
        workers: those that share the device.
        memory: who has what of it now.
        pins: which models stay.
        free_mib: what is free of the system's memory.
        told: hears of each model and context that left the device by what is done here.
    """

    def __init__(
        self,
        workers: Sequence[Tenant],
        memory: Callable[[], VramStatus],
        pins: Pins | None = None,
        free_mib: Probe = system_free_mib,
        told: Callable[[Unloaded], None] = lambda _: None,
    ) -> None:
        self._told = told
        self._pins = pins or Pins()
        self._free_mib = free_mib
        self._workers = {worker.kind: worker for worker in workers}
        self._memory = memory
        self._turns = Turns()
        self._uses: dict[str, Use] = {}
        self._used_at: dict[str, float] = {}
        self._holders: dict[str, tuple[int | None, str | None]] = {}
        """Kind -> process and model that `context_mib` of its use is about."""

    @contextlib.contextmanager
    def admitted(
        self,
        worker: str,
        prepare: Prepare,
        stopped: Stopped = lambda: False,
        wanted: Wanted = lambda: None,
    ) -> Iterator[Plan | None]:
        """Make room for a request, and keep it promised while the block runs.

        Args:
            worker: kind of the one that runs it.
            prepare: has that one ready and gives how to decide; None if it is not known what the
                request needs, so that no room is made. Called again if its process was ended
                while others were waited for; but for that, nobody ends it any more.
            stopped: whether the request is wanted no longer.
            wanted: the model that it needs, for which a pinned one would not leave; asked for when
                the worker is ready, which may be the first to know what it computes on. That it is
                loaded is to be told in the block, or it would seem to be there already.

        Yields:
            The plan as it was carried out, with everything that was given back for it.

        Raises:
            DoesNotFit: nothing that is allowed makes enough room, or a pinned model is in the way;
                carries what would fit.
            JobCancelled: it was stopped while it waited.
        """
        with self._turns.next(stopped):
            plan = self._make_room(worker, prepare, stopped, wanted)
        try:
            yield plan
        finally:
            self._used_at[worker] = time.monotonic()
            context_mib = self._context_mib(worker)
            self._note(worker, busy=False, promised_mib=0.0, context_mib=context_mib)
            if context_mib is not None and not self._is_on_gpu:
                self._note(worker, ready_mib=context_mib)

    def situation(self, worker: str, wanted: Held | None = None) -> Situation:
        """The device as it is now, for a request of that kind of worker.

        Args:
            wanted: the model that it needs.
        """
        # Before the memory is looked at: what was imported meanwhile counts in any case.
        uses = {kind: self._looked_at(kind) for kind in self._workers}
        return Situation(
            self._memory(),
            worker,
            uses,
            self._displaces(worker, wanted),
            self._system_mib(worker),
            None if wanted is None else wanted.preset,
            wanted is not None and wanted.is_in(self._workers[worker].status),
        )

    def loaded(self, worker: str, seconds: float) -> None:
        """Note what loading a model took."""
        self._note(worker, reload_s=seconds)

    def idle(self, longer_than_s: float) -> Mapping[str, str]:
        """Kind -> preset of the workers that hold a model which nobody has used for so long, and
        which is not pinned."""
        found = {}
        for kind, worker in self._workers.items():
            preset, use = worker.status.preset, self._use(kind)
            if preset is None or use.busy or use.pinned:
                continue
            if use.idle_s > longer_than_s:
                found[kind] = preset
        return found

    def holds(self, kind: str, preset: str | None = None) -> bool:
        """Whether a worker holds a model; with a preset, the one that this means."""
        held = Held.by(self._workers[kind].status)
        return held is not None and self.is_of(kind, preset, held)

    def is_of(self, kind: str, preset: str | None, model: Held) -> bool:
        """Whether it is the model of a preset; None stands for any."""
        return preset is None or self._pins.means(kind, preset, model)

    def retire(
        self,
        kind: str,
        why: str,
        still: Callable[[], bool] = lambda: True,
        stopped: Stopped = lambda: False,
        waits: bool = False,
    ) -> None:
        """End a worker for its memory, unless a job runs on it.

        Args:
            why: to stand behind `the image worker`.
            still: whether that is still to be done; asked when nobody makes room any more, and
                nobody can begin to.
            stopped: whether it is wanted no longer, so that it is left undone.
            waits: whether to do it behind the job that runs.
        """
        with contextlib.suppress(JobCancelled):
            while self._is_left(kind, why, still, stopped) and waits:
                self._turns.look_again()

    def _is_left(self, kind: str, why: str, still: Callable[[], bool], stopped: Stopped) -> bool:
        """Whether a worker that is to be ended is left for the job that runs on it; see `retire`.

        Raises:
            JobCancelled: it is wanted no longer.
        """
        with self._turns.at_work(stopped):
            if not still():
                return False
            if not self._use(kind).busy:
                self._end(kind, why, f"because it {why}")
                return False
            return True

    def _note(self, kind: str, **changes: Any) -> None:
        with self._turns.changed:
            self._uses[kind] = self._use(kind)._replace(**changes)
            self._turns.changed.notify_all()

    def _context_mib(self, kind: str) -> float | None:
        """The least that a process had beside its model; forgotten with the process or model."""
        status = self._workers[kind].status
        holder = status.pid, status.model
        before = self._use(kind).context_mib if self._holders.get(kind) == holder else None
        self._holders[kind] = holder
        has = status.memory - sum(part.mib for part in status.memory_parts)
        # Of a process that has just ended nothing is resident, whatever its model had.
        if status.pid is None or status.importing or has <= 0:
            return before
        return has if before is None else min(before, has)

    def _system_mib(self, kind: str) -> float:
        """What is free of the system's memory, and what the worker's model has of it."""
        parts = self._workers[kind].status.memory_parts
        return self._free_mib() + sum(each.mib for each in registry.counting(parts, on_gpu=False))

    def _looked_at(self, kind: str) -> Use:
        """How a worker is used, once it is noted what its process has without a model."""
        base = self._workers[kind].status.base
        if base is not None and self._use(kind).ready_mib is None and not self._is_on_gpu:
            self._note(kind, ready_mib=base)
        return self._use(kind)

    @property
    def _is_on_gpu(self) -> bool:
        """Whether models lie elsewhere than in the memory that processes have resident."""
        statuses = [each.status for each in self._workers.values()]
        return registry.device_kind(statuses) == "cuda"

    def _use(self, kind: str) -> Use:
        used_at = self._used_at.get(kind)
        # What was never used is the first to go.
        idle_s = float("inf") if used_at is None else time.monotonic() - used_at
        pinned = self._pins.protecting(kind, Held.by(self._workers[kind].status))
        return self._uses.get(kind, Use())._replace(idle_s=idle_s, pinned=pinned)

    def _displaces(self, worker: str, wanted: Held | None) -> str | None:
        """The pinned model that would have to leave a worker for that of another preset."""
        held = Held.by(self._workers[worker].status)
        if wanted is None or held is None or held.is_same(wanted):
            return None
        return self._pins.protecting(worker, held, beside=wanted.preset)

    def _replaced(self, worker: str, wanted: Held | None) -> Unloaded | None:
        """The model that a worker gives up for that of another preset."""
        held = Held.by(status := self._workers[worker].status)
        if wanted is None or held is None or held.preset == wanted.preset or held.is_same(wanted):
            return None
        reason = f"to make room for {wanted.preset}"
        return registry.left(status, held.preset, reason, "model", wanted.preset)

    def _make_room(
        self, worker: str, prepare: Prepare, stopped: Stopped, wanted: Wanted
    ) -> Plan | None:
        """See `admitted`; what is left is promised to the request."""
        asked: _Asked | None = None
        done: list[Action] = []
        while True:
            with self._turns.at_work(stopped):
                asked = asked or self._ready(worker, prepare, wanted)
                plan = self._carried_out(asked, done, stopped)
                if plan is None or not plan.waits_for:
                    if asked.pid != self._workers[worker].status.pid:
                        # It was ended while others were waited for.
                        asked = None
                        continue
                    if (replaced := self._replaced(worker, asked.wanted)) is not None:
                        self._told(replaced)
                    if asked.wanted is not None:
                        self._pins.loaded(worker, asked.wanted)
                    promised = 0.0 if plan is None else plan.total_mib
                    self._note(worker, busy=True, promised_mib=promised)
                    return plan
            _log.info("waiting_for_memory", models=plan.waits_for)
            self._turns.look_again()

    def _ready(self, worker: str, prepare: Prepare, wanted: Wanted) -> _Asked:
        decide = prepare()
        return _Asked(worker, self._workers[worker].status.pid, wanted(), decide)

    def _carried_out(self, asked: _Asked, done: list[Action], stopped: Stopped) -> Plan | None:
        """The plan, once nothing has to be given back for it; or one that has to wait. None if it
        is not known what is needed.

        Args:
            done: what was given back for the request before; grows.
        """
        if asked.decide is None:
            displaces = self._displaces(asked.worker, asked.wanted)
            if displaces is not None:
                raise refusals.of(refusals.in_the_way_of_an_unknown(displaces))
            return None
        while len(done) < _MOST_UNLOADS:
            situation = self.situation(asked.worker, asked.wanted)
            plan = asked.decide(situation)
            if not plan.fits:
                raise refusals.of(plan)
            require_wanted(stopped)
            unloads = [action for action in plan.actions if action.kind in _UNLOADS]
            if plan.waits_for or not unloads:
                return _with(plan, done)
            _log.info("room_decided", **grounds.of(situation, plan))
            residents = {each.name: each for each in situation.residents}
            taken = [
                self._give_back(action, residents[action.worker], asked.preset, done)
                for action in unloads
            ]
            returning.wait(situation.status, taken, self._memory)
            done += taken
        raise refusals.of(plan)

    def _give_back(
        self, action: Action, resident: Resident, wanted: str | None, done: Sequence[Action]
    ) -> Action:
        """Carry out an unloading; what was really done.

        Args:
            done: what was given back for the same request before.
        """
        reason = f"to make room for {wanted or 'another model'}"
        _log.info("making_room", worker=action.worker, kind=action.kind, why=action.why)
        if action.kind == "soft_unload":
            again = action.worker in {each.worker for each in done if each.kind == action.kind}
            if not again and self._dropped(action.worker, reason, wanted):
                return action
            # It cannot be asked, will not, or gave nothing back: its end is the sure way.
            action = policy.ending(resident, wanted)
            _log.info("making_room", worker=action.worker, kind=action.kind, why=action.why)
        self._end(action.worker, f"was ended {reason}", reason, wanted)
        return action

    def _dropped(self, kind: str, reason: str, wanted: str | None) -> bool:
        """Have a worker drop its context, and say so; whether it did."""
        before = self._workers[kind].status
        try:
            self._workers[kind].drop_context()
        except (WorkerLost, MystiCanvasError):
            return False
        self._told(registry.left(before, before.preset, reason, "context", wanted))
        return True

    def _end(self, kind: str, why: str, reason: str, wanted: str | None = None) -> None:
        """End a worker, and say so.

        Args:
            why: to stand behind `the image worker`.
            reason: to stand behind `the model was unloaded`.
            wanted: the preset for which that is done.
        """
        before = self._workers[kind].status
        if self._workers[kind].retire(why, _ENDING_S) and before.pid is not None:
            self._told(registry.left(before, before.preset, reason, "process", wanted))


def _with(plan: Plan, done: Sequence[Action]) -> Plan:
    """The plan with what was given back for it before."""
    if not done:
        return plan
    decisions: list[Decision] = [plan.decision, *(action.kind for action in done)]
    return plan.model_copy(
        update={
            "actions": [*done, *plan.actions],
            "decision": max(decisions, key=ORDER.index),
        }
    )
