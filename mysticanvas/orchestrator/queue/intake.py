"""Takes requests in: resolves and checks everything, so that what is queued can run."""

from __future__ import annotations

import datetime
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue, ValidationError

from mysticanvas import logs
from mysticanvas.contracts import scheduler_settings
from mysticanvas.contracts.ids import new_id
from mysticanvas.contracts.images import ImageRecord
from mysticanvas.contracts.jobs import (
    IDEMPOTENCY_HEADER,
    GenerateRequest,
    HostKind,
    HostRequest,
    JobRecord,
    JobStatus,
    ReproduceRequest,
)
from mysticanvas.contracts.memory import DeviceKind
from mysticanvas.contracts.mitigations import OFFLOADS
from mysticanvas.contracts.params import Priority, check_recipe
from mysticanvas.contracts.presets import ImagePreset
from mysticanvas.contracts.recipe import Recipe, ResolvedParams
from mysticanvas.contracts.refusal import refused
from mysticanvas.contracts.worker import GenerateTask, ModelRef
from mysticanvas.errors import JobCancelled, MystiCanvasError, NotFound, StoreFull
from mysticanvas.orchestrator import models, quota
from mysticanvas.orchestrator.arbiter import formats
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.orchestrator.queue import kinds
from mysticanvas.orchestrator.queue.kinds import Kinds
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.orchestrator.resolution import model_ref, resolve
from mysticanvas.settings import Settings
from mysticanvas.store import Store

_log = logs.get(__name__)
_MIB = 1 << 20
_WITHDRAWN = 1024
"""Keys that are remembered: requests of which it is not known whether they will come."""
_Request = GenerateRequest | ReproduceRequest | HostRequest


class Accepted(NamedTuple):
    """What became of a request: the job, and whether it is new."""

    job: JobRecord
    created: bool


class Intake:
    """Turns requests into queued jobs. One that comes again, with its key, is the same job,
    whatever has become of that.

    Args:
        store: what they are resolved with.
        transitions: where they are queued.
        table: what this process carries out itself.
        home: the folder whose disk must have room.
        settings: how much room a job needs, and how much all pictures may take.
        presets: find and describe the model of a request.
        device: what the worker computes on, as far as it is known.
    """

    def __init__(
        self,
        store: Store,
        transitions: Transitions,
        table: Kinds,
        home: Path,
        settings: Settings,
        presets: Presets,
        device: Callable[[], DeviceKind | None] = lambda: None,
    ) -> None:
        self._store = store
        self._transitions = transitions
        self._kinds = table
        self._home = home
        self._min_free_mib = settings.min_free_mib
        self._quota_mib = settings.disk_quota_mib
        self._presets = presets
        self._device = device
        self._lock = threading.Lock()
        self._withdrawn: dict[str, None] = {}

    def generate(self, request: GenerateRequest, key: str, request_id: str) -> Accepted:
        """Queue pictures from a prompt, or find them if `reuse` allows it.

        Raises:
            InvalidRequest: there is no such preset, the model cannot be asked for that, or the key
                is another request's.
            PresetError, ModelFileError: the model cannot be used.
            StoreFull: the disk has too little room, or the quota is used up.
        """
        return self._once(request, key, lambda: self._generate(request, key, request_id))

    def reproduce(self, request: ReproduceRequest, key: str, request_id: str) -> Accepted:
        """Queue the batch of a recipe again.

        Raises:
            InvalidRequest: the recipe holds what `generate` would not allow, or the key is another
                request's.
            PresetError: no preset here has the recipe's name, or one of its LoRAs is not there.
            StoreFull: the disk has too little room, or the quota is used up.
        """
        return self._once(request, key, lambda: self._reproduce(request, key, request_id))

    def host(self, request: HostRequest, key: str, request_id: str) -> Accepted:
        """Queue work of this process that a user asks for.

        Raises:
            InvalidRequest: nothing carries out that kind, a parameter is not allowed, or the key is
                another request's.
        """
        return self._once(request, key, lambda: self._host(request, key, request_id))

    def withdraw(self, key: str) -> JobRecord | None:
        """Cancel the job that was asked for with this key; if the request is still on its way, or
        its model is being read, no job comes of it.

        Returns:
            The job; None if there is none.
        """
        # Before looking: a job that is stored meanwhile is cancelled by whoever stores it.
        with self._lock:
            self._withdrawn[key] = None
            if len(self._withdrawn) > _WITHDRAWN:
                del self._withdrawn[next(iter(self._withdrawn))]
        job = self._store.jobs.by_key(key)
        if job is None:
            return None
        self._transitions.cancel(job.record.id)
        return self._store.jobs.get(job.record.id).record

    def internal(self, kind: HostKind, params: dict[str, JsonValue] | None = None) -> None:
        """Have work of this process done in the background, unless such work waits already."""
        request = HostRequest(kind=kind, params=params or {})
        checked = kinds.checked(self._kinds, kind, request.params)
        record = _host_record(request, request_id="").model_copy(update={"internal": True})
        self._transitions.add_unless_waiting(record, request.model_dump_json(), checked)

    def _once(self, request: _Request, key: str, take_in: Callable[[], Accepted]) -> Accepted:
        """What `take_in` makes of a request, or the job that was made of it before: that may itself
        be why the request would be refused by now, having used up the room, say.

        It is looked for last, since it would cost every request what only a second try needs.
        """
        try:
            accepted = take_in()
        except MystiCanvasError:
            known = self._store.jobs.by_key(key)
            if known is None:
                raise
            accepted = Accepted(self._transitions.shown(known.record), created=False)
        if not accepted.created and not accepted.job.reused:
            _check_same(request, self._store.jobs.request(accepted.job.id), key)
        return accepted

    def _generate(self, request: GenerateRequest, key: str, request_id: str) -> Accepted:
        params = request.params
        preset = self._presets.find(params.preset)
        model = self._presets.model(preset)
        adapters = self._presets.loras.of(preset, params.loras)
        resolved = resolve(params, preset, model, adapters)
        recipe = Recipe(
            preset=preset.name,
            preset_revision=preset.revision,
            pipeline=model.pipeline,
            params=resolved,
            model_files={**model.files, **adapters.files},
            loras=adapters.labels,
        )
        if params.reuse:
            # A request that comes again is its job, also once that has made what can be reused.
            known = self._store.jobs.by_key(key)
            if known is not None:
                return Accepted(self._transitions.shown(known.record), created=False)
            dtype = self._number_format(preset, model.pipeline)
            # Offloaded or not, pixels are the same.
            allowed = None if params.mitigations == "auto" else OFFLOADS
            found = self._store.images.by_request(
                recipe.request_hash, request.project, dtype, allowed
            )
            if found and all((self._home / image.file.path).is_file() for image in found):
                self._tag(found, params.tags)
                return Accepted(_reused(found, params.priority), created=False)
        self._check_room(resolved)
        record = _queued("generate", request.project, params.priority, recipe, request_id)
        record = record.model_copy(
            update={
                "notices": [
                    *_notices(params.prompt, model, preset),
                    *self._presets.notice_changes(preset, model),
                ],
                "after_crash": request.after_crash,
            }
        )
        task = _task(record, recipe, model_ref(preset, model, adapters)).model_copy(
            update={"tags": params.tags, "allowed": params.mitigations}
        )
        return self._add(record, request.model_dump_json(), task, key)

    def _reproduce(self, request: ReproduceRequest, key: str, request_id: str) -> Accepted:
        recipe = request.recipe
        check_recipe(recipe)
        preset = self._presets.of_recipe(recipe)
        model = self._presets.model(preset)
        wanted = recipe.params.scheduler, recipe.params.scheduler_config
        scheduler_settings.check(model.scheduler, *wanted, "recipe.params.")
        adapters = self._presets.loras.of_recipe(recipe)
        self._check_room(recipe.params)
        again = recipe.model_copy(
            update={
                "batch_index": 0,
                "environment": None,
                "model_files": {**model.files, **adapters.files},
                "params": recipe.params.model_copy(update={"loras": adapters.weights}),
                "pipeline": model.pipeline,
                "preset_revision": preset.revision,
            }
        )
        record = _queued("reproduce", request.project, "interactive", again, request_id)
        record = record.model_copy(update={"after_crash": request.after_crash})
        lost = request.parent is not None and not self._is_there(request.parent)
        task = _task(record, again, model_ref(preset, model, adapters)).model_copy(
            update={
                "only_index": recipe.batch_index,
                "unless_pixels": None if lost else request.pixels_sha256,
                "parent": request.parent,
                "source": "reproduce",
            }
        )
        return self._add(record, request.model_dump_json(), task, key)

    def _host(self, request: HostRequest, key: str, request_id: str) -> Accepted:
        params = kinds.checked(self._kinds, request.kind, request.params)
        record = _host_record(request, request_id)
        return self._add(record, request.model_dump_json(), None, key, params)

    def _add(
        self,
        record: JobRecord,
        request: str,
        task: GenerateTask | None,
        key: str,
        params: dict[str, JsonValue] | None = None,
    ) -> Accepted:
        if key in self._withdrawn:
            raise JobCancelled("The request was cancelled before a job came of it.")
        with self._transitions.changed:
            if task is not None:
                # Once more: others were at this very point when there was room before.
                self._check_room(task.recipe.params)
            job, created = self._transitions.add(record, request, task, key, params)
        if task is not None:
            _log.debug("job_request", job_id=job.id, prompt=task.recipe.params.prompt)
        if key in self._withdrawn:
            self._transitions.cancel(job.id)
        return Accepted(job, created)

    def _is_there(self, image_id: str) -> bool:
        """Whether a picture is not deleted and has its file."""
        try:
            original = self._store.files.original(image_id)
        except NotFound:
            return False
        return (self._home / original.path).is_file()

    def _number_format(self, preset: ImagePreset, pipeline: str) -> str | None:
        """That in which pictures of a preset come out; None while the device is not known that one
        would be chosen for."""
        device = self._device()
        if preset.dtype == "auto" and device is None:
            return None
        return formats.running(preset.dtype, pipeline, device)

    def _tag(self, images: list[ImageRecord], names: list[str]) -> None:
        """Give pictures that were there before what they were asked for with."""
        if names:
            self._store.tags.add([image.seq for image in images], names, "user")

    def _check_room(self, params: ResolvedParams) -> None:
        if self._quota_mib is not None:
            promised, more = map(quota.expected, (self._pixels_to_come(), params.pixels))
            quota.check(self._store.files.usage(), promised, more, self._quota_mib)
        free = shutil.disk_usage(self._home).free // _MIB
        if free < self._min_free_mib:
            raise StoreFull(
                f"Only {free} MiB are free on the disk of {self._home}; a job needs "
                f"{self._min_free_mib} MiB.",
                hint="Free some room, or set MYSTICANVAS_MIN_FREE_MIB to a smaller number.",
            )

    def _pixels_to_come(self) -> int:
        """Of the pictures that jobs are to make which wait or run."""
        running = (run.job.task for run in self._transitions.runs())
        return self._store.jobs.pixels_waiting() + sum(
            task.recipe.params.pixels for task in running if task is not None
        )


def _check_same(request: _Request, before: str, key: str) -> None:
    """Refuse a request with the key of another, whose job it would be taken for.

    Args:
        before: the request that came first, as JSON.
    """
    try:
        same = type(request).model_validate_json(before) == request
    except ValidationError:
        same = False
    if not same:
        raise refused(IDEMPOTENCY_HEADER, key, "a key that no other request has come with")


def _queued(
    kind: str, project: str, priority: Priority, recipe: Recipe, request_id: str
) -> JobRecord:
    return JobRecord.model_validate(
        {
            "id": new_id(),
            "kind": kind,
            "status": JobStatus.QUEUED,
            "project": project,
            "priority": priority,
            "request_hash": recipe.request_hash,
            "prompt": recipe.params.prompt,
            "request_id": request_id,
            "created_at": datetime.datetime.now(datetime.UTC),
        }
    )


def _host_record(request: HostRequest, request_id: str) -> JobRecord:
    return JobRecord(
        id=new_id(),
        kind=request.kind,
        status=JobStatus.QUEUED,
        project=request.project,
        priority=request.priority,
        request_hash="",
        request_id=request_id,
        after_crash=request.after_crash,
        created_at=datetime.datetime.now(datetime.UTC),
    )


def _task(record: JobRecord, recipe: Recipe, model: ModelRef) -> GenerateTask:
    return GenerateTask(
        job_id=record.id,
        attempt=0,
        image_ids=[new_id() for _ in range(recipe.params.num_images)],
        model=model,
        recipe=recipe,
        project=record.project,
        created_at=record.created_at,
    )


def _reused(images: list[ImageRecord], priority: Priority) -> JobRecord:
    first = images[0]
    return JobRecord(
        id=first.job_id,
        kind="generate",
        status=JobStatus.SUCCEEDED,
        project=first.project,
        priority=priority,
        request_hash=first.request_hash,
        prompt=first.prompt,
        created_at=first.created_at,
        finished_at=first.created_at,
        images=images,
        reused=True,
    )


def _notices(prompt: str, model: models.Model, preset: ImagePreset) -> list[str]:
    if model.world is None:
        return []
    unknown = models.unknown_words(prompt, model.world)
    if not unknown:
        return []
    words = ", ".join(repr(word) for word in unknown[:3])
    return [
        f"The {preset.name!r} model does not know {words}. It draws: {model.world.draws} "
        'For anything else, give a real model: preset="/path/to/a/diffusers/folder".'
    ]
