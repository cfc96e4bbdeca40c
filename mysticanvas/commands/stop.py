"""`mysticanvas stop`: stop orchestrator and workers of a home, unless others use them."""

from __future__ import annotations

import argparse
import signal
from typing import TYPE_CHECKING, Any

from mysticanvas.commands import settings_of

# Modules that only this command needs are imported when it runs: `--help` has to be quick.
if TYPE_CHECKING:
    from mysticanvas.contracts.runtime import Runtime
    from mysticanvas.contracts.status import StopReport
    from mysticanvas.home import HomePaths
    from mysticanvas.processes import Identity
    from mysticanvas.settings import Settings

DONE, IN_USE = 0, 4
_ANSWER_S = 5.0


def add(commands: Any, home: argparse.ArgumentParser) -> None:
    """Add the command to the parser's subcommands; `home` is the parent with `--home`."""
    parser = commands.add_parser(
        "stop",
        parents=[home],
        help="stop orchestrator and workers of a home",
        description="Nothing is lost: jobs that wait or run go on with the next start.",
        epilog="Exit code: 0 nothing runs now; 4 others use it, nothing was done; 1 an error; "
        "2 wrong usage. With --json, an error is printed as JSON as well.",
    )
    parser.add_argument(
        "--force", action="store_true", help="even while others use it; if it hangs, end it"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Stop what runs, and say what came of it."""
    from mysticanvas.commands.console import complain, explained, printable
    from mysticanvas.contracts.status import StopReport
    from mysticanvas.errors import Conflict

    with explained(options.json):
        settings = settings_of(options)
        try:
            done = stop(settings, options.force)
        except Conflict as error:
            if options.json:
                clients = error.extra.get("clients", [])
                refused = StopReport(home=str(settings.home), stopped=False, clients=clients)
                print(refused.model_dump_json(indent=2))
            complain(error)
            return IN_USE
    print(done.model_dump_json(indent=2) if options.json else printable(_text(done)))
    return DONE


def stop(settings: Settings, force: bool) -> StopReport:
    """Stop orchestrator and workers of a home; returns when they are gone.

    Args:
        force: whether to stop although others use them, and to end what hangs.

    Raises:
        Conflict: other clients use them, and `force` is not set; the error names them.
        OrchestratorUnavailable: it does not answer, or does not stop, and `force` is not set; it
            runs on another machine; or one has been starting for long, and is not surely that of
            this home or `force` is not set.
    """
    from mysticanvas.contracts.status import StopReport
    from mysticanvas.errors import OrchestratorUnavailable
    from mysticanvas.session import holder, launch

    paths, timeout_s = settings.paths, settings.end_timeout_s
    try:
        # What runs, is stopping, or comes up while we wait.
        runtime = launch.settled(paths, settings.start_timeout_s)
    except OrchestratorUnavailable:
        if not force:
            raise
        # One that we cannot talk to, or that hangs in its start, is somebody's: force takes it.
        runtime = launch.recorded(paths)
        if runtime is None or not launch.identity(runtime).alive():
            hanging = holder.orchestrator(paths)
            if hanging is None:
                raise
            killed = _force(hanging, timeout_s)
            return StopReport(home=str(paths.root), stopped=True, killed=killed)
    if runtime is None:
        return StopReport(home=str(paths.root), stopped=False)
    killed = _end(runtime, paths, timeout_s, force)
    return StopReport(home=str(paths.root), stopped=True, killed=killed)


def _end(runtime: Runtime, paths: HomePaths, timeout_s: float, force: bool) -> bool:
    """Ask it to stop, unless it is about to, then wait; whether it had to be killed."""
    from mysticanvas.errors import OrchestratorUnavailable
    from mysticanvas.session import launch

    identity = launch.identity(runtime)
    asked = _ask(runtime, force)
    if force:
        return _force(identity, timeout_s, asked)
    if asked and identity.wait_gone(timeout_s):
        return False
    raise OrchestratorUnavailable(
        f"Process {runtime.pid}, the orchestrator of {paths.root}, does not "
        f"{'stop' if asked else 'answer'}.",
        hint="Wait a moment, or give --force, which ends it: nothing that was recorded is lost.",
        pid=runtime.pid,
    )


def _force(identity: Identity, timeout_s: float, asked: bool = False) -> bool:
    """End an orchestrator, and its workers with it; whether it had to be killed.

    Args:
        asked: whether it is about to end.
    """
    from mysticanvas.processes import kill_group

    if not asked and identity.alive():
        # It takes the signal as it takes the request, and knows it in every version.
        kill_group(identity.pid, signal.SIGTERM)
    if identity.wait_gone(timeout_s):
        return False
    kill_group(identity.pid, signal.SIGKILL)
    identity.wait_gone(timeout_s)
    return True


def _ask(runtime: Runtime, force: bool) -> bool:
    """Have it stop; whether it does."""
    from mysticanvas.errors import Conflict, MystiCanvasError
    from mysticanvas.session import launch, stopping

    try:
        return stopping.ask(launch.endpoint(runtime), force, "", _ANSWER_S, _ANSWER_S)
    except Conflict as error:
        error.hint = "Close them first, or give --force."
        raise
    except MystiCanvasError:
        # Of another version, say.
        if not force:
            raise
        return False


def _text(done: StopReport) -> str:
    if not done.stopped:
        return f"Nothing runs for {done.home}."
    how = " It did not answer, and was ended." if done.killed else ""
    return f"Stopped what ran for {done.home}.{how}"
