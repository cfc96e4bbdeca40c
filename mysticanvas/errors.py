"""Every error a user can meet, in one tree.

    MystiCanvasError                       internal_error
    ├── InvalidRequest (ValueError)        invalid_request
    ├── NotFound (LookupError)             not_found
    ├── Conflict                           conflict
    ├── PresetError                        preset_error
    ├── ModelFileError                     model_file_error
    ├── OutOfMemory (MemoryError)          out_of_memory
    ├── DoesNotFit                         does_not_fit
    ├── WorkerCrashed                      worker_crashed
    ├── JobCancelled                       job_cancelled
    ├── PermissionDenied (PermissionError) permission_denied
    ├── StoreError                         store_error
    │   ├── StoreBusy                      store_busy
    │   ├── StoreLocked                    store_locked
    │   ├── StoreTooNew                    store_too_new
    │   ├── StoreDamaged                   store_damaged
    │   └── StoreFull                      store_full
    ├── HubUnavailable                     hub_unavailable
    └── OrchestratorUnavailable            orchestrator_unavailable

    Stopped (KeyboardInterrupt)            the stop button; no wire code, it never leaves the kernel

The second column is the wire code: it travels in `application/problem+json` and is what a client
turns back into the class. Codes are stable; a message is not.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self


class MystiCanvasError(Exception):
    """The root of the tree. Each class has a `code`, which stays the same whatever a message says.

    Args:
        detail: what is wrong, in a sentence that names the input.
        hint: what the user can do about it.
        request_id: the id of the call, as found on every log line that it caused.
        extra: further members of the problem document, such as `parameter` and `allowed`.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong inside MystiCanvas"

    def __init__(
        self,
        detail: str,
        *,
        hint: str = "",
        request_id: str = "",
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.request_id = request_id
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.detail} {self.hint}".strip()

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the user's own lines, and what is wrong."""
        from mysticanvas import tracebacks

        return tracebacks.rendered(self)

    def within(self, whole: str) -> Self:
        """The same error, whose text begins with what it is of, such as the name of a file."""
        return type(self)(
            f"{whole}: {self.detail}", hint=self.hint, request_id=self.request_id, **self.extra
        )


class InvalidRequest(MystiCanvasError, ValueError):
    """A parameter is not allowed; `.parameter`, `.value` and `.allowed` say which and why."""

    code = "invalid_request"
    status = 422
    title = "A parameter is not allowed"

    @property
    def parameter(self) -> str:
        """The name of what was refused; empty if it has none."""
        return str(self.extra.get("parameter", ""))

    @property
    def value(self) -> str:
        """The refused value, as text, shortened."""
        return str(self.extra.get("value", ""))

    @property
    def allowed(self) -> str:
        """What is allowed in its place, in words."""
        return str(self.extra.get("allowed", ""))


class NotFound(MystiCanvasError, LookupError):
    """There is no such image, job or preset."""

    code = "not_found"
    status = 404
    title = "Not found"


class Conflict(MystiCanvasError):
    """The call contradicts the present state, such as a shutdown while others are at work."""

    code = "conflict"
    status = 409
    title = "In use"


class PresetError(MystiCanvasError):
    """A preset names a model that is not there, or not complete."""

    code = "preset_error"
    status = 422
    title = "The preset cannot be used"


class ModelFileError(MystiCanvasError):
    """A model file is damaged, unsafe or of a kind that cannot be loaded."""

    code = "model_file_error"
    status = 422
    title = "The model file cannot be loaded"


class OutOfMemory(MystiCanvasError, MemoryError):
    """The device ran out of memory."""

    code = "out_of_memory"
    status = 507
    title = "Out of memory"


class DoesNotFit(MystiCanvasError):
    """The request cannot fit on the device, whatever is unloaded for it."""

    code = "does_not_fit"
    status = 409
    title = "The request does not fit"

    @property
    def suggestion(self) -> dict[str, Any]:
        """Arguments that would fit: `canvas.generate(prompt, **error.suggestion)`, which has all
        that this canvas asked for, and what is to be changed alone for a job of another; or of a
        language model `preset.replace(**error.suggestion)`. Empty if none do."""
        given = self.extra.get("suggestion")
        return dict(given) if isinstance(given, dict) else {}

    @property
    def plan(self) -> Any:
        """The plan of the request, as `canvas.plan` gives it."""
        return self.extra.get("plan")


class WorkerCrashed(MystiCanvasError):
    """A worker process ended while it had the job, and the job was not to be tried again."""

    code = "worker_crashed"
    status = 502
    title = "A worker process crashed"


class JobCancelled(MystiCanvasError):
    """The job was cancelled, so it has no result."""

    code = "job_cancelled"
    status = 409
    title = "The job was cancelled"


class PermissionDenied(MystiCanvasError, PermissionError):
    """The token is missing or wrong, or the caller may not do this."""

    code = "permission_denied"
    status = 403
    title = "Not permitted"


class StoreError(MystiCanvasError):
    """The database could not do what was asked; nothing acknowledged was lost."""

    code = "store_error"
    title = "The store failed"


class StoreBusy(StoreError):
    """What was asked has to wait for work on the store that is under way; ask again later."""

    code = "store_busy"
    status = 503
    title = "The store is at work"


class StoreLocked(StoreError):
    """Another process holds the store."""

    code = "store_locked"
    status = 503
    title = "The store is in use"


class StoreTooNew(StoreError):
    """A newer MystiCanvas wrote this store; it is left untouched."""

    code = "store_too_new"
    status = 503
    title = "The store is newer than this library"


class StoreDamaged(StoreError):
    """The database is damaged or has fewer rows than were acknowledged; it is left untouched."""

    code = "store_damaged"
    status = 503
    title = "The store is damaged"


class StoreFull(StoreError):
    """The disk that holds the home directory is full."""

    code = "store_full"
    status = 507
    title = "The disk is full"


class HubUnavailable(MystiCanvasError):
    """The Hugging Face hub cannot be asked now, or must not be."""

    code = "hub_unavailable"
    status = 502
    title = "The Hugging Face hub is not available"


class OrchestratorUnavailable(MystiCanvasError):
    """The orchestrator could not be started or reached."""

    code = "orchestrator_unavailable"
    status = 503
    title = "The orchestrator is not available"


class Stopped(KeyboardInterrupt):
    """The stop button ended a call; `.job` is the job that it made or waited for, None if there is
    none.

    It is a KeyboardInterrupt, so that "run all cells" stops too.
    """

    def __init__(self, message: str, job: Any = None) -> None:
        super().__init__(message)
        self.job = job

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: one line, since nothing went wrong."""
        return [f"Stopped: {self}"]


def _tree(root: type[MystiCanvasError]) -> dict[str, type[MystiCanvasError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


BY_CODE: dict[str, type[MystiCanvasError]] = _tree(MystiCanvasError)
"""Wire code -> class."""
