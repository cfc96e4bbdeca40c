"""What an examination of a home finds, as it crosses a process boundary."""

from __future__ import annotations

from typing import Literal

from mysticanvas.contracts.base import Contract

State = Literal["ok", "repaired", "warning", "problem"]
"""`warning`: nothing is lost, but somebody should know; `problem`: something is wrong."""


class Finding(Contract):
    """What one check found."""

    check: str
    """Name of the check, stable."""
    state: State
    message: str
    """What is there, or what is wrong, in a sentence."""
    hint: str = ""
    """What to do about it; empty if there is nothing to do."""
    examples: list[str] = []
    """Some of what is wrong: ids or paths."""


class Diagnosis(Contract):
    """The findings of all checks, in order."""

    home: str
    findings: list[Finding]

    @property
    def well(self) -> bool:
        """Whether no problem is left; a warning is none."""
        return all(finding.state != "problem" for finding in self.findings)
