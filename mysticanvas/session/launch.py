"""Finding the orchestrator of a home, or starting it.

Of any number of kernels that start at once, one wins the start lock and spawns the orchestrator;
the others wait for the lock and then find it.
"""

from __future__ import annotations

import selectors
import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from mysticanvas.client.endpoint import Endpoint
from mysticanvas.contracts.base import PROTOCOL
from mysticanvas.contracts.runtime import Runtime
from mysticanvas.errors import OrchestratorUnavailable
from mysticanvas.processes import (
    FileLock,
    Identity,
    Spawned,
    child_environment,
    kill_group,
    reap,
    spawn,
)
from mysticanvas.settings import HomePaths, Settings

MODULE = "mysticanvas.orchestrator"
_LOG_LINES = 10


def attach(settings: Settings) -> Runtime:
    """The orchestrator of the home, started if there is none.

    Raises:
        OrchestratorUnavailable: it cannot be started, does not answer in time, or another
            installation runs it; the error says what to do.
        StoreError: the orchestrator cannot open the store of this home.
    """
    paths = HomePaths.of(settings.home)
    found = find(paths)
    if found is not None:
        return found
    _create(paths)
    lock = FileLock(paths.start_lock)
    if not lock.acquire(settings.start_timeout_s):
        raise OrchestratorUnavailable(
            f"Another kernel has been starting the orchestrator of {settings.home} for more than "
            f"{settings.start_timeout_s:g} s.",
            hint=_see_logs(paths),
        )
    with lock:
        return find(paths) or _launch(settings, paths)


def find(paths: HomePaths) -> Runtime | None:
    """The orchestrator that runs for this home and that we can talk to; None if none runs.

    Raises:
        OrchestratorUnavailable: one runs that this installation cannot talk to.
    """
    try:
        runtime = Runtime.model_validate_json(paths.runtime_file.read_bytes())
    except (OSError, ValidationError):
        return None
    if not identity(runtime).alive():
        return None
    _check_compatible(runtime, paths.root)
    return runtime


def identity(runtime: Runtime) -> Identity:
    """Which process a runtime file speaks of."""
    return Identity(runtime.pid, runtime.started_at, runtime.boot_id)


def endpoint(runtime: Runtime) -> Endpoint:
    """Where that process answers."""
    return Endpoint(runtime.url, runtime.token, identity(runtime))


def _check_compatible(runtime: Runtime, home: Path) -> None:
    if runtime.prefix != sys.prefix:
        problem = f"was started from another environment, {runtime.prefix}"
    elif runtime.protocol != PROTOCOL:
        problem = f"is MystiCanvas {runtime.version}, which this version cannot talk to"
    else:
        return
    raise OrchestratorUnavailable(
        f"The orchestrator of {home} (process {runtime.pid}) {problem}.",
        hint="Stop it there with Canvas().shutdown(), or use another home: Canvas(home=...) or "
        "MYSTICANVAS_HOME.",
        pid=runtime.pid,
    )


def _create(paths: HomePaths) -> None:
    try:
        paths.create()
    except OSError as error:
        raise OrchestratorUnavailable(
            f"The home directory {paths.root} cannot be used: {error.strerror or error}.",
            hint="Make it a folder that you can write to, or use another: Canvas(home=...) or "
            "MYSTICANVAS_HOME.",
        ) from error


def _launch(settings: Settings, paths: HomePaths) -> Runtime:
    log = paths.logs / "orchestrator.out"
    try:
        spawned = spawn(
            MODULE,
            ["--home", str(settings.home)],
            environment=child_environment(settings.to_environ()),
            log=log,
        )
    except OSError as error:
        raise OrchestratorUnavailable(
            f"The orchestrator cannot be started: {error.strerror or error}.",
            hint=f"Python is {sys.executable}, the log is {log}.",
        ) from error
    reap(spawned.process)
    return _outcome(_report(spawned, settings.start_timeout_s, paths), paths)


def _report(spawned: Spawned, timeout_s: float, paths: HomePaths) -> dict[str, object] | None:
    """What the child says once it answers, or why it cannot; None if it ends without a word."""
    with selectors.DefaultSelector() as selector:
        selector.register(spawned.ready, selectors.EVENT_READ)
        if selector.select(timeout_s):
            return spawned.read_ready()
    spawned.ready.close()
    kill_group(spawned.process.pid, signal.SIGKILL)
    spawned.process.wait()
    raise OrchestratorUnavailable(
        f"The orchestrator did not answer within {timeout_s:g} s and was stopped.",
        hint=f"On a busy machine, set MYSTICANVAS_START_TIMEOUT_S higher. {_see_logs(paths)}",
    )


def _outcome(report: dict[str, object] | None, paths: HomePaths) -> Runtime:
    # Imported here, where something is started anyway: attaching has to be quick.
    from mysticanvas.contracts.problem import Problem

    if report is not None and "runtime" in report:
        return Runtime.model_validate(report["runtime"])
    if report is not None and "problem" in report:
        raise Problem.model_validate(report["problem"]).to_error()
    log = paths.logs / "orchestrator.out"
    raise OrchestratorUnavailable(
        f"The orchestrator ended before it answered. The end of its log:\n{_tail(log)}\n",
        hint=_see_logs(paths),
    )


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return "\n".join(f"    {line}" for line in lines[-_LOG_LINES:]) or "    (it is empty)"


def _see_logs(paths: HomePaths) -> str:
    return f"The logs are in {paths.logs}."
