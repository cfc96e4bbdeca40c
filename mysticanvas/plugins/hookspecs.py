"""What a plug-in can bring: every hook there is, on one page.

A plug-in is a module that an entry point of the group `mysticanvas` names:

    [project.entry-points.mysticanvas]
    echo = "mysticanvas_echo.plugin"

It defines the hooks that it needs, each marked with `@hookimpl`. They are called once at the start
of a process and only name things; keep the module light, for every start waits for its import. One
that fails is reported by `canvas.plugins` and left out as a whole; the others do not notice it. No
kernel loads plug-ins. `extensions/echo` is a complete one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import pluggy

from mysticanvas.contracts.plugins import EngineSpec, LauncherSpec, ToolSpec
from mysticanvas.processes import Spawned

__all__ = ["EngineSpec", "Launcher", "LauncherSpec", "ToolSpec", "hookimpl"]

GROUP = "mysticanvas"
_hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a function of a plug-in as the implementation of the hook of the same name."""


@_hookspec
def register_engines() -> Iterable[EngineSpec]:  # type: ignore[empty-body]  # never called
    """Kinds of worker processes. A worker imports its own engine and no other."""


@_hookspec
def register_tools() -> Iterable[ToolSpec]:  # type: ignore[empty-body]  # never called
    """What the assistant can do."""


@_hookspec
def register_launchers() -> Iterable[LauncherSpec]:  # type: ignore[empty-body]  # never called
    """Places to start workers in: a container, a batch system, another machine."""


class Launcher(Protocol):
    """Starts a worker; `processes.spawn` is the local one, and says what the arguments are.

    It gives a process of this machine that stands for the worker, in a session of its own: the
    supervisor signals its group, and takes its end for the worker's. Whatever it starts must reach
    the home directory under the same path, report ready on the pipe, answer on the loopback address
    that it reports, and end when its input ends.

    A worker ends at once if its parent is not the process that `--parent-pid` names. Where another
    is in between, such as a shell, the launcher adds `--parent-pid 0` behind the arguments: the
    worker then ends with its standard input alone, which has to be the pipe itself.

    It must not wait, for a free node say: the process that it gives may, for a minute.
    """

    def __call__(
        self,
        module: str,
        arguments: list[str],
        *,
        environment: Mapping[str, str],
        secret: bytes,
    ) -> Spawned: ...
