"""Asks a short-lived process that can be given up at any moment."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from pydantic import ValidationError

_TICK_S = 0.1
NO_ANSWER = (subprocess.SubprocessError, ValidationError)
"""Why there is no answer about a file, which may be its fault or the machine's."""


def ask(
    module: str,
    arguments: Sequence[str],
    text: bytes,
    environment: Mapping[str, str],
    limit_s: float,
    check: Callable[[], None] = lambda: None,
) -> bytes:
    """What `python -m module` puts out when it is given a text.

    Args:
        environment: all that it gets.
        limit_s: seconds that it may take.
        check: is called now and then; what it raises ends the process.

    Raises:
        subprocess.TimeoutExpired: it took longer.
        subprocess.CalledProcessError: it broke off.
    """
    command = [sys.executable, "-m", module, *arguments]
    pipe = subprocess.PIPE
    deadline = time.monotonic() + limit_s
    given: bytes | None = text
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe) as asked:
        try:
            while True:
                try:
                    left_s = max(0.0, deadline - time.monotonic())
                    said, _ = asked.communicate(given, timeout=min(_TICK_S, left_s))
                    break
                except subprocess.TimeoutExpired:
                    given = None
                    if time.monotonic() >= deadline:
                        raise
                check()
        except BaseException:
            asked.kill()
            raise
    if asked.returncode != 0:
        raise subprocess.CalledProcessError(asked.returncode, command)
    return said
