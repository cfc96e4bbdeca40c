"""What tests of several folders share; `pythonpath` in pyproject.toml puts it within reach."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from mysticanvas import __version__
from mysticanvas.contracts.base import PROTOCOL
from mysticanvas.contracts.runtime import Runtime
from mysticanvas.environment import child_environment
from mysticanvas.home import HomePaths
from mysticanvas.processes import Holding, Identity
from mysticanvas.session import starting

MOUNT = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]
"""A mount of one's own, which ends with its process, for whoever may make a user namespace."""


def processes_of(home: Path) -> list[psutil.Process]:
    """The orchestrator, the workers and the helpers of a home, by what their command lines say."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        if "--ready-fd" in line and any(word.startswith(str(home)) for word in line):
            found.append(process)
    return found


def family(pid: int) -> list[Identity]:
    """A process and all that it has started, whatever their command lines say."""
    found = []
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(Identity.of(process.pid))
    return found


def left_of(processes: Sequence[Identity], timeout_s: float) -> list[Identity]:
    """Those that are still there after so many seconds, which they have together."""
    deadline = time.monotonic() + timeout_s
    return [each for each in processes if not each.wait_gone(deadline - time.monotonic())]


def kill(pid: int) -> None:
    """SIGKILL a process that somebody else waits for; returns when it does nothing any more, which
    is later than the signal: its connections are closed one by one meanwhile."""
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            time.sleep(0.001)


def long_job(preset: Path) -> dict[str, object]:
    """Arguments of a job that runs for seconds on the tiny model, in some hundred steps."""
    return {"preset": str(preset), "num_inference_steps": 300, "seed": 1}


def start_as(patch: pytest.MonkeyPatch, module: str, **environment: str) -> None:
    """Have this process start its orchestrators as a module of `tests/faults`."""
    more = {"PYTHONPATH": str(Path(__file__).parent / "faults"), **environment}
    patch.setattr(starting, "MODULE", module)
    patch.setattr(starting, "child_environment", lambda extra: child_environment({**extra, **more}))


def write_runtime(paths: HomePaths, **changes: object) -> Runtime:
    """A runtime file that speaks of this very process, but for what is given."""
    me = Identity.of(os.getpid())
    runtime = Runtime(
        url="http://127.0.0.1:1",
        token="t",
        pid=me.pid,
        started_at=me.started_at,
        boot_id=me.boot_id,
        host=os.uname().nodename,
        version=__version__,
        protocol=PROTOCOL,
        prefix=sys.prefix,
        listener=Holding.of(0),
    ).model_copy(update=changes)
    paths.runtime_file.write_text(runtime.model_dump_json())
    return runtime


@contextlib.contextmanager
def ending(paths: HomePaths) -> Iterator[subprocess.Popen[bytes]]:
    """A process that the runtime file speaks of, and that listens no longer; it goes on till it is
    killed."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        me = Identity.of(process.pid)
        # No process has such a descriptor.
        write_runtime(paths, pid=me.pid, started_at=me.started_at, listener=(1 << 30, 1))
        try:
            yield process
        finally:
            process.kill()


def can_mount() -> bool:
    try:
        command = [*MOUNT, "mount -t tmpfs -o size=1m tmpfs /mnt"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
