"""Jobs of a worker that nobody waits for are not begun while that would be in vain."""

from __future__ import annotations

from typing import Any

import pytest

from mysticanvas.contracts.jobs import WORKER_KINDS
from mysticanvas.orchestrator.queue.run import Run
from mysticanvas.orchestrator.queue.transitions import Transitions


@pytest.fixture
def broken(transitions: Transitions) -> list[str]:
    """What keeps them back, if anything."""
    reasons = ["the worker"]
    transitions.gate.keep_back(WORKER_KINDS, lambda: bool(reasons))
    return reasons


@pytest.fixture
def claim(transitions: Transitions, bus: Any) -> Any:
    return lambda kinds: transitions.claim(kinds, lambda job: Run(job, bus))


def test_only_what_somebody_waits_for_is_begun(
    transitions: Transitions, broken: list[str], add: Any, claim: Any
) -> None:
    kept = add("generate")
    assert claim(WORKER_KINDS) is None
    assert (transitions.due_s(WORKER_KINDS) or 0.0) > 0.0
    waited_for = add("generate", priority="interactive")
    assert transitions.due_s(WORKER_KINDS) == 0.0
    assert claim(WORKER_KINDS).id == waited_for
    assert claim(WORKER_KINDS) is None
    broken.clear()
    assert transitions.due_s(WORKER_KINDS) == 0.0
    assert claim(WORKER_KINDS).id == kept


def test_nor_is_it_handed_to_who_is_idle(
    transitions: Transitions, broken: list[str], add: Any, idle: Any
) -> None:
    idle(WORKER_KINDS)
    add("generate")
    assert transitions.handed(WORKER_KINDS) is None
    assert transitions.runs() == []


def test_jobs_that_need_no_worker_are_begun(broken: list[str], add: Any, claim: Any) -> None:
    job = add("backup")
    assert claim(["backup"]).id == job


def test_without_a_job_nothing_is_due(transitions: Transitions, broken: list[str]) -> None:
    assert transitions.due_s(WORKER_KINDS) is None
