"""What is said of a request for which no room can be made: pure."""

from __future__ import annotations

from mysticanvas.contracts.plan import Plan
from mysticanvas.errors import DoesNotFit


def of(plan: Plan) -> DoesNotFit:
    """The error for a plan that does not fit."""
    given = ", ".join(f"{name}={value!r}" for name, value in plan.suggestion.items())
    hint = f"This would fit: {given}." if given else "A smaller model, or smaller numbers, may fit."
    if plan.pinned:
        hint = f"{plan.in_the_way()} {hint if given else ''}".strip()
    return DoesNotFit(
        _why(plan),
        hint=hint,
        plan=plan.model_dump(mode="json"),
        suggestion=plan.suggestion,
    )


def _why(plan: Plan) -> str:
    if plan.lacks_system_memory:
        return (
            f"The request needs {plan.system_mib:,.0f} MiB of system memory beside the GPU, and "
            f"{plan.system_free_mib:,.0f} MiB of that are free."
        )
    if not plan.pinned or plan.total_mib - plan.held_mib > plan.free_mib:
        return (
            f"The request needs {plan.total_mib:,.0f} MiB and {plan.free_mib:,.0f} MiB are free; "
            "unloading what may be unloaded does not make enough room."
        )
    return "The request needs another model than the one that is loaded, which is to stay."


def in_the_way_of_an_unknown(pinned: str) -> Plan:
    """A plan for a request of which it is not known what it needs."""
    return Plan(decision="refuse", terms=[], total_mib=0.0, free_mib=0.0, pinned=[pinned])
