"""How many faults of a kind are injected, and the table of what came of them.

A few in `make test`, many in `make faults`, which prints the table. A test says what it injects:

    with faults.inject("SIGKILL of an idle worker", "another is ready"):
        …  # inject it, and assert the outcome
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

FAULTS = "FAULTS"


class Faults:
    """What was injected, in the order of the first time: fault -> outcomes and their number."""

    def __init__(self) -> None:
        self.outcomes: dict[str, dict[str, int]] = {}

    @contextlib.contextmanager
    def inject(self, fault: str, outcome: str, times: int = 1) -> Iterator[None]:
        """Count a fault, with the outcome that the block asserts; FAILED if it does not hold."""
        try:
            yield
        except BaseException:
            self._count(fault, "FAILED", 1)
            raise
        self._count(fault, outcome, times)

    def _count(self, fault: str, outcome: str, times: int) -> None:
        outcomes = self.outcomes.setdefault(fault, {})
        outcomes[outcome] = outcomes.get(outcome, 0) + times

    def table(self) -> list[str]:
        """A line a fault and outcome."""
        rows = [
            (fault, str(times), outcome)
            for fault, outcomes in self.outcomes.items()
            for outcome, times in outcomes.items()
        ]
        head = ("fault", "times", "outcome")
        wide, narrow, _ = (max(map(len, column)) for column in zip(head, *rows, strict=True))
        return [
            f"{fault:{wide}}  {times:>{narrow}}  {outcome}"
            for fault, times, outcome in (head, *rows)
        ]


_TABLE = pytest.StashKey[Faults]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TABLE] = Faults()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    faults = config.stash[_TABLE]
    if FAULTS in os.environ and faults.outcomes:
        terminalreporter.section("faults")
        for line in faults.table():
            terminalreporter.line(line)


@pytest.fixture
def faults(pytestconfig: pytest.Config) -> Faults:
    return pytestconfig.stash[_TABLE]


@pytest.fixture
def count() -> int:
    return int(os.environ.get(FAULTS, "5"))


@pytest.fixture
def few(count: int) -> int:
    """Of faults that take seconds each: one in `make test`."""
    return max(1, count // 10)
