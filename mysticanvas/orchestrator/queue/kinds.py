"""Kinds of jobs that the orchestrator's own process carries out: a table of functions.

A kind is registered where everything is wired, in `app.py`:

    kinds = {"backup": HostJob(lambda context: backup.run(store, context), BackupParams)}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import ConfigDict, JsonValue, ValidationError

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.jobs import WORKER_KINDS
from mysticanvas.contracts.refusal import refused
from mysticanvas.errors import InvalidRequest
from mysticanvas.orchestrator.queue.context import JobContext


class NoParams(Contract):
    """Of a kind that takes no parameters."""

    model_config = ConfigDict(extra="forbid")


class HostJob(NamedTuple):
    """How a kind is carried out."""

    run: Callable[[JobContext], dict[str, JsonValue]]
    """Does the work and gives the job's result. What it raises is the job's failure."""
    params: type[Contract] = NoParams
    """The type of the request's `params`; what does not fit is refused before there is a job."""
    check: Callable[[Any], None] | None = None
    """Refuses what the type lets through; it is given the parameters as that type."""
    tidy: Callable[[], None] | None = None
    """Called between jobs: removes what is left of jobs that ended without `run`, such as one that
    was interrupted and then cancelled while it waited."""


Kinds = Mapping[str, HostJob]


def checked(kinds: Kinds, kind: str, params: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The parameters as the kind's type gives them.

    Raises:
        InvalidRequest: nothing here carries out that kind, or a parameter is not allowed.
    """
    job = kinds.get(kind)
    if job is None:
        known = ", ".join(sorted({*kinds, *WORKER_KINDS}))
        raise refused("kind", kind, f"a kind that this version carries out: {known}")
    try:
        given = job.params.model_validate(params)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "params"
        raise InvalidRequest(
            f"{name}: {first['msg']}.",
            parameter=name,
            value=repr(first.get("input"))[:80],
            allowed=str(first["msg"]),
        ) from error
    if job.check is not None:
        job.check(given)
    return given.model_dump(mode="json")
