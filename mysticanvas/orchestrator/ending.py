"""How a process of ours ended, and in words: pure."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import NamedTuple

_CRASHES = {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT"}
_BY_SIGNAL = {
    f"Fatal Python error: {signalled}"
    for signalled in (
        "Segmentation fault",
        "Bus error",
        "Illegal instruction",
        "Floating-point exception",
        "Floating point exception",
        "Aborted",
    )
}
"""What the interpreter says of each of these."""


class Ending(NamedTuple):
    """What is known of an end."""

    code: int | None = None
    """As `Popen.returncode`; None if no process came to be."""
    ended_for: str = ""
    """Why we ended it; empty if we did not."""
    out_of_memory: bool = False
    """Whether the system killed a process for want of memory meanwhile."""
    last_lines: tuple[str, ...] = ()
    """What it wrote last."""

    @property
    def signal(self) -> str | None:
        """The name of the signal that ended it."""
        if self.code is None or self.code >= 0:
            return None
        try:
            return signal.Signals(-self.code).name
        except ValueError:
            return f"signal {-self.code}"

    @property
    def crashed(self) -> bool:
        """Whether a signal ended it that it brought on itself, by what it did."""
        return self.signal in _CRASHES

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended it that came from outside, as from a system without memory: what
        it was at need not be to blame."""
        return self.signal is not None and not self.crashed

    @property
    def exit_code(self) -> int | None:
        """What it exited with, if it did."""
        return self.code if self.code is not None and self.code >= 0 else None


def in_words(ending: Ending) -> str:
    """How it ended, to stand behind `the image worker`."""
    if ending.code is None:
        return f"could not be started ({ending.ended_for})"
    if ending.ended_for:
        return f"{ending.ended_for}, and was ended ({ending.signal or f'exit {ending.code}'})"
    if ending.signal == "SIGKILL" and ending.out_of_memory:
        return "was killed by the system, because the machine ran out of memory (SIGKILL)"
    if ending.signal == "SIGKILL":
        return "was killed from outside (SIGKILL)"
    if ending.crashed:
        return f"crashed in native code ({ending.signal})"
    if ending.was_killed:
        return f"was ended from outside ({ending.signal})"
    if ending.code == 0:
        return "ended with exit code 0, as it does when it is asked to from outside (SIGTERM)"
    return f"ended by itself with exit code {ending.code}"


def quoted(lines: Sequence[str]) -> str:
    """The last of the lines that says more than the signal does, as a sentence to put behind
    others; empty without any."""
    said = [line for line in lines if line not in _BY_SIGNAL]
    return f" Its last words: {said[-1]}" if said else ""
