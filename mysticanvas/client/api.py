"""The orchestrator's HTTP interface as typed calls, a method an endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter

from mysticanvas.client.http import (
    AT_ONCE_S,
    FIRST_USE_S,
    LONG_ANSWER_S,
    ConnectionLost,
    HttpClient,
)
from mysticanvas.contracts.backups import BackupRecord, BackupRequest
from mysticanvas.contracts.doctor import Diagnosis
from mysticanvas.contracts.filters import ImageFilters, Sort
from mysticanvas.contracts.health import Health, QueueStatus, WorkerStatus
from mysticanvas.contracts.images import ImageChanges, ImageCount, ImagePage, ImageRecord
from mysticanvas.contracts.jobs import (
    IDEMPOTENCY_HEADER,
    GenerateRequest,
    HostRequest,
    JobPage,
    JobRecord,
    ReproduceRequest,
)
from mysticanvas.contracts.measurements import Accuracy, Measurement
from mysticanvas.contracts.models import FoundModel, ModelFolder
from mysticanvas.contracts.plan import Plan, PlanRequest
from mysticanvas.contracts.plugins import PluginRecord
from mysticanvas.contracts.presets import DefaultPreset, ImagePreset, Kind, Preset
from mysticanvas.contracts.prune import PruneReport, PruneRequest
from mysticanvas.contracts.refusal import unicode_text
from mysticanvas.contracts.search import SearchPage, SearchSort
from mysticanvas.contracts.sql import SqlRequest
from mysticanvas.contracts.tags import (
    AliasRequest,
    BulkTagNames,
    MergeRequest,
    RenameRequest,
    TagAlias,
    TagOnImage,
    TagPage,
    TagRecord,
)
from mysticanvas.contracts.vram import VramStatus
from mysticanvas.errors import MystiCanvasError

P = TypeVar("P", bound=Preset)

_MEASUREMENTS = TypeAdapter(list[Measurement])
_ACCURACY = TypeAdapter(list[Accuracy])
_WORKERS = TypeAdapter(list[WorkerStatus])
_MODELS = TypeAdapter(list[FoundModel])
_PLUGINS = TypeAdapter(list[PluginRecord])
_TAGS = TypeAdapter(list[TagOnImage])
_ALIASES = TypeAdapter(list[TagAlias])
_MAYBE_JOB = TypeAdapter[JobRecord | None](JobRecord | None)
_IMAGES = TypeAdapter(list[ImageRecord])


class Api:
    """Every call may raise `ConnectionLost` or any `MystiCanvasError`, and may be repeated unless
    it says otherwise: submitting carries an idempotency key, the others change nothing the second
    time."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    def plan(self, request: PlanRequest) -> Plan:
        # The first plan of a model waits until it is hashed and traced.
        answer = self._http.request("POST", "/v1/plan", body=request, answer_s=FIRST_USE_S)
        return Plan.model_validate_json(answer)

    def vram(self) -> VramStatus:
        return VramStatus.model_validate_json(self._http.request("GET", "/v1/vram"))

    def vram_history(self, limit: int) -> list[Measurement]:
        answer = self._http.request("GET", "/v1/vram/history", query={"limit": limit})
        return _MEASUREMENTS.validate_json(answer)

    def vram_accuracy(self) -> list[Accuracy]:
        return _ACCURACY.validate_json(self._http.request("GET", "/v1/vram/accuracy"))

    def health(self) -> Health:
        return Health.model_validate_json(self._http.request("GET", "/internal/health"))

    def answers(self) -> bool:
        """Whether it says how it is: then it is at work on what it has not answered in time."""
        try:
            self._http.request("GET", "/internal/health", answer_s=AT_ONCE_S)
        except (ConnectionLost, MystiCanvasError):
            return False
        return True

    def submit(
        self,
        request: GenerateRequest | ReproduceRequest | HostRequest,
        key: str,
        waiting: Callable[[], None] | None = None,
    ) -> JobRecord:
        """Queue a job; the same key again gives the same job.

        Args:
            waiting: called again and again while there is no answer.
        """
        answer = self._http.request(
            "POST",
            "/v1/jobs",
            body=request,
            headers={IDEMPOTENCY_HEADER: key},
            # The first use of a model waits until its files are hashed.
            answer_s=FIRST_USE_S,
            waiting=waiting,
        )
        return JobRecord.model_validate_json(answer)

    def withdraw(self, key: str) -> JobRecord | None:
        """Cancel the job that was submitted with this key; None if there is none, and then none
        comes of a request with it that is on its way."""
        headers = {IDEMPOTENCY_HEADER: key}
        answer = self._http.request("POST", "/v1/jobs/cancel", headers=headers)
        return _MAYBE_JOB.validate_json(answer)

    def job(self, job_id: str, project: str | None = None) -> JobRecord:
        answer = self._http.request("GET", f"/v1/jobs/{job_id}", query={"project": project})
        return JobRecord.model_validate_json(answer)

    def jobs(
        self,
        limit: int,
        cursor: str | None = None,
        status: str | None = None,
        kind: str | None = None,
        project: str | None = None,
        internal: bool = False,
    ) -> JobPage:
        query = {
            "limit": limit,
            "cursor": cursor,
            "status": status,
            "kind": kind,
            "project": project,
            "internal": internal,
        }
        return JobPage.model_validate_json(self._http.request("GET", "/v1/jobs", query=query))

    def pause(self) -> QueueStatus:
        return QueueStatus.model_validate_json(self._http.request("POST", "/v1/queue/pause"))

    def resume(self) -> QueueStatus:
        return QueueStatus.model_validate_json(self._http.request("POST", "/v1/queue/resume"))

    def cancel(self, job_id: str) -> JobRecord:
        return JobRecord.model_validate_json(
            self._http.request("POST", f"/v1/jobs/{job_id}/cancel")
        )

    def images(
        self, filters: ImageFilters, limit: int, cursor: str | None = None, sort: Sort = "newest"
    ) -> ImagePage:
        query = {**_query(filters), "limit": limit, "cursor": cursor, "sort": sort}
        return ImagePage.model_validate_json(self._http.request("GET", "/v1/images", query=query))

    def image_count(self, filters: ImageFilters) -> int:
        answer = self._http.request("GET", "/v1/images/count", query=_query(filters))
        return ImageCount.model_validate_json(answer).total

    def image_details(self, image_ids: Sequence[str]) -> list[ImageRecord]:
        """Whole records, as far as there are; at most `MAX_IDS` at a time."""
        query = {"ids": list(image_ids)}
        return _IMAGES.validate_json(self._http.request("GET", "/v1/images/details", query=query))

    def change_image(self, image_id: str, changes: ImageChanges) -> ImageRecord:
        answer = self._http.request("PATCH", f"/v1/images/{image_id}", body=changes)
        return ImageRecord.model_validate_json(answer)

    def search(
        self,
        text: str,
        filters: ImageFilters,
        limit: int,
        cursor: str | None = None,
        sort: SearchSort = "best",
    ) -> SearchPage:
        query = {**_query(filters), "text": text, "limit": limit, "cursor": cursor, "sort": sort}
        return SearchPage.model_validate_json(self._http.request("GET", "/v1/search", query=query))

    def image(self, image_id: str, project: str | None = None) -> ImageRecord:
        answer = self._http.request("GET", f"/v1/images/{image_id}", query={"project": project})
        return ImageRecord.model_validate_json(answer)

    def tags_of(self, image_id: str) -> list[TagOnImage]:
        return _TAGS.validate_json(self._http.request("GET", f"/v1/images/{image_id}/tags"))

    def tags(
        self,
        prefix: str = "",
        project: str | None = None,
        *,
        name: str | None = None,
        limit: int = 1000,
        cursor: str | None = None,
        most_used: bool = False,
        unused: bool = False,
    ) -> TagPage:
        query = {
            "q": prefix,
            "project": project,
            "name": name,
            "limit": limit,
            "cursor": cursor,
            "most_used": most_used,
            "unused": unused,
        }
        return TagPage.model_validate_json(self._http.request("GET", "/v1/tags", query=query))

    def add_tags(self, ids: list[str], names: list[str]) -> None:
        self._http.request("POST", "/v1/tags/add", body=BulkTagNames(ids=ids, names=names))

    def remove_tags(self, ids: list[str], names: list[str]) -> None:
        self._http.request("POST", "/v1/tags/remove", body=BulkTagNames(ids=ids, names=names))

    def aliases(self) -> list[TagAlias]:
        return _ALIASES.validate_json(self._http.request("GET", "/v1/tags/aliases"))

    def alias(self, request: AliasRequest) -> None:
        self._http.request("POST", "/v1/tags/aliases", body=request)

    def rename_tag(self, request: RenameRequest) -> TagRecord:
        answer = self._http.request("POST", "/v1/tags/rename", body=request, answer_s=LONG_ANSWER_S)
        return TagRecord.model_validate_json(answer)

    def merge_tags(self, request: MergeRequest) -> TagRecord:
        answer = self._http.request("POST", "/v1/tags/merge", body=request, answer_s=LONG_ANSWER_S)
        return TagRecord.model_validate_json(answer)

    def thumbnail(self, image_id: str, size: int) -> bytes:
        """A WebP file."""
        return self._http.request("GET", f"/v1/images/{image_id}/thumbnail", query={"size": size})

    def delete_image(self, image_id: str) -> None:
        self._http.request("DELETE", f"/v1/images/{image_id}")

    def restore_image(self, image_id: str) -> ImageRecord:
        answer = self._http.request("POST", f"/v1/images/{image_id}/restore")
        return ImageRecord.model_validate_json(answer)

    def prune(self, request: PruneRequest) -> PruneReport:
        """Returns when the files are gone."""
        answer = self._http.request(
            "POST", "/v1/images/prune", body=request, answer_s=LONG_ANSWER_S
        )
        return PruneReport.model_validate_json(answer)

    def doctor(self, repair: bool) -> Diagnosis:
        answer = self._http.request(
            "POST", "/v1/doctor", body={"repair": repair}, answer_s=LONG_ANSWER_S
        )
        return Diagnosis.model_validate_json(answer)

    def presets(self, kind: type[P]) -> list[P]:
        path = "/v1/presets" if kind is ImagePreset else f"/v1/presets/{kind.KIND}"
        return _several(kind, self._http.request("GET", path))

    def preset(self, kind: type[P], name: str) -> P:
        return kind.model_validate_json(self._http.request("GET", _preset(kind, name)))

    def save_preset(self, preset: P) -> P:
        path = _preset(type(preset), preset.name)
        # The first use of a model waits until its files are hashed.
        answer = self._http.request("PUT", path, body=preset, answer_s=FIRST_USE_S)
        return type(preset).model_validate_json(answer)

    def save_presets(self, kind: type[P], presets: Sequence[P]) -> list[P]:
        """All of them, or none."""
        several = [each.model_dump(mode="json", exclude_defaults=True) for each in presets]
        answer = self._http.request(
            "PUT", f"/v1/presets/{kind.KIND}", body={"presets": several}, answer_s=FIRST_USE_S
        )
        return _several(kind, answer)

    def delete_preset(self, kind: type[Preset], name: str) -> None:
        self._http.request("DELETE", _preset(kind, name))

    def preset_revisions(self, kind: type[P], name: str) -> list[P]:
        answer = self._http.request("GET", f"{_preset(kind, name)}/revisions")
        return _several(kind, answer)

    def default_preset(self, kind: type[Preset]) -> str | None:
        query = {"kind": kind.KIND}
        answer = self._http.request("GET", "/v1/presets/default", query=query)
        return DefaultPreset.model_validate_json(answer).name

    def set_default_preset(self, kind: type[Preset], name: str | None) -> None:
        query, body = {"kind": kind.KIND}, DefaultPreset(name=name)
        self._http.request("PUT", "/v1/presets/default", query=query, body=body)

    def models(self, kind: str | None) -> list[FoundModel]:
        answer = self._http.request(
            "GET", "/v1/models", query={"kind": kind}, answer_s=LONG_ANSWER_S
        )
        return _MODELS.validate_json(answer)

    def add_models(self, folder: ModelFolder) -> list[FoundModel]:
        answer = self._http.request(
            "POST", "/v1/models/folders", body=folder, answer_s=LONG_ANSWER_S
        )
        return _MODELS.validate_json(answer)

    def plugins(self) -> list[PluginRecord]:
        return _PLUGINS.validate_json(self._http.request("GET", "/v1/plugins"))

    def workers(self) -> list[WorkerStatus]:
        return _WORKERS.validate_json(self._http.request("GET", "/v1/workers"))

    def start_worker(self, kind: str, preset: str | None = None) -> list[WorkerStatus]:
        body = {"kind": kind} if preset is None else {"kind": kind, "preset": preset}
        answer = self._http.request("POST", "/v1/workers/start", body=body, answer_s=LONG_ANSWER_S)
        return _WORKERS.validate_json(answer)

    def reset_workers(self, kind: str | None) -> list[WorkerStatus]:
        answer = self._http.request("POST", "/v1/workers/reset", body={"kind": kind})
        return _WORKERS.validate_json(answer)

    def sql(self, request: SqlRequest) -> bytes:
        """The result of a query, as an Arrow IPC stream."""
        return self._http.request("POST", "/v1/sql", body=request, answer_s=LONG_ANSWER_S)

    def unload(self, preset: str | None, kind: Kind | None) -> None:
        """Returns when the memory is free, which may be after the job that runs."""
        body = {"preset": preset, "kind": kind}
        self._http.request("POST", "/v1/unload", body=body, answer_s=LONG_ANSWER_S)

    def pin(self, preset: str, kind: Kind | None, pinned: bool) -> None:
        """Have the model of a preset stay, or no longer."""
        body = {"preset": preset, "kind": kind, "pinned": pinned}
        self._http.request("POST", "/v1/pin", body=body)

    def backup(self, path: str) -> BackupRecord:
        """Copy the store into a new file; not to be repeated, since none is overwritten."""
        body = BackupRequest(path=path)
        answer = self._http.request("POST", "/v1/backups", body=body, answer_s=LONG_ANSWER_S)
        return BackupRecord.model_validate_json(answer)

    def shutdown(self, force: bool, client: str, drain_s: float = 0.0) -> None:
        """Have it stop, after at most `drain_s` seconds in which jobs may end; returns at once.

        Raises:
            Conflict: clients other than `client` use it, and `force` is not set.
        """
        self._http.request(
            "POST", "/v1/shutdown", body={"force": force, "client": client, "drain_s": drain_s}
        )

    def close(self) -> None:
        self._http.close()


def _several(kind: type[P], answer: bytes) -> list[P]:
    found: list[P] = TypeAdapter(list[kind]).validate_json(answer)  # type: ignore[valid-type]
    return found


def _preset(kind: type[Preset], name: str) -> str:
    return f"/v1/presets/{kind.KIND}/{unicode_text('name', name)}"


def _query(filters: ImageFilters) -> dict[str, Any]:
    """The filters as members of a query."""
    return filters.model_dump(mode="json", exclude_defaults=True)
