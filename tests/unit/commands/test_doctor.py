"""Diagnoses as people read them."""

from __future__ import annotations

import pytest

from mysticanvas.commands.console import Console
from mysticanvas.commands.doctor import text
from mysticanvas.contracts.doctor import Diagnosis, Finding, State


def diagnosis(*states: State) -> Diagnosis:
    findings = [
        Finding(check=state, state=state, message="It is.", hint="Do.", examples=["a\x1b"])
        for state in states
    ]
    return Diagnosis(home="/h", findings=findings)


def test_a_finding_says_what_is_and_what_to_do() -> None:
    assert text(diagnosis("ok", "problem"), Console(colour=False)).splitlines() == [
        "The home is /h.",
        "✓ ok: It is.",
        "      a\\x1b",
        "    Do.",
        "× problem: It is.",
        "      a\\x1b",
        "    Do.",
        "1 × something is wrong: see ×.",
    ]


@pytest.mark.parametrize(
    ("states", "last"),
    [
        (("ok", "repaired"), "Everything is in order."),
        (("ok", "warning"), "Nothing is wrong; see ! for what to know."),
    ],
)
def test_the_last_line_sums_up(states: tuple[State, ...], last: str) -> None:
    assert text(diagnosis(*states), Console(colour=False)).splitlines()[-1] == last
    assert text(diagnosis(*states), Console(colour=True)).endswith(f"{last}\033[0m")
