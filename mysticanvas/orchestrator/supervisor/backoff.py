"""How long to wait before a worker is started again: a pure decision."""

from __future__ import annotations

FIRST_S = 0.1
LONGEST_S = 30.0
STABLE_S = 30.0
"""A process that ran this long is taken to have been well; its end starts the count anew."""


def failures_in_a_row(before: int, ran_s: float) -> int:
    """The count of quick failures after one more end of a process that ran `ran_s` seconds."""
    return 1 if ran_s >= STABLE_S else before + 1


def delay_s(failures: int) -> float:
    """Seconds to wait after that many quick failures in a row: doubling, up to half a minute."""
    return float(min(LONGEST_S, FIRST_S * 2 ** (failures - 1))) if failures else 0.0
