"""Memory is counted on once it is back, and is waited for."""

from __future__ import annotations

import time

import pytest
import structlog
from arbiters import WAIT_S, carried_out

from benchmarks import needless
from benchmarks.tenants import Machine, Tenant
from mysticanvas.errors import DoesNotFit
from mysticanvas.orchestrator.arbiter import returning
from mysticanvas.orchestrator.arbiter.arbiter import Arbiter

pytestmark = pytest.mark.usefixtures("hurried_arbiter")


@pytest.mark.fault("memory is not given back after an unload", "the next plan is made without it")
def test_memory_that_does_not_come_back_is_not_counted_on() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    chat.take("chat", 3_000, 1_000)
    machine = Machine(8_000, image, chat)
    machine.owed_mib = 500

    def keep() -> None:
        if chat.context_mib == 0 and chat.preset:
            machine.owed_mib = 1_500

    machine.looked = keep
    arbiter = Arbiter([image, chat], machine.memory)
    plan = carried_out(arbiter, "image", 4_000, 2_000)
    # The context would have been enough.
    assert chat.done == ["drop_context"]
    assert [action.kind for action in plan.actions] == ["soft_unload", "mitigate"]
    assert plan.total_mib == 2_000


@pytest.mark.fault("a foreign process takes memory while room is made", "another plan, or refused")
def test_memory_that_a_stranger_takes_meanwhile_is_missed() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    chat.take("chat", 3_000, 1_000)
    machine = Machine(8_000, image, chat)

    def take() -> None:
        if chat.done:
            machine.foreign_mib = 2_500

    machine.looked = take
    arbiter = Arbiter([image, chat], machine.memory)
    plan = carried_out(arbiter, "image", 5_000)
    assert chat.done == ["drop_context", "retire"]
    assert plan.decision == "hard_unload"
    chat.take("chat", 3_000, 1_000)
    with pytest.raises(DoesNotFit):
        carried_out(arbiter, "image", 6_000)
    # Nothing that is given back would be enough, so nothing is.
    assert chat.preset == "chat"


@pytest.mark.fault("a worker does not answer when it is to drop its context", "it is ended")
def test_a_worker_that_cannot_be_asked_is_ended() -> None:
    image, chat = Tenant("image"), Tenant("llm", deaf=True)
    chat.take("chat", 3_000, 1_000)
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    plan = carried_out(arbiter, "image", 5_000)
    assert chat.done == ["drop_context", "retire"]
    # It says what was done, which is more than what was decided.
    [action] = plan.actions
    assert (plan.decision, action.kind, action.frees_mib) == ("hard_unload", "hard_unload", 4_000)
    assert action.why.startswith("unload chat to make room, which gives 4,000 MiB back")


def test_the_end_of_a_process_that_imports_is_not_waited_for_longer_than_what_it_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(returning, "MEMORY_BACK_S", WAIT_S)
    image, chat = Tenant("image", is_running=True, imported_mib=65), Tenant("llm")
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    with structlog.testing.capture_logs() as lines:
        began = time.monotonic()
        plan = carried_out(arbiter, "llm", 7_900)
        assert time.monotonic() - began < WAIT_S
    assert (plan.decision, image.done) == ("hard_unload", ["retire"])
    [line] = [each for each in lines if each["event"] == "room_decided"]
    assert needless.fault(line, budget_mib=8_000) is None


@pytest.mark.fault("a context that is dropped gives nothing back", "its process is ended then")
def test_a_context_that_stays_is_asked_for_once() -> None:
    class Stubborn(Tenant):
        def drop_context(self) -> None:
            self.done.append("drop_context")

    image, chat = Tenant("image"), Stubborn("llm")
    chat.take("chat", 3_000, 1_000)
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    plan = carried_out(arbiter, "image", 5_000)
    assert (plan.decision, chat.done) == ("hard_unload", ["drop_context", "retire"])
    assert [action.kind for action in plan.actions] == ["soft_unload", "hard_unload"]


@pytest.mark.fault("memory comes back late after an unload", "it is waited for, and no more ends")
def test_memory_that_comes_back_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "MEMORY_BACK_S", WAIT_S)
    image, chat = Tenant("image"), Tenant("llm")
    chat.take("chat", 3_000, 1_000)
    machine = Machine(8_000, image, chat)
    late = iter([1_000.0, 1_000.0, 500.0])

    def give_back_late() -> None:
        if chat.done:
            machine.owed_mib = next(late, 0.0)

    machine.looked = give_back_late
    arbiter = Arbiter([image, chat], machine.memory)
    plan = carried_out(arbiter, "image", 5_000)
    assert (plan.decision, chat.done) == ("soft_unload", ["drop_context"])
    assert machine.owed_mib == 0
