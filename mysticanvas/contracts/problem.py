"""The one error shape on the wire: RFC 9457 `application/problem+json`."""

from __future__ import annotations

from typing import Any

from mysticanvas import errors
from mysticanvas.contracts.base import Contract

MEDIA_TYPE = "application/problem+json"
REQUEST_ID_HEADER = "X-Request-ID"


class Problem(Contract):
    """An error as a document.

    `code` is stable and names the class; `extra` holds members of that class alone, such as the
    parameter that was refused.
    """

    code: str
    title: str
    status: int
    detail: str
    hint: str = ""
    request_id: str = ""
    extra: dict[str, Any] = {}

    @classmethod
    def of(cls, error: BaseException, request_id: str = "") -> Problem:
        """The document of an error. One that is not ours becomes `internal_error`; its own text
        stays in the log, since it may hold anything."""
        if not isinstance(error, errors.MystiCanvasError):
            error = errors.MystiCanvasError(
                f"An unexpected {type(error).__name__} occurred.",
                hint="The logs folder of the home directory has the details.",
            )
        return cls(
            code=error.code,
            title=error.title,
            status=error.status,
            detail=error.detail,
            hint=error.hint,
            request_id=error.request_id or request_id,
            extra=error.extra,
        )

    def to_error(self) -> errors.MystiCanvasError:
        """The error again, of the class that `code` names; an unknown code gives the root."""
        kind = errors.BY_CODE.get(self.code, errors.MystiCanvasError)
        extra = dict(self.extra)
        if kind is errors.DoesNotFit and "plan" in extra:
            # Late: few errors have one, and every kernel pays for this module.
            from mysticanvas.contracts.plan import Plan

            extra["plan"] = Plan.model_validate(extra["plan"])
        return kind(self.detail, hint=self.hint, request_id=self.request_id, **extra)
