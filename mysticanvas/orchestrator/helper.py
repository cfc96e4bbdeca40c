"""One process that gets orders and answers them, for one thread alone."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from pydantic import ValidationError

from mysticanvas import processes
from mysticanvas.contracts.base import Contract
from mysticanvas.environment import child_environment
from mysticanvas.logs.capture import Capture, marked
from mysticanvas.logs.file import LogFile
from mysticanvas.orchestrator.ending import Ending

_ENDING_S = 2.0
A = TypeVar("A", bound=Contract)


class HelperLost(Exception):
    """The process ended, or is as good as ended.

    Args:
        reason: how that is known.
        killed: whether it was killed from outside, as when the machine has no memory left.
    """

    def __init__(self, reason: str, killed: bool = False) -> None:
        super().__init__(reason)
        self.killed = killed


class Helper(Generic[A]):
    """A running process.

    It ends with the thread that makes this object, since the kernel's death signal hangs on it.

    Args:
        module: what it runs, with `--ready-fd` for its answers and `--parent-pid`.
        arguments: further ones.
        environment: beside what every child gets.
        answers: the class of them.
        log: file for what else it puts out.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        answers: type[A],
        log: LogFile,
    ) -> None:
        environment, mark = marked(environment)
        spawned = processes.spawn(
            module,
            [*arguments, "--parent-pid", str(os.getpid())],
            environment=child_environment(environment),
            # No secret, but an input that stays open until we are gone.
            secret=b"",
        )
        self._process: subprocess.Popen[bytes] = spawned.process
        self._type = answers
        self._answers = spawned.ready
        self._heard = b""
        assert spawned.output is not None
        try:
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._answers, selectors.EVENT_READ)
            self._capture = Capture(spawned.output, log, log.path.stem, spawned.process.pid, mark)
        # A RuntimeError where the system gives no more threads.
        except (OSError, RuntimeError) as error:
            spawned.kill()
            spawned.output.close()
            raise OSError(str(error)) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, order: Contract) -> None:
        """Give an order.

        Raises:
            HelperLost: the process is gone.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(order.model_dump_json().encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._lost() from error

    def receive(self, timeout_s: float) -> A:
        """Wait for the next answer, to whichever order.

        Raises:
            HelperLost: none came in time, or the process is gone.
        """
        answer = self.poll(timeout_s)
        if answer is None:
            raise HelperLost(f"it did not answer within {timeout_s:g} s")
        return answer

    def poll(self, timeout_s: float) -> A | None:
        """The next answer; None if none comes in time.

        Raises:
            HelperLost: the process is gone.
        """
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._heard:
            if not self._selector.select(max(0.0, deadline - time.monotonic())):
                return None
            # The descriptor itself: a buffered reader would hide from the selector what it holds.
            heard = os.read(self._answers.fileno(), 1 << 16)
            if not heard:
                raise self._lost()
            self._heard += heard
        line, _, self._heard = self._heard.partition(b"\n")
        try:
            return self._type.model_validate_json(line)
        except ValidationError as error:
            raise HelperLost("it answered what no helper answers") from error

    def kill(self) -> None:
        """End it now; from any thread. What was ordered is lost."""
        if self._process.poll() is None:
            processes.kill_group(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it and wait until it is gone."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._selector.close()
        self._answers.close()
        self._capture.finish()

    def _lost(self) -> HelperLost:
        try:
            code = self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            return HelperLost("it hung up")
        return _ended(Ending(code))


def _ended(ending: Ending) -> HelperLost:
    if ending.signal is None:
        return HelperLost(f"it ended with {ending.code}")
    return HelperLost(f"it ended by {ending.signal}", killed=ending.was_killed)
