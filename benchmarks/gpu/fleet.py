"""Processes that carry out one order each, started ahead so that their imports are done in time.

Every one has time limits for its start, its order and its end, and is gone before the next one's
order is given; so a job finds the device as empty as the one before.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mysticanvas.environment import child_environment, engine_environment

ROOT = Path(__file__).resolve().parents[2]
START_S, END_S = 120.0, 15.0
_TAIL = 600
_KEPT = ("PYTHONPATH",)
Answer = dict[str, Any]


class Order(NamedTuple):
    """What a process is to do."""

    content: dict[str, Any]
    limit_s: float
    environment: Mapping[str, str] = {}
    """Variables beside those of a worker."""


class Child:
    """A process that imports, and then waits for orders."""

    def __init__(self, environment: Mapping[str, str], threads: int) -> None:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        variables = engine_environment(threads) | kept | environment
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "benchmarks.gpu.child",
                "--parent-pid",
                str(os.getpid()),
                "--threads",
                str(threads),
            ],
            cwd=ROOT,
            env=child_environment(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._ready = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, content: Mapping[str, Any], limit_s: float) -> Answer:
        """Give an order and wait for its answer; an `error` in it says what went wrong."""
        if not self._ready:
            first = self._hear(START_S, "start")
            if "error" in first:
                return first
            self._ready = True
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(content) + "\n")
            self._process.stdin.flush()
        except OSError:
            return {"error": f"ended before its order: {self._last_words()}"}
        return self._hear(limit_s, str(content.get("kind")))

    def end(self) -> None:
        """Have it end, by force if it does not within seconds."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        # Its end comes with the process, since no child of it has the other side.
        self._reader.join(END_S)
        self._process.stdout.close()
        self._errors.close()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self.end()

    def _hear(self, limit_s: float, what: str) -> Answer:
        try:
            line = self._lines.get(timeout=limit_s)
        except queue.Empty:
            self._process.kill()
            return {"error": f"{what} took more than {limit_s:g} s", "timed_out": True}
        if not line:
            return {"error": f"{what} ended the process: {self._last_words()}"}
        answer: Answer = json.loads(line)
        return answer

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _TAIL))
        text = self._errors.read().decode(errors="replace")
        return f"exit code {self._process.poll()}; {' '.join(text.split())}"


def one_by_one(
    orders: Sequence[Order], ahead: int, threads: int, goes_on: Callable[[Order], bool]
) -> Iterator[tuple[Order, Answer | None, int]]:
    """Carry out orders in a row, each in a process of its own that is gone when it is told of.

    Args:
        ahead: processes that import meanwhile.
        threads: of the CPU, for each.
        goes_on: asked before each order; those that it refuses have None for an answer.

    Yields:
        Each order, its answer, and the number of its process, 0 if there was none.
    """
    waiting: deque[Child] = deque()
    coming = iter(orders)

    def start() -> None:
        order = next(coming, None)
        if order is not None:
            waiting.append(Child(order.environment, threads))

    try:
        for _ in range(ahead):
            start()
        for order in orders:
            if not waiting:
                start()
            child = waiting.popleft()
            if not goes_on(order):
                child.kill()
                yield order, None, 0
                continue
            start()
            try:
                answer = child.ask(order.content, order.limit_s)
            finally:
                child.end()
            yield order, answer, child.pid
    finally:
        for child in waiting:
            child.kill()


def at_once(orders: Sequence[Order], workers: int) -> list[Answer]:
    """Carry out orders that leave the device alone, in a few processes; the answers in order."""
    found: list[Answer] = [{"error": "not begun"}] * len(orders)
    places = deque(range(len(orders)))

    def work() -> None:
        child = Child({}, 1)
        try:
            while True:
                try:
                    place = places.popleft()
                except IndexError:
                    return
                found[place] = child.ask(orders[place].content, orders[place].limit_s)
        finally:
            child.kill()

    threads = [threading.Thread(target=work) for _ in range(min(workers, len(orders)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
