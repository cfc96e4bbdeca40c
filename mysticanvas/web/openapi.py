"""What the OpenAPI document of every process says beside its routes: token and problems. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from mysticanvas import errors
from mysticanvas.contracts.problem import MEDIA_TYPE, Problem

_OF_THE_SHELL = {
    400: "The request cannot be read.",
    405: "The route has no such method.",
    413: "The body is too large.",
    415: "The body is not JSON.",
}
"""Statuses that `invalid_request` has beside its usual one."""
_METHODS = {"get", "put", "post", "delete", "patch"}


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """The document, with what every route wants and may answer."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema(mode="serialization")
    # FastAPI's own shape of errors, which is not ours.
    for theirs in ("HTTPValidationError", "ValidationError"):
        schemas.pop(theirs, None)
    components["responses"] = problems()
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    for path in document.get("paths", {}).values():
        for method in path.keys() & _METHODS:
            answers = path[method]["responses"]
            answers.update(
                {code: {"$ref": f"#/components/responses/{code}"} for code in problems()}
            )
    return document


def problems() -> dict[str, Any]:
    """The answer for each status that a request may be refused with: which codes it can have."""
    return {
        str(status): {
            "description": description,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, description in sorted(_statuses().items())
    }


def _statuses() -> dict[int, str]:
    codes: dict[int, list[str]] = defaultdict(list)
    for code, error in errors.BY_CODE.items():
        codes[error.status].append(f"`{code}`: {error.title}.")
    own = {
        status: f"`{errors.InvalidRequest.code}`: {what}" for status, what in _OF_THE_SHELL.items()
    }
    return {status: " ".join(texts) for status, texts in codes.items()} | own
