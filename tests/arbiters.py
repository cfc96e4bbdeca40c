"""Requests for memory, to be admitted by an arbiter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mysticanvas.contracts.memory import Term
from mysticanvas.contracts.plan import Plan
from mysticanvas.orchestrator.arbiter import policy
from mysticanvas.orchestrator.arbiter.arbiter import Arbiter
from mysticanvas.orchestrator.arbiter.planning import Situation
from mysticanvas.orchestrator.arbiter.policy import Request, Variant
from mysticanvas.orchestrator.supervisor.messages import Held

WAIT_S = 20.0
OTHER = Held("other", "other")


def needing(*mib: float) -> Callable[[Situation], Plan]:
    """Decides about a request that needs so much; the first way is the plain one."""
    variants = [
        Variant(
            (Term(name="all", mib=each, known="traced"),),
            ("vae_tiling",) if place else (),
            "mitigate" if place else "proceed",
        )
        for place, each in enumerate(mib)
    ]

    def decide(situation: Situation) -> Plan:
        request = Request(
            variants,
            held_mib=situation.held_mib,
            displaces=situation.displaces,
            wanted=situation.wanted,
        )
        return policy.decide(request, situation.residents, situation.device)

    return decide


def ready(*mib: float) -> Callable[[], Callable[[Situation], Plan]]:
    """Prepares nothing, and decides about such a request."""
    return lambda: needing(*mib)


def carried_out(
    arbiter: Arbiter, worker: str, *mib: float, wanted: Held | None = None, **given: Any
) -> Plan:
    with arbiter.admitted(worker, ready(*mib), wanted=lambda: wanted, **given) as plan:
        assert plan is not None
        return plan
