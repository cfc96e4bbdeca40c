"""Locks, process start and death-watch: everything here that depends on the operating system.

Linux in full; macOS has no parent-death signal, so there the end of the standard input pipe alone
tells a worker that its parent is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

import psutil

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.02

INHERITED = [
    "HOME",
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "TZ",
    "USER",
    "LOGNAME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "HF_HOME",
    "HF_HUB_CACHE",
    "SSL_CERT_FILE",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_HOME",
    "NVIDIA_VISIBLE_DEVICES",
    "PYTHONDONTWRITEBYTECODE",
    "COVERAGE_PROCESS_START",
]
"""Variables that a child gets from its parent: an allow-list, so that secrets stay behind."""


class FileLock:
    """An exclusive `flock` on a file of its own, held until released or until the process ends.

    The descriptor is not inherited: a child that kept it would keep the lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self, timeout_s: float = 0.0) -> bool:
        """Take the lock within `timeout_s` seconds; whether it is held now."""
        if self._fd is not None:
            return True
        deadline = time.monotonic() + timeout_s
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES) or time.monotonic() > deadline:
                    os.close(fd)
                    if error.errno in (errno.EAGAIN, errno.EACCES):
                        return False
                    raise
                time.sleep(_POLL_S)
            else:
                self._fd = fd
                return True

    def write(self, text: str) -> None:
        """Leave a note for whoever finds the lock taken. The lock must be held."""
        assert self._fd is not None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text.encode(), 0)

    def release(self) -> None:
        """Give the lock back; harmless if it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        if not self.acquire():
            raise BlockingIOError(f"{self.path} is locked")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


class Identity(NamedTuple):
    """A process, told apart from a later one with the same number."""

    pid: int
    started_at: float
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Identity:
        """The identity of a live process.

        Raises:
            psutil.NoSuchProcess: there is none with that number.
        """
        return cls(pid, psutil.Process(pid).create_time(), boot_id())

    def alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        if self.boot_id != boot_id():
            return False
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_at) < 1.0
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def wait_gone(self, timeout_s: float) -> bool:
        """Wait until the process is gone; whether it went in time."""
        deadline = time.monotonic() + timeout_s
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


def boot_id() -> str:
    """An id that changes when the machine (or container host) is started again."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(int(psutil.boot_time()))


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: the allow-list, and `extra`."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**inherited, **extra}


def engine_environment(threads: int) -> dict[str, str]:
    """Variables of a worker that computes: thread counts, no spinning, no network.

    A spinning OpenMP pool makes a UNet several times slower as soon as anything else runs.
    """
    count = str(threads)
    return {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "OMP_WAIT_POLICY": "PASSIVE",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "DIFFUSERS_VERBOSITY": "error",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "MALLOC_ARENA_MAX": "2",
    }


class Spawned(NamedTuple):
    """A started child: its handle, and what it reports on once it is ready."""

    process: subprocess.Popen[bytes]
    ready: BinaryIO

    def read_ready(self) -> dict[str, object] | None:
        """Block until the child reports; None if it ended, or closed the pipe, without a word."""
        with self.ready:
            line = self.ready.readline(1 << 20)
        try:
            return dict(json.loads(line)) if line else None
        except ValueError:
            return None


def spawn(
    module: str,
    arguments: list[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    secret: bytes | None = None,
) -> Spawned:
    """Start `python -m module` in a session of its own, with a pipe to report ready on.

    Args:
        log: file that standard output and error are appended to.
        secret: written to the child's standard input, which then stays open: its end tells the
            child that its parent is gone. None gives the child no input and lets it outlive us.
    """
    reader, writer = os.pipe()
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, "--ready-fd", str(writer), *arguments],
                stdin=subprocess.DEVNULL if secret is None else subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=dict(environment),
                pass_fds=(writer,),
                start_new_session=True,
                cwd="/",
            )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    if secret is not None:
        assert process.stdin is not None
        process.stdin.write(secret + b"\n")
        process.stdin.flush()
    return Spawned(process, os.fdopen(reader, "rb"))


def report_ready(ready_fd: int, report: Mapping[str, object]) -> None:
    """Tell the parent, from the child, on the descriptor that `--ready-fd` named; then close it."""
    with os.fdopen(ready_fd, "wb") as pipe:
        pipe.write(json.dumps(report).encode() + b"\n")


def join_parent(parent_pid: int) -> bytes:
    """Read, in a child, the secret that the parent wrote to our standard input; from then on end
    this process when the parent ends, however that happens.

    The watch on standard input serves where there is no signal; it reads the same pipe, which is
    why it starts only after the secret was read, and not at all when there was none: the pipe is
    at its end already, and the caller has to be able to say so.
    """
    die_with_parent(parent_pid)
    secret = sys.stdin.buffer.readline(4096).strip()
    if secret:
        threading.Thread(target=_exit_at_end_of_input, name="death-watch", daemon=True).start()
    return secret


def die_with_parent(parent_pid: int) -> None:
    """Ask, in a child, for the kernel's signal at the parent's end, where there is one.

    It comes when the *thread* that started us ends, so a parent must start children from a
    long-lived one.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def _exit_at_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def reap(process: subprocess.Popen[bytes], then: Callable[[int], None] | None = None) -> None:
    """Wait for a child on a thread of its own, so that it never stays a zombie."""

    def wait() -> None:
        code = process.wait()
        if then is not None:
            then(code)

    threading.Thread(target=wait, name=f"reap-{process.pid}", daemon=True).start()


def kill_group(pid: int, how: signal.Signals) -> None:
    """Signal a process and all of its group; harmless if it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, how)


def clone(source: Path, target: Path) -> bool:
    """Make a copy that shares the blocks of the original, which takes no time and no room; whether
    the file system can.

    By a program of its own: closing a file here would drop the POSIX locks that this process has
    on it, by whatever means they were taken.
    """
    how = "-c" if sys.platform == "darwin" else "--reflink=always"
    try:
        ended = subprocess.run(["cp", how, source, target], capture_output=True, check=False)
    except OSError:
        return False
    if ended.returncode != 0:
        # What cp made before it knew better.
        target.unlink(missing_ok=True)
    return ended.returncode == 0


def memory_mib() -> float:
    """Resident memory of this process in MiB."""
    return float(psutil.Process().memory_info().rss) / 2**20
