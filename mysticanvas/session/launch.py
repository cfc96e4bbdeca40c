"""Finding the orchestrator of a home, or starting it.

Of any number of kernels that start at once, one wins the start lock and spawns the orchestrator;
the others wait for the lock and then find it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import ValidationError

from mysticanvas import __version__, ownership
from mysticanvas.client.endpoint import Endpoint
from mysticanvas.contracts.base import PROTOCOL
from mysticanvas.contracts.runtime import Runtime
from mysticanvas.errors import MystiCanvasError, OrchestratorUnavailable, StoreLocked
from mysticanvas.home import LOCAL_STATE, HomePaths, NotItsState
from mysticanvas.locks import FileLock, LocksDoNotHold
from mysticanvas.processes import Holding, Identity
from mysticanvas.session import compatibility, holder, starting
from mysticanvas.session.compatibility import Installed
from mysticanvas.settings import Settings

if TYPE_CHECKING:
    from mysticanvas.client.http import HttpClient

DRAIN_S = 30.0
"""Seconds that jobs have to end by themselves before they go back to the queue for an upgrade."""
_OTHER_HOME = (
    "Make it a folder that you can write to, or use another: Canvas(home=...) or MYSTICANVAS_HOME."
)
_RESTORED_S = 5.0
_LOOK_S = 0.2
"""Somebody else who only looks has the start lock for a moment."""
_POLL_S = 0.05


def attach(settings: Settings, strict: bool = False) -> Runtime:
    """The orchestrator of the home, started if there is none, replaced if it is older than we are.

    Args:
        strict: refuse one that runs with other settings than were asked for.

    Raises:
        OrchestratorUnavailable: it cannot be started, does not answer in time, another
            installation runs it, or it runs with other settings; the error says what to do.
        StoreError: the orchestrator cannot open the store of this home.
    """
    paths = settings.paths
    check(paths)
    runtime = _current(paths) or _start(settings, paths)
    conflicts = compatibility.conflicts(settings, runtime.settings) if strict else []
    if conflicts:
        raise OrchestratorUnavailable(
            f"The orchestrator of {paths.root} (process {runtime.pid}) runs with "
            f"{', '.join(conflicts)}.",
            hint="Leave that out to use what runs; or stop it first, with `mysticanvas stop`, and "
            "it starts as you say; or use another home: Canvas(home=...) or MYSTICANVAS_HOME.",
            pid=runtime.pid,
        )
    return runtime


def check(paths: HomePaths) -> None:
    """Refuse a home that is not the one of its state, or that cannot be read; nothing is made.

    Raises:
        OrchestratorUnavailable: says what is wrong.
    """
    with _explained(paths):
        paths.check()


def find(paths: HomePaths) -> Runtime | None:
    """The orchestrator that runs for this home and that we can talk to; None if none runs.

    One that listens no longer, since it is about to end, counts as none.

    Raises:
        OrchestratorUnavailable: one runs that this installation cannot talk to.
    """
    runtime = recorded(paths)
    if runtime is None or not endpoint(runtime).alive():
        return None
    _check_objection(runtime, paths)
    return runtime


def ending(paths: HomePaths) -> Runtime | None:
    """The orchestrator that listens no longer, while its process is still there."""
    runtime = recorded(paths)
    if runtime is None or not identity(runtime).alive() or endpoint(runtime).alive():
        return None
    return runtime


def refuse_elsewhere(paths: HomePaths) -> None:
    """Do nothing for a home whose orchestrator runs on another machine or in another container.

    The start lock must be held: the store's is taken for a moment, and nobody here may need it.

    Raises:
        OrchestratorUnavailable: it does; says where.
    """
    there = _written_elsewhere(paths)
    if there is None or there.pid != holder.noted(paths):
        return
    # Its process cannot be seen from here, but its lock can. A container has another name at each
    # start, so the name alone means nothing.
    if holder.is_free(paths.store_lock):
        return
    raise OrchestratorUnavailable(
        f"The orchestrator of {paths.root} runs on {there.host}, as process {there.pid} there.",
        hint="Stop it there, with `mysticanvas stop`, or use another home: Canvas(home=...) or "
        "MYSTICANVAS_HOME.",
    )


def starts(paths: HomePaths) -> bool:
    """Whether somebody who says nothing of it yet has the home: a kernel that is starting an
    orchestrator, one that is coming up or puts its runtime file back, or a command that needs the
    store. For who does not hold the start lock.

    Raises:
        OrchestratorUnavailable: see `refuse_elsewhere`; or the locks cannot be looked at.
    """
    lock = FileLock(paths.start_lock)
    # Where no lock holds, nobody starts anything.
    with _explained(paths), contextlib.suppress(LocksDoNotHold), contextlib.ExitStack() as held:
        # Who only looks makes no file; and where there is none, nobody has the lock.
        if paths.start_lock.exists():
            try:
                if not lock.acquire(_LOOK_S):
                    return True
            except OSError as error:
                if error.errno == errno.EROFS:
                    return False  # nor does anybody on a disk that is read-only
                raise
            held.enter_context(lock)
        refuse_elsewhere(paths)
        pid = holder.noted(paths)
        return pid is not None and holder.exists(pid) and not holder.is_free(paths.store_lock)
    return False


def settled(paths: HomePaths, patience_s: float) -> Runtime | None:
    """What runs or is ending, once nobody is starting anything any more.

    Raises:
        OrchestratorUnavailable: as `find` and `starts`; or a start takes longer.
    """
    deadline = time.monotonic() + patience_s
    while (runtime := find(paths) or ending(paths)) is None:
        if not starts(paths):
            # One that came up since has told where it is before it let the lock go.
            return find(paths) or ending(paths)
        if time.monotonic() > deadline:
            raise _unsettled(paths, patience_s)
        time.sleep(_POLL_S)
    return runtime


def _unsettled(paths: HomePaths, patience_s: float) -> OrchestratorUnavailable:
    """The error for a start, or whatever else has the home, that takes long."""
    hanging = holder.orchestrator(paths)
    if hanging is None:
        return OrchestratorUnavailable(
            f"Somebody has been starting the orchestrator of {paths.root}, or using its store, "
            f"for more than {patience_s:g} s.",
            hint=f"Wait a moment. {starting.see_logs(paths)}",
            pid=holder.noted(paths),
        )
    return OrchestratorUnavailable(
        f"Process {hanging.pid} has been starting as the orchestrator of {paths.root} for more "
        f"than {patience_s:g} s.",
        hint="Wait a moment, or end it with `mysticanvas stop --force`: nothing that was recorded "
        f"is lost. {starting.see_logs(paths)}",
        pid=hanging.pid,
    )


def recorded(paths: HomePaths) -> Runtime | None:
    """What the runtime file says, whether it is still so or not; None if there is none, or it is a
    stranger's, whom a token must not be sent to."""
    try:
        # No link to elsewhere, and no pipe that nobody writes to.
        handle = os.open(paths.runtime_file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            ours = ownership.trusted(os.fstat(handle), paths.runtime_file)
            return Runtime.model_validate_json(file.read()) if ours else None
    except (OSError, ValidationError):
        return None


def identity(runtime: Runtime) -> Identity:
    """Which process a runtime file speaks of."""
    return Identity(runtime.pid, runtime.started_at, runtime.boot_id)


def endpoint(runtime: Runtime) -> Endpoint:
    """Where that process answers."""
    listener = None if runtime.listener is None else Holding(*runtime.listener)
    return Endpoint(runtime.url, runtime.token, identity(runtime), listener)


def client(runtime: Runtime) -> HttpClient:
    """A client of that process, which sends the token to no other."""
    from mysticanvas.client.http import HttpClient

    there = endpoint(runtime)
    return HttpClient(there.url, there.token, there.alive)


def _written_elsewhere(paths: HomePaths) -> Runtime | None:
    """What a process has recorded that is not one of this machine, as far as can be seen."""
    runtime = recorded(paths)
    if runtime is None or runtime.host == os.uname().nodename or identity(runtime).alive():
        return None
    return runtime


def _check_objection(runtime: Runtime, paths: HomePaths) -> None:
    # A home may be reached by several paths, and an environment with it.
    ours = os.path.realpath(runtime.prefix) == os.path.realpath(sys.prefix)
    objection = compatibility.objection(runtime, ours, PROTOCOL)
    if objection is not None:
        problem, hint = objection
        raise OrchestratorUnavailable(
            f"The orchestrator of {paths.root} (process {runtime.pid}) {problem}.",
            hint=hint,
            pid=runtime.pid,
        )


def _check_installed(theirs: Runtime | Installed) -> None:
    """Replace nothing by what we would replace again at the next call."""
    if compatibility.outdated(theirs, __version__, PROTOCOL):
        raise OrchestratorUnavailable(
            f"This kernel is MystiCanvas {__version__}, and what is installed is {theirs.version}, "
            "which is older.",
            hint=f"{compatibility.RESTART}.",
        )


def _current(paths: HomePaths) -> Runtime | None:
    """The orchestrator that runs, unless it is to be replaced."""
    runtime = find(paths)
    if runtime is None or compatibility.outdated(runtime, __version__, PROTOCOL):
        return None
    return runtime


def _start(settings: Settings, paths: HomePaths) -> Runtime:
    """Start an orchestrator, unless another kernel has done so meanwhile."""
    lock = FileLock(paths.start_lock)
    patience_s = _succession_s(settings)
    with _explained(paths):
        paths.create()
        ours = lock.acquire(patience_s)
    if not ours:
        raise OrchestratorUnavailable(
            f"Another kernel has been starting the orchestrator of {settings.home} for more than "
            f"{patience_s:g} s.",
            hint=starting.see_logs(paths),
        )
    with lock:
        runtime = _current(paths)
        if runtime is None:
            refuse_elsewhere(paths)
            _succeed(settings, paths)
            runtime = _launched(settings, paths)
            _check_objection(runtime, paths)
            _check_installed(runtime)
        return runtime


def _succession_s(settings: Settings) -> float:
    """Seconds that it may take to drain an orchestrator, see it end and start another."""
    return DRAIN_S + settings.end_timeout_s + settings.start_timeout_s


def _succeed(settings: Settings, paths: HomePaths) -> None:
    """Wait for the end of an orchestrator that is ending, and end one that we are to replace."""
    former = recorded(paths)
    if former is None or not identity(former).alive():
        return
    patience_s = settings.end_timeout_s
    if endpoint(former).alive():
        _check_installed(starting.installed())
        _drain(former)
        patience_s += DRAIN_S
    if not identity(former).wait_gone(patience_s):
        raise OrchestratorUnavailable(
            f"The former orchestrator of {paths.root} (process {former.pid}) does not end.",
            hint=f"`kill -9 {former.pid}` ends it: nothing that was recorded is lost. "
            f"{starting.see_logs(paths)}",
            pid=former.pid,
        )


def _drain(former: Runtime) -> None:
    """Have an older orchestrator end once its running jobs have; what waits goes on with the next.

    A signal is what every version of it understands.
    """
    from mysticanvas.client.api import Api
    from mysticanvas.client.http import ConnectionLost

    api = Api(client(former))
    try:
        api.shutdown(force=True, client="", drain_s=DRAIN_S)
    except (ConnectionLost, MystiCanvasError):
        with contextlib.suppress(ProcessLookupError):
            os.kill(former.pid, signal.SIGTERM)
    finally:
        api.close()


def _launched(settings: Settings, paths: HomePaths) -> Runtime:
    """Start one; if the store is in use after all, whoever has it may tell where it is.

    It may be an orchestrator that is still starting, whose kernel was killed meanwhile; and one
    puts its runtime file back within a second if somebody took that away.
    """
    try:
        return starting.start(settings, paths)
    except StoreLocked:
        pid = holder.noted(paths)
        runtime = _awaited(paths, pid, settings.start_timeout_s if pid else _RESTORED_S)
        if runtime is not None:
            return runtime
        if pid is None or holder.exists(pid):
            raise
    # It ended without having been there for anybody.
    return starting.start(settings, paths)


def _awaited(paths: HomePaths, pid: int | None, timeout_s: float) -> Runtime | None:
    """The orchestrator that has the store, once it says where it is; None if its process ends
    before, or the time is over."""
    deadline = time.monotonic() + timeout_s
    while (runtime := _current(paths)) is None:
        if time.monotonic() > deadline or (pid is not None and not holder.exists(pid)):
            return None
        time.sleep(_POLL_S)
    return runtime


@contextlib.contextmanager
def _explained(paths: HomePaths) -> Iterator[None]:
    """What the system says of a home that cannot be used, with what to do."""
    try:
        yield
    except LocksDoNotHold as error:
        raise OrchestratorUnavailable(
            f"Locks do not hold in {paths.run}: {error}.", hint=LOCAL_STATE
        ) from error
    except OSError as error:
        said = error.strerror or str(error)
        told = said if error.filename is None else f"{error.filename}: {said}"
        raise OrchestratorUnavailable(
            f"The home directory {paths.root} cannot be used: {told}.",
            hint=error.hint if isinstance(error, NotItsState) else _OTHER_HOME,
        ) from error
