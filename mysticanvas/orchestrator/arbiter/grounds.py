"""What a decision to make room rests on, for the log: all figures that it can be checked by."""

from __future__ import annotations

from typing import Any

from mysticanvas.contracts.plan import Action, Plan, Way
from mysticanvas.orchestrator.arbiter.planning import Situation
from mysticanvas.orchestrator.arbiter.policy import Resident


def of(situation: Situation, plan: Plan) -> dict[str, Any]:
    """Members of a line of the log; memory in MiB.

    Args:
        situation: that the plan was made in.
        plan: that unloads something.
    """
    device = situation.device
    return {
        "worker": situation.worker,
        "decision": plan.decision,
        "needed_mib": plan.total_mib,
        "held_mib": plan.held_mib,
        "free_mib": device.free_mib,
        "committed_mib": device.committed_mib,
        "mitigations": list(plan.mitigations),
        "unloads": [_unload(each) for each in plan.actions if each.worker],
        "others": [_other(each) for each in situation.residents],
        "ways": [_way(each) for each in plan.ways],
    }


def _unload(action: Action) -> dict[str, Any]:
    return {"worker": action.worker, "kind": action.kind, "frees_mib": action.frees_mib}


def _other(resident: Resident) -> dict[str, Any]:
    return {
        "worker": resident.name,
        "model_mib": resident.model_mib,
        "context_mib": resident.context_mib,
        "may_go": not (resident.pinned or resident.busy),
    }


def _way(way: Way) -> dict[str, Any]:
    return {"kind": way.kind, "mitigations": list(way.mitigations), "mib": way.total_mib}
