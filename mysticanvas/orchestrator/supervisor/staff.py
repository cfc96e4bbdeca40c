"""The workers of an orchestrator, and how each is started."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from mysticanvas.contracts.plugins import LLM_ENGINE
from mysticanvas.environment import child_environment, engine_environment
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator import latents
from mysticanvas.orchestrator.supervisor import deadlines
from mysticanvas.orchestrator.supervisor.launcher import Launch
from mysticanvas.orchestrator.supervisor.seams import REAL, Seams
from mysticanvas.orchestrator.supervisor.spare import Spare
from mysticanvas.orchestrator.supervisor.worker import Listener, Worker
from mysticanvas.plugins import loading
from mysticanvas.plugins.registry import Registry
from mysticanvas.settings import Settings

REAPED_S = 5.0
"""Seconds from the kill of workers until they are gone, at most."""


def make(settings: Settings, registry: Registry, listener: Listener) -> list[Worker]:
    """All workers, none of them started yet. The first is that of the engine that is set; those
    after it cost nothing until somebody needs them.

    Args:
        settings: of the orchestrator.
        registry: the engines that there are.
        listener: is told what becomes of each worker.
    """
    spare = Spare() if _may_have_spare(settings) else None
    beside = [] if settings.engine == LLM_ENGINE else [LLM_ENGINE]
    return [
        _worker(settings, registry, settings.engine, listener, Seams(spare=spare)),
        *(_worker(settings, registry, engine, listener, REAL) for engine in beside),
    ]


def deadline(stop_timeout_s: float) -> float:
    """When workers that are asked to end now are gone at the latest, on the monotonic clock.

    Args:
        stop_timeout_s: seconds that each has to end before it is killed.
    """
    return time.monotonic() + stop_timeout_s + REAPED_S


def stop(workers: Sequence[Worker], deadline: float) -> None:
    """Return when all workers, which were asked to end, are gone; those whose launcher blocks are
    left behind.

    Args:
        deadline: one for all, since together they must not take longer than the end of an
            orchestrator may.
    """
    for worker in workers:
        worker.stop(max(0.0, deadline - time.monotonic()))


def _worker(
    settings: Settings, registry: Registry, engine: str, listener: Listener, seams: Seams
) -> Worker:
    return Worker(
        _launch(settings, registry, engine),
        listener,
        settings.stop_timeout_s,
        deadlines.USUAL.scaled(settings.worker_patience),
        seams,
    )


def _may_have_spare(settings: Settings) -> bool:
    # It would be beside a budget, not within it.
    return settings.spare_worker and settings.memory_budget_mib is None


def _launch(settings: Settings, registry: Registry, engine: str) -> Launch:
    """How a worker of that kind is started."""
    kind = registry.engine(engine).kind
    paths = settings.paths
    arguments = {
        "engine": kind,
        "images": paths.images,
        "ipc": settings.ipc,
        "latents": latents.folder(paths.run),
        "sockets": paths.run,
        "parent-pid": os.getpid(),
        "device": settings.device,
        "threads": settings.threads,
    }
    return Launch(
        kind=kind,
        arguments=[
            *(text for name, value in arguments.items() for text in (f"--{name}", str(value))),
            # In one word, since it may begin with "-".
            f"--plugins={settings.plugins}",
        ],
        environment=child_environment(engine_environment(settings.threads)),
        log=LogFile(paths.logs / f"worker-{kind}.jsonl"),
        spawn=loading.launcher(registry.launcher(settings.launcher)),
        device_kind=None if settings.device == "auto" else settings.device,
    )
