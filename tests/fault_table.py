"""The table of faults that tests inject, and of what came of them; `make faults` prints it.

A test that injects one fault is marked with it and its outcome, which counts once for each case:

    @pytest.mark.fault("SIGKILL of a kernel", "its job goes on")

One that injects many asks for the fixture `faults`:

    with faults.inject("SIGKILL of an idle worker", "another is ready"):
        …  # inject it, and assert the outcome
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

FAILED = "FAILED"


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
            self.count(fault, FAILED)
            raise
        self.count(fault, outcome, times)

    def count(self, fault: str, outcome: str, times: int = 1) -> None:
        """Take in an outcome."""
        outcomes = self.outcomes.setdefault(fault, {})
        outcomes[outcome] = outcomes.get(outcome, 0) + times

    def add(self, outcomes: Mapping[str, Mapping[str, int]]) -> None:
        """Take in what another process counted."""
        for fault, each in outcomes.items():
            for outcome, times in each.items():
                self.count(fault, outcome, times)

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
