"""Makes plans: resolves a request as the queue would, and looks at the memory as it is."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mysticanvas import logs
from mysticanvas.contracts import conditioning
from mysticanvas.contracts.image_work import ImageWork
from mysticanvas.contracts.loras import digests
from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.contracts.plan import Plan, PlanRequest
from mysticanvas.contracts.recipe import ResolvedParams
from mysticanvas.contracts.tracing import ImageProfile, ProfileOrder, TraceAnswer
from mysticanvas.contracts.worker import GenerateTask, ModelRef
from mysticanvas.errors import Conflict, MystiCanvasError, OutOfMemory, WorkerCrashed
from mysticanvas.orchestrator.arbiter import comparison, formats, planning
from mysticanvas.orchestrator.arbiter.arbiter import Arbiter, Decide
from mysticanvas.orchestrator.arbiter.feedback import Feedback
from mysticanvas.orchestrator.arbiter.planning import Experience, Situation
from mysticanvas.orchestrator.arbiter.profiles import (
    Ask,
    AskReserve,
    Batches,
    Profiles,
    Subject,
)
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.orchestrator.resolution import model_ref, resolve
from mysticanvas.orchestrator.supervisor.client import WorkerLost
from mysticanvas.orchestrator.supervisor.lease import Lease
from mysticanvas.orchestrator.supervisor.messages import Held
from mysticanvas.orchestrator.supervisor.worker import Worker
from mysticanvas.settings import Settings

_WORKER_START_S = 60.0
_log = logs.get(__name__)


class Planner:
    """Plans requests without running them, and jobs before they run.

    Args:
        presets: find and describe the model of a request.
        profiles: what models need in memory.
        feedback: how near predictions came, and how long jobs took.
        arbiter: knows who has the memory now.
        worker: would run them.
        settings: of the worker.
    """

    def __init__(
        self,
        presets: Presets,
        profiles: Profiles,
        feedback: Feedback,
        arbiter: Arbiter,
        worker: Worker,
        settings: Settings,
    ) -> None:
        self._presets = presets
        self._profiles = profiles
        self._feedback = feedback
        self._arbiter = arbiter
        self._worker = worker
        self._settings = settings

    def plan(self, request: PlanRequest) -> Plan:
        """What a request would take, and what would be done for it.

        Raises:
            PresetError, ModelFileError: the model cannot be used, or it is not known what it needs.
            WorkerCrashed: the worker does not start, so that it is not known what it computes on.
        """
        params = request.params
        given = request.preset
        preset = self._presets.find(params.preset) if given is None else self._presets.check(given)
        model = self._presets.model(preset)
        loras = self._presets.loras.of(preset, params.loras)
        resolved = resolve(params, preset, model, loras, drawn_seed=0)
        ref = model_ref(preset, model, loras)
        # An engine that does not tell is taken to compute on the CPU.
        subject = _subject(ref, model.pipeline, self._computes_on() or "cpu", loras.files)
        profile = self._profiles.of(subject, _batches(resolved, model.pipeline))
        if not self._sees(profile):
            raise Conflict(
                "What the GPU has of memory is not known before the first job: its driver tells "
                "nothing of it here.",
                hint="Plan again once a picture was made or is being made.",
            )
        known = self._experience(subject, profile, resolved)
        plan = planning.plan(
            resolved,
            profile,
            self._arbiter.situation(
                self._worker.kind,
                formats.held(ref, preset.name, model.pipeline, self.device_kind),
            ),
            self._settings.threads,
            params.mitigations,
            known=known,
        )
        width, height = model.side_px
        pixels = resolved.width * resolved.height * resolved.num_images / (width * height)
        timed = planning.timed(plan, known.seconds)
        return timed.model_copy(update={"times_usual_px": pixels})

    @contextlib.contextmanager
    def admitted(
        self, task: GenerateTask, ready: Callable[[], Lease], stopped: Callable[[], bool]
    ) -> Iterator[Plan | None]:
        """Make room for a job; see `queue.admission.Admit`."""

        def wanted() -> Held:
            recipe = task.recipe
            return formats.held(task.model, recipe.preset, recipe.pipeline, self.device_kind)

        with self._arbiter.admitted(
            self._worker.kind, lambda: self._deciding(task, ready()), stopped, wanted
        ) as plan:
            yield plan

    def _deciding(self, task: GenerateTask, lease: Lease) -> Decide | None:
        """How a job is to be decided about; None if it is not known what its model needs.

        Args:
            lease: the worker that has the job, which is asked for what is not known yet.

        Raises:
            WorkerLost: the worker is gone.
        """
        ref, params = task.model, task.recipe.params
        try:
            subject = _subject(ref, task.recipe.pipeline, self.device_kind, task.recipe.model_files)
            batches = _batches(params, task.recipe.pipeline)
            profile = self._profile(subject, batches, _asking(ref, lease))
        except MystiCanvasError as error:
            _log.info("job_not_planned", reason=error.code)
            return None

        if profile.device == "cuda":
            # With its context, the device is what the worker sees of it, and others use it too.
            lease.look()
            if not self._sees(profile) and not self._shown(ref, lease):
                return None
        known = self._experience(subject, profile, params, _asking_reserve(ref, lease))

        def decide(situation: Situation) -> Plan:
            return planning.plan(
                params,
                profile,
                situation,
                self._settings.threads,
                task.allowed,
                task.recipe.mitigations,
                known,
            )

        return decide

    def _sees(self, profile: ImageProfile) -> bool:
        """Whether the memory is known of what a model is put on."""
        return profile.device != "cuda" or self._arbiter.situation(self._worker.kind).status.is_gpu

    def _shown(self, ref: ModelRef, lease: Lease) -> bool:
        """Have the worker see a GPU that its driver tells nothing of, as in a container, for which
        it needs a context; whether it does.

        Raises:
            WorkerLost: the worker is gone.
        """
        try:
            # Whatever is asked of the device makes one.
            _told(ref, lease, {})
        except MystiCanvasError as error:
            _log.info("device_not_seen", reason=error.code)
            return False
        lease.look()
        return self._arbiter.situation(self._worker.kind).status.is_gpu

    def _profile(self, subject: Subject, batches: Sequence[Batches], ask: Ask) -> ImageProfile:
        """What a model needs, as the worker tells it. On a device that is so full that it cannot be
        asked, what it does is assumed, or nobody would make room."""
        try:
            return self._profiles.of(subject, batches, ask)
        except OutOfMemory:
            if subject.device is None:
                raise
            _log.info("device_too_full_to_ask", device=subject.device)
            return self._profiles.of(subject, batches)

    def _experience(
        self,
        subject: Subject,
        profile: ImageProfile,
        params: ResolvedParams,
        ask: AskReserve | None = None,
    ) -> Experience:
        """What is known of such jobs; the reserve where it is known already, or `ask` knows it.

        Raises:
            WorkerLost: the worker is gone.
        """
        device = self._device_name
        reserved: Mapping[ImageWork, int] = {}
        if profile.device == "cuda":
            works = planning.works(params, profile)
            subject = subject._replace(dtype=profile.dtype, device=profile.device)
            try:
                reserved = self._profiles.reserved(subject, works, ask)
            except MystiCanvasError as error:
                _log.info("reserve_not_known", reason=error.code)

        @functools.cache
        def seconds(mitigations: tuple[str, ...]) -> float | None:
            key = comparison.run_key(
                subject.digest,
                params,
                mitigations,
                device,
                profile.dtype,
                self._settings.threads,
            )
            return self._feedback.seconds(key)

        return Experience(
            lambda mitigations: self._feedback.factors(profile, params, device, mitigations),
            reserved,
            seconds,
        )

    def _computes_on(self) -> DeviceKind | None:
        """What the worker computes on; of a new one, that is waited for."""
        try:
            return self._worker.computes_on(_WORKER_START_S)
        except WorkerLost as lost:
            raise WorkerCrashed(
                f"It is not known what the worker computes on: {lost}.",
                hint="Try again; `mysticanvas logs` has the worker's last words.",
            ) from lost

    @property
    def _device_name(self) -> str:
        """As recipes have it, also while no worker sees it."""
        status = self._arbiter.situation(self._worker.kind).status
        return status.device.name if status.is_gpu else self.device_kind or "cpu"

    @property
    def device_kind(self) -> DeviceKind | None:
        """What the worker computes on; None until it is known."""
        return self._worker.status.device_kind


def _asking(ref: ModelRef, lease: Lease) -> Ask:
    return lambda batches: _told(ref, lease, {"denoise": batches.denoise, "images": batches.images})


def _asking_reserve(ref: ModelRef, lease: Lease) -> AskReserve:
    def ask(works: Sequence[ImageWork]) -> Sequence[int]:
        answer = _told(ref, lease, {"works": tuple(works)})
        # What is told is kept, which an assumption must not be.
        return answer.reserved if answer.probed else ()

    return ask


def _told(ref: ModelRef, lease: Lease, wanted: Mapping[str, Any]) -> TraceAnswer:
    """What a worker answers about a model, which may be what its device is first used for."""
    order = ProfileOrder.model_validate(ref.model_dump(exclude={"kind", "digest"}))
    with lease.asked():
        return lease.client.profile(order.model_copy(update=wanted))


def _batches(params: ResolvedParams, pipeline: str) -> list[Batches]:
    """Those of one picture, which a suggestion may come down to, and of all."""
    guided = conditioning.of(pipeline).is_guided(params.guidance_scale)
    return [Batches.of(count, guided) for count in (1, params.num_images)]


def _subject(
    ref: ModelRef, pipeline: str, device: DeviceKind | None, files: Mapping[str, str]
) -> Subject:
    dtype = formats.running(ref.dtype, pipeline, device)
    parts = ref.unet, ref.vae, ref.clip, ref.loras
    return Subject(ref.path, ref.digest, dtype, device, *parts, tuple(digests(files).values()))
