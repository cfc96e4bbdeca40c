"""What is heard of one worker process: that it listens, how it is, and that it is gone."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

from mysticanvas import processes
from mysticanvas.contracts.health import WorkerState
from mysticanvas.errors import MystiCanvasError
from mysticanvas.orchestrator.ending import Ending
from mysticanvas.orchestrator.supervisor import memory
from mysticanvas.orchestrator.supervisor.client import Engineless, WorkerClient, WorkerLost
from mysticanvas.orchestrator.supervisor.deadlines import MOST_S
from mysticanvas.orchestrator.supervisor.launcher import Started
from mysticanvas.orchestrator.supervisor.messages import (
    Answered,
    Beat,
    Distrusted,
    Exited,
    Message,
    Missed,
)

BEAT_S = 2.0
"""Seconds between two questions to a process that is not heard of otherwise."""
_ANSWER_S = 1.0


class Watch:
    """Follows a process on two threads, from its start to its end, and says what it sees.

    Args:
        number: of the process.
        started: the process.
        say: takes a message to whoever decides; must not block.
        quiet_s: seconds since the process was heard of by other means.
        free_mib: what its device has left.

    Raises:
        RuntimeError: the system gives no more threads; the process is not followed.
    """

    def __init__(
        self,
        number: int,
        started: Started,
        say: Callable[[Message], None],
        quiet_s: Callable[[], float],
        free_mib: memory.Probe,
    ) -> None:
        self.number = number
        self.pid = started.process.pid
        self.client: WorkerClient | None = None
        """How to talk to it, once it listens."""
        self.stood_for = False
        """Whether `pid` is another process that only stands for it."""
        self._started = started
        self._say = say
        self._quiet_s = quiet_s
        self._free_mib = free_mib
        self._oom_kills = memory.oom_kills()
        self.gone = threading.Event()
        try:
            threading.Thread(target=self._listen, name=f"listen-{self.pid}", daemon=True).start()
            threading.Thread(target=self._wait, name=f"wait-{self.pid}", daemon=True).start()
        except RuntimeError:
            # For the thread that has begun, if one has.
            self.gone.set()
            raise

    def _listen(self) -> None:
        started = self._started.reported()
        client = started.client()
        if client is None:
            # Its end, or the deadline for its start, is the news.
            return
        self.stood_for = started.stood_for
        self.client = client
        self._say(Answered(self.number, self.stood_for))
        pause_s, heard_at = 0.0, time.monotonic()
        while not self.gone.wait(pause_s):
            pause_s = BEAT_S
            if self._quiet_s() >= BEAT_S:
                self._say(self._ask(client, heard_at))
            heard_at = time.monotonic()

    def _ask(self, client: WorkerClient, heard_at: float) -> Message:
        try:
            health = client.health(_ANSWER_S)
        except (WorkerLost, MystiCanvasError):
            return Missed(self.number, min(MOST_S, time.monotonic() - heard_at))
        if health.state is WorkerState.FAILED:
            error = health.last_error
            why = str(error.to_error()) if error else "it does not say why"
            return Distrusted(self.number, Engineless(why).words)
        return Beat.of(self.number, health, self._free_mib())

    def _wait(self) -> None:
        process = self._started.process
        code = process.wait()
        # What the worker itself has started ends with it.
        processes.kill_session(self.pid, signal.SIGKILL)
        if process.stdin is not None:
            process.stdin.close()
        self.gone.set()
        killed = memory.oom_kills() > self._oom_kills
        ending = Ending(code, "", killed, self._started.last_lines())
        self._say(Exited(self.number, ending))
