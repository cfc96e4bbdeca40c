"""An orchestrator's process: which version would run, its start, and what it says of that."""

from __future__ import annotations

import selectors
import signal
import subprocess
import sys
from pathlib import Path

from mysticanvas.contracts.runtime import Runtime
from mysticanvas.environment import child_environment, network_environment
from mysticanvas.errors import OrchestratorUnavailable
from mysticanvas.home import HomePaths
from mysticanvas.processes import Spawned, kill_group, reap, spawn
from mysticanvas.session.compatibility import Installed
from mysticanvas.settings import Settings

MODULE = "mysticanvas.orchestrator"
_TELL_VERSION = (
    "from mysticanvas import __version__; from mysticanvas.contracts.base import PROTOCOL; "
    "print(__version__, PROTOCOL)"
)
_LOG_LINES = 10
_UNFOUND = (
    f"This kernel finds mysticanvas in {Path(__file__).parents[2]}, and a new process of "
    f"{sys.executable} lacks it or a library of it: install both there, or name their folders in "
    "PYTHONPATH before the kernel starts."
)


def installed() -> Installed:
    """What a start would run, as a process says that is started like one.

    Raises:
        OrchestratorUnavailable: it cannot be started.
    """
    asked = [sys.executable, "-c", _TELL_VERSION]
    try:
        told = subprocess.run(
            asked, env=child_environment({}), cwd="/", capture_output=True, text=True, check=True
        )
        version, protocol = told.stdout.split()
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise OrchestratorUnavailable(
            f"An older orchestrator runs, and {sys.executable} cannot run a newer one: {error}.",
            hint="Install mysticanvas anew, then restart this kernel.",
        ) from error
    return Installed(version, int(protocol))


def start(settings: Settings, paths: HomePaths) -> Runtime:
    """Start one, and wait until it answers; the start lock must be held.

    Raises:
        OrchestratorUnavailable: it cannot be started, ends, or is silent for too long.
        MystiCanvasError: what kept it from starting, such as a StoreError.
    """
    log = paths.logs / "orchestrator.out"
    try:
        spawned = spawn(
            MODULE,
            ["--home", str(settings.home)],
            environment=child_environment({**network_environment(), **settings.to_environ()}),
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
    """What the child says once it answers, or why it cannot; None if it ends without a word.

    Spaces before that say that it is at work, so the time counts from the last one.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(spawned.ready, selectors.EVENT_READ)
        while selector.select(timeout_s):
            signs = spawned.ready.peek()
            if not signs.isspace():
                return spawned.read_ready()
            spawned.ready.read(len(signs))
    spawned.ready.close()
    kill_group(spawned.process.pid, signal.SIGKILL)
    spawned.process.wait()
    raise OrchestratorUnavailable(
        f"The orchestrator was silent for {timeout_s:g} s while it started, and was stopped.",
        hint=f"On a busy machine, set MYSTICANVAS_START_TIMEOUT_S higher. {see_logs(paths)}",
    )


def _outcome(report: dict[str, object] | None, paths: HomePaths) -> Runtime:
    # Imported here, where something is started anyway: attaching has to be quick.
    from mysticanvas.contracts.problem import Problem

    if report is not None and "runtime" in report:
        return Runtime.model_validate(report["runtime"])
    if report is not None and "problem" in report:
        raise Problem.model_validate(report["problem"]).to_error()
    tail = _tail(paths.logs / "orchestrator.out")
    raise OrchestratorUnavailable(
        f"The orchestrator ended before it answered. The end of its log:\n{tail}\n",
        hint=_UNFOUND if "No module named" in tail.splitlines()[-1] else see_logs(paths),
    )


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return "\n".join(f"    {line}" for line in lines[-_LOG_LINES:]) or "    (it is empty)"


def see_logs(paths: HomePaths) -> str:
    """Where to look, in words."""
    return f"The logs are in {paths.logs}."
