"""Language models, loaded by their presets when there is room."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mysticanvas import logs
from mysticanvas.contracts.base import sha256_of
from mysticanvas.contracts.llm import ContextParams, Inspection, InspectionOrder
from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.presets import LLMPreset
from mysticanvas.contracts.worker import LLMRef
from mysticanvas.errors import (
    JobCancelled,
    MystiCanvasError,
    OrchestratorUnavailable,
    WorkerCrashed,
)
from mysticanvas.orchestrator import hub
from mysticanvas.orchestrator.arbiter import language_planning
from mysticanvas.orchestrator.arbiter.arbiter import Arbiter, Decide
from mysticanvas.orchestrator.arbiter.language_planning import Needs
from mysticanvas.orchestrator.arbiter.turns import Stopped
from mysticanvas.orchestrator.supervisor.client import WorkerLost
from mysticanvas.orchestrator.supervisor.lease import Lease
from mysticanvas.orchestrator.supervisor.messages import Held
from mysticanvas.orchestrator.supervisor.worker import Worker
from mysticanvas.store import Store
from mysticanvas.vram import llm

_WORKER_START_S = 60.0
_log = logs.get(__name__)


class _Loading(NamedTuple):
    """A model that is being made ready."""

    model: Held
    done: threading.Event
    """Set once it is there, or will not be."""


class LanguageModels:
    """Has the language model of a preset ready, from any thread.

    Args:
        store: has the presets, and knows the digests of files.
        arbiter: makes room.
        worker: runs them.
    """

    def __init__(self, store: Store, arbiter: Arbiter, worker: Worker) -> None:
        self._store = store
        self._arbiter = arbiter
        self._worker = worker
        self._inspected: dict[LLMRef, Inspection] = {}
        # One at a time: the worker holds one.
        self._turn = threading.Lock()
        self._loading: _Loading | None = None
        self._closing = threading.Event()

    def close(self) -> None:
        """Have nobody wait for room, or for what is being loaded, any more."""
        self._closing.set()
        if (loading := self._loading) is not None:
            loading.done.set()

    def ensure(self, name: str, stopped: Stopped = lambda: False) -> Plan:
        """Have the model of a preset loaded, with its context.

        Args:
            stopped: whether it is wanted no longer; asked while it waits for room.

        Returns:
            What was done for it.

        Raises:
            NotFound: there is no such preset.
            PresetError, ModelFileError: its model cannot be used.
            DoesNotFit: there is no room to be made for it.
            WorkerCrashed: the worker ended over it, or does not start.
            JobCancelled: it was stopped while it waited.
            OrchestratorUnavailable: the orchestrator began to end while it waited.
        """

        def given_up() -> bool:
            return self._closing.is_set() or stopped()

        preset = self._store.llm_presets.get(name)
        ref = _reference(preset, self._store)
        wanted = Held(ref.digest, preset.name, ref.form)
        with self._turn, self._noted(wanted):
            try:
                return self._load(ref, wanted, given_up)
            except WorkerLost as lost:
                raise WorkerCrashed(
                    f"The language model of {name!r} is not there: {lost}.",
                    hint="Try again; `mysticanvas logs` has the worker's last words.",
                ) from lost
            except JobCancelled:
                if self._closing.is_set():
                    raise OrchestratorUnavailable(
                        f"The orchestrator is stopping; {name!r} was not loaded.", hint="Ask again."
                    ) from None
                raise

    def unload(self, preset: str | None = None) -> None:
        """Give back what the model has; returns when it has left, which is after it has been
        loaded if that is being done: also while its worker starts, or room is waited for. Harmless
        if there is none.

        Args:
            preset: only that of this one.
        """
        # First: what is loaded meanwhile would be neither held yet nor on its way any more.
        loading = self._loading
        self._retire(preset)
        if loading is not None and self._arbiter.is_of(self._worker.kind, preset, loading.model):
            loading.done.wait()
            self._retire(preset)

    def _retire(self, preset: str | None) -> None:
        def holds() -> bool:
            return self._arbiter.holds(self._worker.kind, preset)

        if holds():
            why = "was asked to give its memory back"
            self._arbiter.retire(self._worker.kind, why, holds, self._closing.is_set, waits=True)

    @contextlib.contextmanager
    def _noted(self, model: Held) -> Iterator[None]:
        """For who unloads: this one is on its way while the block runs."""
        loading = self._loading = _Loading(model, threading.Event())
        try:
            yield
        finally:
            loading.done.set()
            self._loading = None

    def _load(self, ref: LLMRef, wanted: Held, stopped: Stopped) -> Plan:
        leases: list[Lease] = []

        def prepare() -> Decide:
            leases.append(self._worker.lease(_WORKER_START_S))
            with leases[-1].relied_on():
                found = self._inspect(ref, leases[-1])
            needs = needing(ref.context, found)
            return functools.partial(language_planning.plan, needs, ref.context.n_ctx)

        with self._arbiter.admitted(self._worker.kind, prepare, stopped, lambda: wanted) as plan:
            assert plan is not None
            was_there = wanted.is_in(self._worker.status)
            seconds = _have_loaded(leases[-1], ref, wanted)
        if not was_there:
            # What making a context again takes says nothing of that.
            self._arbiter.loaded(self._worker.kind, seconds)
        _log.info("language_model_ready", preset=wanted.preset, decision=plan.decision)
        return plan

    def _inspect(self, ref: LLMRef, lease: Lease) -> Inspection:
        """What its file says, and a load that allocates nothing, with contexts up to its own."""
        if ref not in self._inspected:
            contexts = [_of(ref.context, tokens) for tokens in llm.rungs(ref.context.n_ctx)]
            order = InspectionOrder(
                path=ref.path,
                mmproj=ref.mmproj,
                n_gpu_layers=ref.n_gpu_layers,
                contexts=contexts,
            )
            with lease.asked():
                self._inspected[ref] = lease.client.inspect(order)
        return self._inspected[ref]


def needing(context: ContextParams, found: Inspection) -> Needs:
    """What a model takes with contexts of at most as many tokens.

    Args:
        context: the longest.
        found: of the model, with the buffers of contexts of `llm.rungs`.
    """
    planned = dict(zip(llm.rungs(context.n_ctx), found.buffers, strict=True))

    def needs(tokens: int) -> list[MemoryPart]:
        buffers = llm.between(planned, tokens)
        return llm.parts(
            found.model, _of(context, tokens), buffers, found.devices, found.mmproj_bytes
        )

    return needs


def _of(context: ContextParams, tokens: int) -> ContextParams:
    return context.model_copy(update={"n_ctx": tokens})


def _have_loaded(lease: Lease, ref: LLMRef, held: Held) -> float:
    """Load a model on a process; the seconds that it took."""
    lease.begun(held)
    with lease.relied_on():
        try:
            loaded = lease.client.load(ref)
            parts = lease.client.health(_WORKER_START_S).memory_parts
        except MystiCanvasError:
            lease.ended(None)
            raise
    lease.ended(held, parts)
    return loaded.seconds


def _reference(preset: LLMPreset, store: Store) -> LLMRef:
    """How the worker is told of a preset's model."""
    files = {"model": _resolved(hub.gguf(preset.model))}
    if preset.mmproj is not None:
        files["mmproj"] = _resolved(Path(preset.mmproj))
    hashed = [store.model_files.hashed(path) for path in files.values()]
    digests = {role: each.sha256 for role, each in zip(files, hashed, strict=True)}
    return LLMRef(
        path=str(files["model"]),
        digest=digests["model"] if len(digests) == 1 else sha256_of(digests),
        mmproj=str(files["mmproj"]) if "mmproj" in files else None,
        n_gpu_layers=preset.n_gpu_layers,
        context=ContextParams(n_ctx=preset.n_ctx, type_k=preset.type_k, type_v=preset.type_v),
        hashed=tuple(hashed),
    )


def _resolved(path: Path) -> Path:
    """The file itself, where it is there."""
    with contextlib.suppress(OSError):
        return path.resolve(strict=True)
    return path
