"""`/v1/plan`."""

from __future__ import annotations

from fastapi import APIRouter

from mysticanvas.contracts.plan import Plan, PlanRequest
from mysticanvas.orchestrator.arbiter.planner import Planner


def routes(planner: Planner) -> APIRouter:
    router = APIRouter(tags=["vram"])

    @router.post("/v1/plan")
    def plan(request: PlanRequest) -> Plan:
        """What pictures would take, and what would be done for them; nothing is run."""
        return planner.plan(request)

    return router
