"""One run of a job on a worker: the messages of its stream, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from pydantic import ValidationError

from mysticanvas.contracts import loras
from mysticanvas.contracts.jobs import Progress
from mysticanvas.contracts.memory import LORAS, DeviceKind, MemoryPart
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.problem import Problem
from mysticanvas.contracts.worker import (
    Failed,
    Finished,
    GenerateTask,
    Kept,
    Made,
    Previewed,
    Progressed,
    RanOut,
)
from mysticanvas.errors import OutOfMemory
from mysticanvas.orchestrator.arbiter import formats
from mysticanvas.orchestrator.arbiter.comparison import Ran
from mysticanvas.orchestrator.events import Bus
from mysticanvas.orchestrator.queue import outcomes, preemption
from mysticanvas.orchestrator.queue.retry import Failure
from mysticanvas.orchestrator.queue.run import LOADING, Run
from mysticanvas.orchestrator.supervisor.client import GenerateStream
from mysticanvas.orchestrator.supervisor.deadlines import USUAL_PIXELS
from mysticanvas.orchestrator.supervisor.lease import Lease
from mysticanvas.orchestrator.supervisor.messages import Held
from mysticanvas.store import NewImage, StoredJob

_RAN_OUT = "ran_out"
_STEPS_TO_SETTLE = 2.0
_MIB = 1 << 20


class Generation(Run):
    """An attempt that a worker carries out.

    Args:
        job, bus: as for every run.
        is_wanted: whether somebody waits for the worker.
        device: what that computes on, as far as it is known.

    Raises:
        StoreError: what the job was to do cannot be read.
    """

    def __init__(
        self,
        job: StoredJob,
        bus: Bus,
        is_wanted: Callable[[], bool],
        device: Callable[[], DeviceKind | None] = lambda: None,
    ) -> None:
        super().__init__(job, bus)
        self._is_wanted = is_wanted
        self._device = device
        if job.task is None:
            raise outcomes.unreadable()
        self.task: GenerateTask = job.task.model_copy(
            update={"attempt": job.record.attempts, "previews": bus.previews_wanted}
        )
        self._asked = self.task
        self.made: list[Made] = []
        self.finished: Finished | None = None
        self.kept: Kept | None = None
        """What is sampled and not decoded."""
        self.problem: Problem | None = None
        self.lease: Lease | None = None
        """The worker process that it was given to, once there is one."""
        self.worn = False
        """Whether that may compute otherwise than a new one from here on."""
        self._stream: GenerateStream | None = None
        self._planned: tuple[str, ...] = self.task.recipe.mitigations
        self._slowdown = 1.0
        self._longest_step_s = 0.0
        self._advanced_at = time.monotonic()

    @property
    def has_begun(self) -> bool:
        return self._stream is not None

    @property
    def model(self) -> Held:
        """What it runs with."""
        recipe = self.task.recipe
        return formats.held(self.task.model, recipe.preset, recipe.pipeline, self._device())

    @property
    def times(self) -> float:
        """How many times as long as one usual picture a step of it may take: a batch is denoised as
        a whole."""
        params = self.task.recipe.params
        pixels = params.num_images * params.width * params.height
        return max(1.0, pixels / USUAL_PIXELS) * self._slowdown

    @property
    def settle_s(self) -> float:
        """Seconds within which it can be expected to end at a step, once it was told to; 0 as long
        as it has made none."""
        return _STEPS_TO_SETTLE * self._longest_step_s

    @property
    def has_model(self) -> bool:
        """Whether its model is loaded, so that no other is."""
        return self.progress.stage != LOADING

    @property
    def images(self) -> list[NewImage]:
        """The pictures to record."""
        return [_new_image(self.task, made) for made in self.made if made.file]

    @property
    def matched(self) -> bool | None:
        """Of a reproduction, whether the pixels were those of a picture that is there."""
        if self.task.only_index is None:
            return None
        return any(made.file is None for made in self.made)

    @property
    def notices(self) -> list[str]:
        """What the user should know of its pictures: what the worker told of them, and mitigations
        that there were in the end beside those of the plan."""
        told = [text for last in (self.kept, self.finished) if last for text in last.notices]
        used = self.made[-1].recipe.mitigations if self.made else ()
        unplanned = [name for name in used if name not in self._planned]
        if unplanned:
            names = " and ".join(unplanned)
            told.append(f"Memory ran out; it was made with {names} instead.")
        return told

    @property
    def ran_out_loading(self) -> bool:
        """Whether memory ran out before anything was computed."""
        ran_out = self.problem is not None and self.problem.code == OutOfMemory.code
        return ran_out and not self.has_model

    def begin_anew(self) -> None:
        """Be as before the first plan."""
        self.problem = None
        self.task = self._asked

    def planned(self, plan: Plan) -> None:
        """Take over how it is to be run."""
        self._planned = plan.mitigations
        self._slowdown = max(1.0, plan.slowdown)
        self._run_with(plan.mitigations)

    def to_be_decoded(self, kept: Kept) -> None:
        """Take over what is left to be done: the decoding of what was sampled."""
        self._run_with(kept.mitigations)
        self.task = self.task.model_copy(update={"latents": kept.latents})

    def _run_with(self, mitigations: tuple[str, ...]) -> None:
        recipe = self.task.recipe.model_copy(update={"mitigations": mitigations})
        self.task = self.task.model_copy(update={"recipe": recipe})

    def ran(self) -> Ran | None:
        """What is known of the memory that it took; None where nothing is."""
        recipe = self.made[-1].recipe if self.made else self.task.recipe
        seconds: dict[str, float] = {}
        if self.finished is not None and recipe.environment is not None:
            told = RanOut(
                phases=[*(self.kept.ran_out.phases if self.kept else ()), *self.finished.phases],
                environment=recipe.environment,
                memory_parts=self.finished.memory_parts,
            )
            seconds = dict(self.finished.seconds)
            for stage, before in self.kept.seconds.items() if self.kept else ():
                seconds[stage] = before + seconds.get(stage, 0.0)
        else:
            where = self.problem and self.problem.extra.get(_RAN_OUT)
            try:
                told = RanOut.model_validate(where)
            except ValidationError:
                # Another problem, or an engine of somebody else's.
                return None
        weights = [part for part in told.memory_parts if part.name.startswith("weights.")]
        on_top = [part for part in weights if part.name == LORAS]
        return Ran(
            job_id=self.id,
            attempt=self.attempt,
            preset=recipe.preset,
            model=self.task.model.digest,
            params=recipe.params,
            mitigations=recipe.mitigations,
            environment=told.environment,
            phases=told.phases,
            weights=_bytes(weights),
            seconds=seconds,
            loras=tuple(loras.digests(recipe.model_files).values()),
            pipeline=recipe.pipeline,
            revision=recipe.preset_revision,
            lora_weights=_bytes(on_top),
        )

    def interrupt(self) -> None:
        if self._stream is not None:
            self._stream.hang_up()

    def follow(self, stream: GenerateStream) -> None:
        """Take the messages in, to the end of the stream."""
        with self.lock:
            self._stream = stream
            if self.stopped:
                stream.hang_up()
        previews = self.task.previews
        for message in stream:
            if isinstance(message, Progressed):
                self.advance(message.progress)
                previews = self._switch_previews(previews)
                self._make_way()
            elif isinstance(message, Previewed):
                self.tell("preview", message.model_dump(exclude={"type"}))
            elif isinstance(message, Made):
                self.made.append(message)
            elif isinstance(message, Failed):
                self.problem = message.problem
            elif isinstance(message, Kept):
                self.kept = message
            elif self.end():
                self.finished, self.worn = message, message.worn

    def advance(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage == self.progress.stage != LOADING:
            self._longest_step_s = max(self._longest_step_s, now - self._advanced_at)
        self._advanced_at = now
        super().advance(progress)
        if self.lease is not None:
            self.lease.progressed(progress.stage, progress.step)

    def _switch_previews(self, made: bool) -> bool:
        """Have previews made, or no longer, if that has changed; whether they are made now."""
        if self.lease is None or self.bus.previews_wanted == made:
            return made
        self.lease.client.previews(not made)
        return not made

    def _make_way(self) -> None:
        """Go back to the queue if somebody waits; a model that is being loaded cannot be left."""
        if not self.has_model or not preemption.decide(
            self.job.record.priority, self.past.made_way, self.progress.fraction
        ):
            return
        if self._is_wanted():
            self.stop(Failure.PREEMPTED)


def _bytes(parts: Sequence[MemoryPart]) -> int:
    return round(sum(part.mib for part in parts) * _MIB)


def _new_image(task: GenerateTask, made: Made) -> NewImage:
    assert made.file is not None
    return NewImage(
        id=made.image_id,
        job_id=task.job_id,
        batch_index=made.index,
        project=task.project,
        parent=task.parent,
        source=task.source,
        mode=made.mode,
        recipe=made.recipe,
        pixels_sha256=made.pixels_sha256,
        file=made.file,
        created_at=task.created_at,
        tags=tuple(task.tags),
    )
