"""The kinds of jobs that the orchestrator's own process carries out, and what does each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import JsonValue

from mysticanvas.contracts.alerts import Alert
from mysticanvas.contracts.exports import ExportParams
from mysticanvas.contracts.pulls import PullParams
from mysticanvas.home import HomePaths
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator import chores, export, pulling
from mysticanvas.orchestrator.files.thumbnails import Thumbnails
from mysticanvas.orchestrator.files.upkeep import FileUpkeep
from mysticanvas.orchestrator.queue.context import JobContext
from mysticanvas.orchestrator.queue.kinds import HostJob, Kinds
from mysticanvas.store import Store

LONG = ("export", "thumbnails", "pull", "weigh")
"""Kinds of which one job may take hours, or a minute for each of many presets, so that no job of
another kind is to wait for it."""


def table(
    store: Store,
    paths: HomePaths,
    thumbnails: Thumbnails,
    deleted_grace_days: float,
    weigh: Callable[[JobContext], dict[str, JsonValue]],
    tell: Callable[[Alert], None],
) -> Kinds:
    """Kind -> how it is carried out; `tell` tells users what nobody asked for."""
    log = LogFile(paths.logs / "pull.jsonl")
    return {
        "export": HostJob(
            lambda context: export.run(
                store, paths, ExportParams.model_validate(context.params), context
            ).model_dump(mode="json"),
            ExportParams,
            lambda params: export.check(store, paths, params),
            lambda: export.tidy(store, paths),
        ),
        "thumbnails": HostJob(FileUpkeep(store, paths, thumbnails, deleted_grace_days).run),
        "index": HostJob(lambda context: chores.index(store, context)),
        "backup": HostJob(chores.DailyBackup(store, tell).run),
        "weigh": HostJob(weigh),
        "pull": HostJob(
            lambda context: pulling.run(
                PullParams.model_validate(context.params), log, context
            ).model_dump(mode="json"),
            PullParams,
            pulling.check,
        ),
    }


def lanes(kinds: Kinds) -> Mapping[str, Kinds]:
    """Name of a lane -> the kinds that it carries out, one job at a time."""
    short = {kind: job for kind, job in kinds.items() if kind not in LONG}
    return {"runner": short, **{kind: {kind: kinds[kind]} for kind in LONG}}
