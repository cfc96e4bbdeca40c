"""Processes that are measured: they take orders on a pipe and answer with a line of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mysticanvas.environment import child_environment

Answer = dict[str, Any]
PREFIX = "MYSTICANVAS_"


class Child:
    """A running `python -m module`; no terminal is attached to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **order: Any) -> Answer:
        """Send an order and wait for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self.hear()

    def hear(self) -> Answer:
        """Wait for the next answer.

        Raises:
            RuntimeError: the process ended without one.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended early; see its error above.")
        answer: Answer = json.loads(line)
        return answer

    def kill(self) -> None:
        """End it with SIGKILL, as a crash or an empty battery does."""
        self._process.kill()
        self._process.wait()


@contextmanager
def start(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[Child]:
    """Start a module with the environment that workers get, and the settings of this process.

    The process ends with the context.
    """
    settings = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=child_environment({**settings, **(environment or {})}),
        text=True,
    )
    with process:
        yield Child(process)
        assert process.stdin is not None
        process.stdin.close()


def answer(**content: Any) -> None:
    """Answer, in the child."""
    print(json.dumps(content), flush=True)


def serve(work: Callable[[Answer], Answer]) -> None:
    """Carry out orders, in the child, until there are no more."""
    for line in sys.stdin:
        answer(**work(json.loads(line)))
