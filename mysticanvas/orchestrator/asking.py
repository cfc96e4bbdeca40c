"""Asks a short-lived process that can be given up at any moment."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from mysticanvas.orchestrator.ending import Ending, in_words
from mysticanvas.terminal import last_lines

_TICK_S = 0.1
NO_ANSWER = (subprocess.SubprocessError, ValidationError)
"""Why there is no answer about a file, which may be its fault or the machine's."""


class Silence(NamedTuple):
    """What is known of an answer that did not come."""

    what: str
    """What happened, to stand behind a colon."""
    was_ended: bool
    """Whether the process was ended from outside, which the file need not be to blame for."""
    figures: Mapping[str, Any]
    """For the log: its last words, where it broke off."""

    @classmethod
    def of(cls, error: Exception, asked: str, work: str, limit_s: float) -> Silence:
        """What one of `NO_ANSWER` says.

        Args:
            asked: the process, as a user may call it.
            work: what it was to do, as a subject.
            limit_s: seconds that it had.
        """
        figures: dict[str, Any] = {"error": type(error).__name__}
        if isinstance(error, subprocess.TimeoutExpired):
            return cls(f"{work} took more than {limit_s:g} s", False, figures)
        if not isinstance(error, subprocess.CalledProcessError):
            return cls(f"{asked} broke off", False, figures)
        words = last_lines((error.stderr or b"").decode(errors="replace").splitlines())
        figures |= {"code": error.returncode, "last_words": words}
        ending = Ending(error.returncode)
        if ending.was_killed:
            return cls(f"{asked} was ended, maybe because memory ran out", True, figures)
        how = in_words(ending) if ending.crashed else "broke off"
        return cls(f"{asked} {how}", False, figures)


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
                    said, words = asked.communicate(given, timeout=min(_TICK_S, left_s))
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
        raise subprocess.CalledProcessError(asked.returncode, command, stderr=words)
    return said
