"""Plug-ins: what they can bring, and what became of each.

Specifications name things and import nothing: a `path` is `package.module:Name`, imported by
whoever uses the thing, when it is used.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import JsonValue, StringConstraints

from mysticanvas.contracts.base import Contract

DEFAULT_ENGINE = "image"
"""Kind of the engine that runs every model which no other engine claims."""
LLM_ENGINE = "llm"
"""Kind of the engine that runs language models."""
LOCAL_LAUNCHER = "local"
"""Name of the launcher that starts workers as children of the orchestrator."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
DottedPath = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")
]

Permission = Literal["read", "make", "change"]
"""What a tool may do: only look; also make something new, which takes time and room; also change or
remove what is there."""


class EngineSpec(Contract):
    """A kind of worker."""

    kind: Name
    path: DottedPath
    """A class that implements `workers.engine.Engine` and takes its `Options`; the worker's process
    alone imports it."""
    pipelines: tuple[str, ...] = ()
    """The models that are its own: `_class_name` of their `model_index.json`."""


class ToolSpec(Contract):
    """Something that the assistant can do."""

    name: Name
    description: str
    """What it does and when to use it, in words for a model."""
    parameters: dict[str, JsonValue]
    """JSON schema of the arguments, an object."""
    path: DottedPath
    """A function that takes the arguments by name."""
    permission: Permission


class LauncherSpec(Contract):
    """A place where workers can be started."""

    name: Name
    path: DottedPath
    """A `plugins.hookspecs.Launcher`; the orchestrator imports it if the settings choose it. It
    must not wait for the place: while it does, nobody can use the worker or end it."""


class PluginRecord(Contract):
    """A plug-in, and what became of it: `skipped` has a reason, `disabled` was not wanted."""

    name: str
    distribution: str
    version: str
    state: Literal["loaded", "skipped", "disabled"]
    reason: str = ""
    engines: tuple[EngineSpec, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    launchers: tuple[LauncherSpec, ...] = ()

    @property
    def brings(self) -> list[str]:
        """What it brings, in words: `engine echo`."""
        return [
            *(f"engine {engine.kind}" for engine in self.engines),
            *(f"tool {tool.name}" for tool in self.tools),
            *(f"launcher {launcher.name}" for launcher in self.launchers),
        ]
