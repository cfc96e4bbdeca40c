"""The first picture after a kernel restart, beside a fresh process of diffusers.

Ours attaches to an orchestrator whose worker still has the model; theirs imports and loads it.
Both are timed from the start of the interpreter until the picture is there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import child
from benchmarks.figure import Figure, duration, ratio
from benchmarks.statistics import summarize
from benchmarks.subject import Subject, warm

ROUNDS = 11
TIMES = 5.0


def measure(model: Path) -> list[Figure]:
    """Both times, and how many times faster ours is, round by round."""
    with warm(model) as subject:
        rounds = [(_ours(subject, seed), _theirs(subject, seed)) for seed in range(ROUNDS)]
    ours = summarize([ours for ours, _ in rounds])
    theirs = summarize([theirs for _, theirs in rounds])
    times = summarize([theirs / ours for ours, theirs in rounds])
    return [
        duration("restart.ours", "import, attach, generate", ours),
        duration("restart.direct", "diffusers: import, load, draw", theirs),
        ratio("restart.times", "faster after a kernel restart", times, TIMES),
    ]


def _ours(subject: Subject, seed: int) -> float:
    return _seconds(("benchmarks.script", str(subject.home)), {}, subject.ours(seed))


def _theirs(subject: Subject, seed: int) -> float:
    order = subject.theirs(seed, subject.home.with_name(f"{seed}.png"))
    return _seconds(("benchmarks.direct", *subject.direct), subject.environment, order)


def _seconds(
    command: tuple[str, ...], environment: Mapping[str, str], order: dict[str, Any]
) -> float:
    began = time.perf_counter()
    with child.start(*command, environment=environment) as process:
        process.ask(**order)
        return time.perf_counter() - began
