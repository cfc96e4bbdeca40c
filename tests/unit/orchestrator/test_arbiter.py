"""Room is made for one request at a time, and whoever asks is told how."""

from __future__ import annotations

import pytest
import structlog
from arbiters import OTHER, carried_out, ready

from benchmarks import needless
from benchmarks.tenants import Machine, Tenant
from mysticanvas.contracts.vram import Unloaded
from mysticanvas.errors import DoesNotFit
from mysticanvas.orchestrator.arbiter.arbiter import Arbiter
from mysticanvas.orchestrator.supervisor.messages import Held

pytestmark = pytest.mark.usefixtures("hurried_arbiter")


def test_a_plan_is_carried_out_before_the_request_runs() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    chat.take("chat", 3_000, 1_000)
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    assert carried_out(arbiter, "image", 4_000).decision == "proceed"
    dropped = carried_out(arbiter, "image", 5_000)
    assert (dropped.decision, chat.done, chat.context_mib) == ("soft_unload", ["drop_context"], 0)
    assert [action.frees_mib for action in dropped.actions] == [1_000]
    ended = carried_out(arbiter, "image", 6_000)
    assert (ended.decision, chat.preset) == ("hard_unload", None)


def test_a_decision_leaves_the_figures_in_the_log_that_it_can_be_judged_by() -> None:
    image, chat = Tenant("image", base_mib=400, is_running=True), Tenant("llm")
    chat.take("chat", 3_000, 1_000)
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    with structlog.testing.capture_logs() as lines:
        carried_out(arbiter, "image", 3_000)
        carried_out(arbiter, "image", 7_000, 4_900)
    [line] = [each for each in lines if each["event"] == "room_decided"]
    assert needless.fault(line, budget_mib=8_000) is None
    assert (line["held_mib"], line["free_mib"], line["needed_mib"]) == (400, 3_600, 4_900)
    assert line["unloads"] == [{"worker": "llm", "kind": "soft_unload", "frees_mib": 1_000}]
    assert needless.fault({**line, "free_mib": 4_600}) is not None


def test_what_is_promised_to_a_job_is_not_given_to_another() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    with arbiter.admitted("image", ready(5_000)):
        # It has taken nothing yet.
        with pytest.raises(DoesNotFit, match="4,000 MiB and 3,000 MiB are free"):
            carried_out(arbiter, "llm", 4_000)
        image.take("sd", 4_500)
        with arbiter.admitted("llm", ready(3_000)) as plan:
            assert plan is not None
            assert plan.free_mib == 3_000
    image.retire("", 0)
    assert carried_out(arbiter, "llm", 8_000).fits


def test_what_a_model_has_of_the_systems_memory_can_be_used_again_however_its_engine_calls_it() -> (
    None
):
    image, chat = Tenant("image"), Tenant("llm")
    chat.take("chat", 3_000, 1_000)
    memory = Machine(8_000, image, chat).memory
    arbiter = Arbiter([image, chat], memory, free_mib=lambda: 500.0)
    assert arbiter.situation("llm").system_mib == 500 + 3_000 + 1_000
    assert arbiter.situation("image").system_mib == 500


def test_what_a_process_had_is_known_of_the_next_one_while_that_imports() -> None:
    image, chat = Tenant("image", base_mib=400, is_running=True), Tenant("llm")
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    assert arbiter.situation("llm").uses["image"].ready_mib == 400
    with arbiter.admitted("image", ready(5_000)):
        image.take("sd", 4_000)
        image.base_mib = 440
    assert arbiter.situation("llm").uses["image"].ready_mib == 440
    image.retire("", 0)
    image.is_running, image.imported_mib = True, 65
    situation = arbiter.situation("llm")
    assert (situation.status.device.free_mib, situation.device.available_mib) == (7_935, 7_560)
    assert arbiter.situation("image").context == (440, "measured")
    # A job that ends before its engine is there tells nothing of it.
    with arbiter.admitted("image", ready(1_000)):
        pass
    use = arbiter.situation("llm").uses["image"]
    assert (use.context_mib, use.ready_mib) == (None, 440)


@pytest.mark.fault("a worker dies in the middle of a job", "its memory is not taken for nothing")
def test_a_process_that_has_just_died_tells_nothing_of_what_the_next_one_will_have() -> None:
    image = Tenant("image", base_mib=400, is_running=True)
    arbiter = Arbiter([image], Machine(8_000, image).memory)
    with arbiter.admitted("image", ready(5_000)):
        image.take("sd", 4_000)
        # Its model is still on record, and nothing of it is resident.
        image.is_dead = True
    use = arbiter.situation("image").uses["image"]
    assert (use.context_mib, use.ready_mib) == (None, 400)


def test_whatever_leaves_is_told_with_the_reason_and_what_it_gives_back() -> None:
    told: list[Unloaded] = []
    image, chat = Tenant("image"), Tenant("llm")
    chat.take("chat", 3_000, 1_000)
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory, told=told.append)

    def heard() -> list[tuple[str, str | None, float, str, str | None]]:
        found = [(t.unloaded, t.preset, t.frees_mib, t.reason, t.wanted_by) for t in told]
        told.clear()
        return found

    sd = Held("sd", "sd")
    room = "to make room for sd"
    plan = carried_out(arbiter, "image", 5_000, wanted=sd)
    assert "drop the context of chat to make room for sd" in plan.explain()
    assert str(told[0]) == (
        "The context of chat was dropped to make room for sd, which gives 1,000 MiB back."
    )
    assert heard() == [("context", "chat", 1_000, room, "sd")]
    carried_out(arbiter, "image", 6_000, wanted=sd)
    assert heard() == [("model", "chat", 3_000, room, "sd")]
    image.take("sd", 4_000)
    carried_out(arbiter, "image", 4_000, wanted=sd)
    assert heard() == []
    carried_out(arbiter, "image", 3_000, wanted=OTHER)
    assert heard() == [("model", "sd", 4_000, "to make room for other", "other")]
    arbiter.retire("image", "was not used for 5 s")
    assert heard() == [("model", "sd", 4_000, "because it was not used for 5 s", None)]
    arbiter.retire("image", "was not used for 5 s")
    assert heard() == []


def test_a_process_that_is_ended_for_its_context_is_told_as_such() -> None:
    told: list[Unloaded] = []
    image, chat = Tenant("image"), Tenant("llm", deaf=True)
    chat.take("chat", 3_000, 1_000)
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory, told=told.append)
    carried_out(arbiter, "image", 5_000)
    assert [(each.unloaded, each.frees_mib) for each in told] == [("model", 4_000)]
    assert told[0].reason == "to make room for another model"
