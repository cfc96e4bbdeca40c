"""A process that is still importing counts in plans with what it will have."""

from __future__ import annotations

import pytest
from plans import PROFILE, resolved, terms

from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.vram import DeviceMemory, Holding, VramStatus
from mysticanvas.orchestrator.arbiter import language_planning, planning
from mysticanvas.orchestrator.arbiter.planning import Situation, Use
from mysticanvas.vram import image, llm

COLD = Holding(worker="image", pid=1, preset=None, mib=65, importing=True)


def seen(free: float, *holdings: Holding, worker: str = "image", **uses: Use) -> Situation:
    device = DeviceMemory(name="memory budget", total_mib=8_000, free_mib=free)
    status = VramStatus(device=device, is_budget=True, holdings=list(holdings))
    return Situation(status, worker, uses)


@pytest.mark.parametrize(
    ("use", "context", "known"),
    [
        (Use(ready_mib=400), 400, "measured"),
        # What the process before had beside its model, not what this one has so far.
        (Use(ready_mib=400, context_mib=390), 400, "measured"),
        (Use(), planning.CONTEXT_MIB, "assumed"),
    ],
)
def test_a_process_that_is_still_importing_counts_with_what_it_will_have(
    use: Use, context: float, known: str
) -> None:
    for holdings in [(COLD,), ()]:
        situation = seen(8_000, *holdings, image=use)
        found = planning.plan(resolved(), PROFILE, situation, 2, "auto")
        assert terms(found)["context"] == (context, known)
        assert found.held_mib == sum(each.mib for each in holdings)
    # It has taken 65 of that.
    needed = found.total_mib - 65
    for free, decision in [(needed + 1, "proceed"), (needed - 1, "refuse")]:
        situation = seen(free, COLD, image=use)
        found = planning.plan(resolved(), PROFILE, situation, 2, "none")
        assert found.decision == decision


def weighing(mib: float) -> language_planning.Needs:
    """A language model with so large weights, and nothing else."""
    part = MemoryPart(name=llm.WEIGHTS, mib=mib, known="exact", device=llm.SYSTEM)
    return lambda _: [part]


def test_a_language_model_for_a_process_that_is_still_importing() -> None:
    needs = weighing(100)
    cold = Holding(worker="llm", pid=2, preset=None, mib=30, importing=True)
    known = language_planning.plan(needs, 512, seen(500, cold, worker="llm"))
    assert terms(known)["context"] == (planning.CONTEXT_LLM_MIB, "assumed")
    use = Use(ready_mib=90)
    known = language_planning.plan(needs, 512, seen(500, cold, worker="llm", llm=use))
    assert (terms(known)["context"], known.held_mib) == ((90, "measured"), 30)


def test_what_another_process_will_import_is_not_free_and_comes_back_with_its_end() -> None:
    needs = weighing(380 - image.safety(0) / planning.MIB)

    def planned(free: float) -> Plan:
        situation = seen(free, COLD, worker="llm", image=Use(ready_mib=400), llm=Use(ready_mib=20))
        return language_planning.plan(needs, 512, situation)

    # 335 of what is free are still to be imported.
    assert [planned(free).decision for free in (735, 734)] == ["proceed", "hard_unload"]
    assert planned(735).free_mib == 400
    assert [planned(free).decision for free in (335, 334)] == ["hard_unload", "refuse"]
