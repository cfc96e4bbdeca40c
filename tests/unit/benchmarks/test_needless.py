"""Decisions to make room that are right, and some that are not."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import needless

WAYS = [
    {"kind": "proceed", "mitigations": [], "mib": 6_000},
    {"kind": "mitigate", "mitigations": ["vae_tiling"], "mib": 4_000},
    {"kind": "offload", "mitigations": ["offload_model"], "mib": 1_500},
]
CHAT = {"worker": "llm", "model_mib": 3_000, "context_mib": 1_000, "may_go": True}
OTHER = {"worker": "other", "model_mib": 5_000, "context_mib": 0, "may_go": True}
DROPPED = {"worker": "llm", "kind": "soft_unload", "frees_mib": 1_000}
ENDED = {"worker": "llm", "kind": "hard_unload", "frees_mib": 3_000}
OTHER_ENDED = {"worker": "other", "kind": "hard_unload", "frees_mib": 5_000}


def decision(free_mib: float, *unloads: Any, way: int = 0, **changes: Any) -> dict[str, Any]:
    """A line of the log; the request's own process has 500 MiB."""
    given = {
        "needed_mib": WAYS[way]["mib"],
        "mitigations": WAYS[way]["mitigations"],
        "held_mib": 500,
        "free_mib": free_mib,
        "committed_mib": 0,
        "unloads": unloads,
        "others": [CHAT],
        "ways": WAYS,
    }
    return given | changes


@pytest.mark.parametrize(
    "line",
    [
        decision(4_500, DROPPED),
        decision(2_500, DROPPED, way=1),
        decision(1_500, ENDED, way=1),
        # A worker's end is worse than tiles, and less bad than weights in system memory.
        decision(900, ENDED, way=1, ways=WAYS),
        decision(2_400, ENDED, ways=WAYS[:1], needed_mib=5_900),
        decision(1_000, OTHER_ENDED, others=[{**CHAT, "may_go": False}, OTHER]),
        decision(5_600, DROPPED, committed_mib=500),
    ],
)
def test_what_was_needed_is_not_found_fault_with(line: dict[str, Any]) -> None:
    assert needless.fault(line) is None


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (decision(5_600, DROPPED), "nothing would have been enough"),
        (decision(3_600, DROPPED, way=1), "vae_tiling would have been enough"),
        (decision(4_600, ENDED), "llm of soft_unload would have been enough"),
        (decision(2_600, ENDED, way=1), "vae_tiling, llm of soft_unload would"),
        (
            decision(2_600, ENDED, OTHER_ENDED, ways=WAYS[:1], others=[CHAT, OTHER]),
            "of hard_unload would have been enough",
        ),
        (decision(4_400, DROPPED), "is not enough"),
        (decision(4_500, {**DROPPED, "frees_mib": 1_100}), "counts on 1100 MiB of 1000"),
    ],
)
def test_a_decision_is_found_fault_with(line: dict[str, Any], fault: str) -> None:
    assert fault in str(needless.fault(line))


def test_what_is_free_has_to_be_what_nobody_has() -> None:
    line = decision(4_500, DROPPED)
    assert needless.fault(line, budget_mib=8_000) is None
    found = needless.fault(line, budget_mib=9_000)
    assert found == "takes 4500 MiB for free of 9000, of which 3500 are taken"
