"""Process start and death-watch: everything here that depends on the operating system.

Linux in full; macOS has no parent-death signal, so there the end of the standard input pipe alone
tells a worker that its parent is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import psutil

from mysticanvas import import_path, ownership

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.02
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

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
    "MYSTICANVAS_LOG_LEVEL",
]
"""Variables that a child gets from its parent: an allow-list, so that secrets stay behind."""


NETWORK = [
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "HF_TOKEN_PATH",
    "TRANSFORMERS_OFFLINE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_DIR",
]
"""Variables that say how the hub is reached, for a child that asks it; no token is among them."""


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
        return cls(pid, _life(pid).started_at, boot_id())

    def alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        if self.boot_id != boot_id():
            return False
        try:
            life = _life(self.pid)
        except psutil.NoSuchProcess:
            return False
        return abs(life.started_at - self.started_at) < 1.0 and not life.zombie

    def age_s(self) -> float:
        """Seconds since it started."""
        return max(0.0, _now() - self.started_at)

    def wait_gone(self, timeout_s: float) -> bool:
        """Wait until the process is gone; whether it went in time."""
        return wait_gone(self.alive, timeout_s)


def wait_gone(alive: Callable[[], bool], timeout_s: float) -> bool:
    """Wait until something is not alive any more; whether that came in time."""
    deadline = time.monotonic() + timeout_s
    while alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


class _Life(NamedTuple):
    """When a process started, on a clock of the system's choice, and whether it has ended."""

    started_at: float
    zombie: bool


def _now() -> float:
    """Seconds on the clock of `_Life.started_at`."""
    return time.time() if sys.platform != "linux" else time.clock_gettime(time.CLOCK_BOOTTIME)


def _life(pid: int) -> _Life:
    """What the system knows of a process; a kernel asks before each call, so it has to be quick.

    On Linux in seconds since the boot: what is derived from the wall clock moves when that is set.
    """
    if sys.platform != "linux":
        process = psutil.Process(pid)
        return _Life(process.create_time(), process.status() == psutil.STATUS_ZOMBIE)
    try:
        # The name comes second, in brackets, and may hold anything.
        members = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except OSError:
        raise psutil.NoSuchProcess(pid) from None
    return _Life(int(members[19]) / _TICKS_PER_S, members[0] in (b"Z", b"X"))


def _read(path: str) -> bytes:
    """A small file of `/proc`; opening it as a Python file would take three times as long."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


class Holding(NamedTuple):
    """A descriptor in the hands of a process, told apart from a later one with the same number."""

    descriptor: int
    inode: int

    @classmethod
    def of(cls, descriptor: int) -> Holding:
        """That of a descriptor of ours."""
        return cls(descriptor, os.fstat(descriptor).st_ino)

    def held_by(self, pid: int) -> bool:
        """Whether the process has it still; True where the system does not tell."""
        if sys.platform != "linux":
            return True
        try:
            return Path(f"/proc/{pid}/fd/{self.descriptor}").stat().st_ino == self.inode
        except OSError:
            return False


@functools.cache
def boot_id() -> str:
    """An id that changes when the machine (or container host) is started again."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(int(psutil.boot_time()))


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: the allow-list, where it finds us, and `extra`."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**inherited, **import_path.needed(os.environ, Path(__file__).parent), **extra}


def network_environment() -> dict[str, str]:
    """What a child needs beside `child_environment` to reach the hub as its parent would."""
    return {name: os.environ[name] for name in NETWORK if name in os.environ}


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
        # Segments that grow: what is reserved on a GPU is then what was needed, not up to twice it.
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
        # ggml would start a debugger to say where it gave up.
        "GGML_NO_BACKTRACE": "1",
    }


class Spawned(NamedTuple):
    """A started child: its handle, what it reports on once it is ready, and what it puts out."""

    process: subprocess.Popen[bytes]
    ready: BufferedReader
    output: BinaryIO | None = None
    """Standard output and error, if there is no file for them; to be read until its end."""

    def read_ready(self) -> dict[str, object] | None:
        """Block until the child reports; None if it ended, or closed the pipe, without a word."""
        with self.ready:
            line = self.ready.readline(1 << 20)
        try:
            return dict(json.loads(line)) if line else None
        except ValueError:
            return None

    def kill(self) -> None:
        """End it and what it has started, and close what leads to it but its output."""
        self.process.kill()
        self.process.wait()
        kill_session(self.process.pid, signal.SIGKILL)
        self.ready.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


def spawn(
    module: str,
    arguments: list[str],
    *,
    environment: Mapping[str, str],
    log: Path | None = None,
    secret: bytes | None = None,
) -> Spawned:
    """Start `python -m module` in a session of its own, with a pipe to report ready on.

    Args:
        log: file that standard output and error are appended to; a pipe without it, which is for
            children that do not outlive us.
        secret: written to the child's standard input, which then stays open: its end tells the
            child that its parent is gone. None gives the child no input and lets it outlive us.
    """
    reader, writer = os.pipe()
    try:
        with _output_to(log) as output:
            process = subprocess.Popen(
                # A crash then says where it was: on standard error, as C++ does.
                [
                    *(sys.executable, "-X", "faulthandler", "-m", module),
                    *("--ready-fd", str(writer), *arguments),
                ],
                stdin=subprocess.DEVNULL if secret is None else subprocess.PIPE,
                stdout=subprocess.PIPE if output is None else output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                pass_fds=(writer,),
                start_new_session=True,
                cwd="/",
                umask=ownership.mask_of_children(),
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
    # Popen gives readers of pipes.
    return Spawned(process, os.fdopen(reader, "rb"), cast("BinaryIO | None", process.stdout))


@contextlib.contextmanager
def _output_to(log: Path | None) -> Iterator[BinaryIO | None]:
    """The open file; the null device if it cannot be opened, on a full disk say."""
    if log is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(log.open("ab"))
        except OSError:
            file = stack.enter_context(Path(os.devnull).open("ab"))
        yield file


def report_ready(ready_fd: int, report: Mapping[str, object]) -> None:
    """Tell the parent, from the child, on the descriptor that `--ready-fd` named; then close it."""
    with os.fdopen(ready_fd, "wb") as pipe:
        pipe.write(json.dumps(report).encode() + b"\n")


def join_parent(parent_pid: int, most_bytes: int = 4096) -> bytes:
    """Read, in a child, the secret that the parent wrote to our standard input, a line of at most
    `most_bytes`; from then on end this process when the parent ends, however that happens.

    The watch on standard input serves where there is no signal; it reads the same pipe, which is
    why it starts only after the secret was read, and not at all when there was none: the pipe is
    at its end already, and the caller has to be able to say so.
    """
    die_with_parent(parent_pid)
    secret = sys.stdin.buffer.readline(most_bytes).strip()
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


def reap(process: subprocess.Popen[bytes]) -> None:
    """Wait for a child on a thread of its own, so that it never stays a zombie."""
    threading.Thread(target=process.wait, name=f"reap-{process.pid}", daemon=True).start()


def kill_group(pid: int, how: signal.Signals) -> None:
    """Signal a process and all of its group; harmless if it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, how)


def kill_session(leader: int, how: signal.Signals) -> None:
    """Signal whatever is left of the session that a process led, which has ended: children of
    its own, also those in groups of their own."""
    kill_group(leader, how)
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader:
                os.kill(pid, how)


def memory_mib(pid: int | None = None) -> float:
    """Resident memory of a process in MiB, this one by default; 0 if there is none."""
    try:
        return _resident_bytes(os.getpid() if pid is None else pid) / 2**20
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return 0.0


def _resident_bytes(pid: int) -> int:
    if sys.platform != "linux":
        return int(psutil.Process(pid).memory_info().rss)
    # For every answer about health and every plan; psutil takes ten times as long.
    return int(_read(f"/proc/{pid}/statm").split()[1]) * _PAGE_BYTES


def give_back_heap() -> None:
    """Give memory that the heap of C keeps for later back to the system, where its library can.

    Takes milliseconds. Without it, a process stays as large as the largest thing it ever did.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def flush_c_output() -> None:
    """Have what C code of this process printed leave its buffers."""
    ctypes.CDLL(None).fflush(None)
