"""Which room is made for a request: the mildest that is enough."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from mysticanvas.contracts.memory import Term
from mysticanvas.orchestrator.arbiter import refusals
from mysticanvas.orchestrator.arbiter.policy import (
    ORDER,
    Device,
    Request,
    Resident,
    Variant,
    decide,
    most_mib,
)

LLM = Resident("llm", 5_000, preset="chat", context_mib=1_000, idle_s=60, reload_s=8, context_s=0.1)
OTHER = Resident("other", 7_000, preset="sdxl", idle_s=60, reload_s=20)


def variant(mib: float, *mitigations: str, **members: Any) -> Variant:
    terms = (Term(name="all", mib=mib, known="traced"),)
    kind = members.pop("kind", "mitigate" if mitigations else "proceed")
    return Variant(terms, mitigations, kind, **members)


PLAIN = variant(6_000)
SLICED = variant(5_500, "vae_slicing")
TILED = variant(4_000, "vae_tiling", changes_pixels=True)
OFFLOADED = variant(1_500, "model_offload", kind="offload", slowdown=4)
ALL = (PLAIN, SLICED, TILED, OFFLOADED)


@pytest.mark.parametrize(
    ("free", "residents", "decision", "targets"),
    [
        (6_000, [LLM, OTHER], "proceed", []),
        (5_999, [LLM, OTHER], "soft_unload", ["llm"]),
        (5_500, [OTHER], "mitigate", ["vae_slicing"]),
        (4_000, [OTHER], "mitigate", ["vae_tiling"]),
        # The context and a mitigation together are milder than the end of a process.
        (3_000, [LLM, OTHER], "mitigate", ["llm", "vae_tiling"]),
        (1_000, [LLM], "hard_unload", ["llm"]),
        (500, [LLM], "hard_unload", ["llm", "vae_slicing"]),
        (1_500, [], "offload", ["model_offload"]),
        (1_499, [], "refuse", []),
    ],
)
def test_the_mildest_measure_that_is_enough_is_taken(
    free: float, residents: list[Resident], decision: str, targets: list[str]
) -> None:
    plan = decide(Request(ALL), residents, Device(free))
    done = [action.worker or action.target for action in plan.actions]
    assert (plan.decision, done) == (decision, targets)
    assert plan.fits == (decision != "refuse")


def test_what_is_committed_counts_and_what_is_held_does_not_count_twice() -> None:
    assert decide(Request(ALL), [], Device(7_000, committed_mib=1_001)).decision == "mitigate"
    assert decide(Request(ALL, held_mib=2_000), [], Device(4_000)).decision == "proceed"


def test_mitigations_are_those_that_the_user_allows() -> None:
    exact = decide(Request(ALL, allowed="exact"), [], Device(4_000))
    assert (exact.decision, exact.changes_pixels) == ("offload", False)
    none = decide(Request(ALL, allowed="none"), [], Device(5_999))
    assert (none.decision, none.total_mib) == ("refuse", 6_000)


def test_a_plan_names_the_ways_that_were_looked_at() -> None:
    exact = decide(Request(ALL, allowed="exact"), [], Device(4_000))
    assert [(way.kind, way.total_mib) for way in exact.ways] == [
        ("proceed", 6_000), ("mitigate", 5_500), ("offload", 1_500),
    ]  # fmt: skip


def test_the_least_useful_model_goes() -> None:
    request = Request([PLAIN])
    long_ago = OTHER._replace(idle_s=3_600)
    assert decide(request, [LLM, long_ago], Device(1_000)).actions[0].target == "sdxl"
    assert decide(request, [LLM, OTHER], Device(1_000)).actions[0].target == "chat"


def test_a_model_that_is_pinned_stays_and_one_at_work_is_waited_for_at_the_last() -> None:
    pinned, busy = OTHER._replace(pinned="sdxl"), LLM._replace(busy=True)
    refused = decide(Request([PLAIN]), [pinned], Device(1_000))
    assert (refused.decision, refused.pinned) == ("refuse", ["sdxl"])
    assert "'sdxl' is pinned and in the way: canvas.unload('sdxl')" in refused.explain()
    assert decide(Request([PLAIN]), [LLM._replace(pinned="chat")], Device(500)).pinned == []
    assert decide(Request([PLAIN]), [busy, OTHER], Device(1_000)).waits_for == []
    plan = decide(Request([PLAIN]), [busy, pinned], Device(1_000))
    assert (plan.decision, plan.waits_for) == ("hard_unload", ["chat"])
    assert most_mib([busy, pinned], Device(1_000)) == 6_000


def test_a_pinned_model_is_not_replaced_in_its_own_process() -> None:
    plan = decide(Request([PLAIN], displaces="sdxl"), [LLM], Device(100_000))
    assert (plan.fits, plan.pinned) == (False, ["sdxl"])
    # It is not for memory that it is refused.
    assert "another model than the one that is loaded" in str(refusals.of(plan))
    scarce = decide(Request([PLAIN], displaces="sdxl"), [LLM], Device(100))
    assert "does not make enough room" in str(refusals.of(scarce))


def test_a_plan_says_what_is_done_why_and_what_it_costs() -> None:
    said = decide(Request(ALL), [LLM, OTHER], Device(3_000)).explain()
    assert "4,000 MiB needed, 3,000 MiB free" in said
    gives = "which gives 1,000 MiB back (last used 60 s ago)"
    assert f"drop the context of chat to make room, {gives}" in said
    assert "vae_tiling, which saves 2,000 MiB (changes pixels)" in said
    held = decide(Request(ALL, held_mib=500), [LLM, OTHER], Device(3_000)).explain()
    assert "4,000 MiB needed (500 MiB held already), 3,000 MiB free" in held
    never = decide(Request(ALL), [LLM._replace(idle_s=math.inf)], Device(5_500)).explain()
    assert "1,000 MiB back (not used yet)" in never
    assert "about 4 times as long" in decide(Request(ALL), [], Device(1_500)).explain()
    assert "does not fit" in decide(Request(ALL), [], Device(0)).explain()


def test_a_plan_says_for_whom_room_is_made() -> None:
    dropped = decide(Request([PLAIN], wanted="sd"), [LLM], Device(5_000))
    assert "drop the context of chat to make room for sd, which" in dropped.explain()
    assert dropped.notices()[0].startswith("Drop the context of chat to make room for sd, which")
    ended = decide(Request([PLAIN], wanted="sd"), [LLM], Device(3_000))
    assert "unload chat to make room for sd, which" in ended.explain()
    tiled = decide(Request(ALL, wanted="sd"), [], Device(4_000)).notices()
    assert tiled[0].startswith("To make room: vae_tiling, which saves")


@st.composite
def residents(draw: st.DrawFn) -> list[Resident]:
    size = st.integers(0, 8_000)
    return [
        Resident(
            name=f"m{k}",
            model_mib=(model := draw(size)),
            context_mib=draw(st.integers(0, model)),
            idle_s=draw(st.integers(0, 4_000)),
            reload_s=draw(st.integers(0, 60)),
            pinned=draw(st.sampled_from([None, "pinned"])),
            busy=draw(st.booleans()),
        )
        for k in range(draw(st.integers(0, 3)))
    ]


@given(residents(), st.integers(0, 9_000), st.sampled_from(["auto", "exact", "none"]))
def test_nothing_is_done_without_need_and_nothing_that_fits_is_refused(
    there: list[Resident], free: int, allowed: Any
) -> None:
    plan = decide(Request(ALL, allowed=allowed), there, Device(free))
    if not plan.fits:
        smallest = {"auto": 1_500, "exact": 1_500, "none": 6_000}[allowed]
        assert most_mib(there, Device(free)) < smallest
        return
    unloads = [a for a in plan.actions if a.kind in ("soft_unload", "hard_unload")]
    assert plan.total_mib <= free + sum(action.frees_mib for action in unloads)
    # Whatever is left out of what is done, the rest is not enough.
    mitigated = len(unloads) < len(plan.actions)
    for kept in itertools.chain.from_iterable(
        itertools.combinations(unloads, k) for k in range(len(unloads))
    ):
        assert plan.total_mib > free + sum(action.frees_mib for action in kept)
    if mitigated and ORDER.index(plan.decision) >= ORDER.index("mitigate"):
        assert free + sum(action.frees_mib for action in unloads) < PLAIN.total_mib
