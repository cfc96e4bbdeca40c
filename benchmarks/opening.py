"""Opening the store after a clean stop and after a kill, and the memory that it takes at rest."""

from __future__ import annotations

from benchmarks import child, library
from benchmarks.figure import Finding, LeftOut, long_duration, memory
from benchmarks.statistics import summarize

ROUNDS = 5
UNSAVED = 1_000
"""Pictures that only the write-ahead log holds when the process is killed."""
OPEN_S, REST_MB = 1.5, 400.0


def measure(images: int) -> list[Finding]:
    """Processes that open the store, use it, and stop or are killed, in turns."""
    after_stop, after_kill, sizes = [], [], []
    with library.borrowed(images) as copy:
        home = str(copy.home)
        _stopped(home)
        for salt in range(1, ROUNDS + 1):
            opened, used = _stopped(home)
            after_stop.append(opened)
            sizes.append(used["bytes"])
            _killed(home, salt)
            after_kill.append(_stopped(home)[0])
    return [
        long_duration("open.stopped", "open after a clean stop", summarize(after_stop), OPEN_S),
        long_duration("open.killed", "open after a kill", summarize(after_kill), OPEN_S),
        memory("rest", "memory at rest", summarize(sizes), REST_MB),
        *(LeftOut("of the memory at rest", missing) for missing in used["left_out"]),
    ]


def _stopped(home: str) -> tuple[float, child.Answer]:
    """Open, use and stop; the seconds of opening, and what using it was like."""
    with child.start("benchmarks.holder", home) as holder:
        return holder.hear()["seconds"], holder.ask(images=0, salt=0)


def _killed(home: str, salt: int) -> None:
    with child.start("benchmarks.holder", home) as holder:
        holder.hear()
        holder.ask(images=UNSAVED, salt=salt)
        holder.kill()
