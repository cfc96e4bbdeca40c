"""What takes in requests, with an engine that draws without a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mysticanvas.contracts.base import Contract
from mysticanvas.contracts.jobs import JobRecord
from mysticanvas.errors import InvalidRequest
from mysticanvas.orchestrator.inspection import Inspector
from mysticanvas.orchestrator.presets import Presets
from mysticanvas.orchestrator.queue.intake import Intake
from mysticanvas.orchestrator.queue.kinds import HostJob
from mysticanvas.orchestrator.queue.transitions import Transitions
from mysticanvas.plugins import loading
from mysticanvas.settings import Settings
from mysticanvas.store import Store

Generate = Callable[..., JobRecord]


class Where(Contract):
    path: Path


def check_free(where: Where) -> None:
    if where.path.exists():
        raise InvalidRequest("something is there", parameter="path")


TABLE = {"export": HostJob(lambda _: {}, Where, check_free)}


def an_intake(
    home: Path, store: Store, transitions: Transitions, device: Any = None, **given: Any
) -> Intake:
    settings = Settings(engine="echo", min_free_mib=0, **given)
    plugins = loading.load(settings.plugins)
    presets = Presets(store, Inspector(), plugins, settings.engine)
    return Intake(store, transitions, TABLE, home, settings, presets, lambda: device)
