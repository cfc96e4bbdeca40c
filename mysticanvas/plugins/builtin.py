"""What comes with MystiCanvas, by the same door as everything else."""

from __future__ import annotations

from mysticanvas.contracts.plugins import DEFAULT_ENGINE, LLM_ENGINE, LOCAL_LAUNCHER
from mysticanvas.plugins.hookspecs import EngineSpec, LauncherSpec, hookimpl


@hookimpl
def register_engines() -> list[EngineSpec]:
    return [
        EngineSpec(kind=DEFAULT_ENGINE, path="mysticanvas.workers.image.engine:ImageEngine"),
        EngineSpec(kind=LLM_ENGINE, path="mysticanvas.workers.llm.engine:LLMEngine"),
    ]


@hookimpl
def register_launchers() -> list[LauncherSpec]:
    return [LauncherSpec(name=LOCAL_LAUNCHER, path="mysticanvas.processes:spawn")]
