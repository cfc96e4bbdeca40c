"""Opening the store after a clean stop and after a kill, and the memory that it takes at rest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks import child, library
from benchmarks.figure import Finding, LeftOut, long_duration, memory
from benchmarks.statistics import summarize
from mysticanvas.home import HomePaths
from mysticanvas.store import checkpoints

ROUNDS = 3
OPEN_S, REST_MB = 1.5, 400.0


class Unsaved(NamedTuple):
    """What only the write-ahead log holds when the process is killed."""

    commits: int
    batch: int
    """Pictures of a commit."""


SMALL = Unsaved(checkpoints.MAX_COMMITS - 1, 1)
"""As many commits as the log ever holds."""
LARGE = Unsaved(7, 1_000)
"""About as many bytes as it ever holds."""


def measure(images: int) -> list[Finding]:
    """Processes that open the store, use it, and stop or are killed, in turns."""
    after_stop: list[float] = []
    after_kill: dict[Unsaved, list[float]] = {SMALL: [], LARGE: []}
    sizes = []
    with library.borrowed(images) as copy:
        home = str(copy.home)
        _stopped(home)
        for salt in range(1, ROUNDS + 1):
            opened, used = _stopped(home)
            after_stop.append(opened)
            sizes.append(used["bytes"])
            for unsaved, times in after_kill.items():
                logged = _killed(home, unsaved, salt)
                times.append(_stopped(home)[0])
                print(f"opened with {logged / 1e6:.1f} MB in the log", file=sys.stderr)
    return [
        long_duration("open.stopped", "open after a clean stop", summarize(after_stop), OPEN_S),
        *(
            long_duration(
                f"open.killed.{unsaved.commits}",
                f"open after a kill, {unsaved.commits * unsaved.batch:,} pictures in log",
                summarize(times),
                OPEN_S,
            )
            for unsaved, times in after_kill.items()
        ),
        memory("rest", "memory at rest", summarize(sizes), REST_MB),
        *(LeftOut("of the memory at rest", missing) for missing in used["left_out"]),
    ]


def _stopped(home: str) -> tuple[float, child.Answer]:
    """Open, use and stop; the seconds of opening, and what using it was like."""
    with child.start("benchmarks.holder", home) as holder:
        return holder.hear()["seconds"], holder.ask()


def _killed(home: str, unsaved: Unsaved, salt: int) -> int:
    """Leave pictures in the log; its bytes."""
    with child.start("benchmarks.holder", home) as holder:
        holder.hear()
        holder.ask(record={**unsaved._asdict(), "salt": salt * 1_000 + unsaved.batch})
        holder.kill()
    return HomePaths.of(Path(home)).write_ahead_log.stat().st_size
