"""Room is made for one request at a time, whatever others do meanwhile."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import structlog

from benchmarks import needless
from benchmarks.tenants import Machine, Tenant
from mysticanvas.contracts.memory import Term
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.presets import LLMPreset
from mysticanvas.contracts.vram import Unloaded
from mysticanvas.errors import DoesNotFit, JobCancelled, OrchestratorUnavailable
from mysticanvas.orchestrator.arbiter import policy, returning, turns
from mysticanvas.orchestrator.arbiter.arbiter import Arbiter
from mysticanvas.orchestrator.arbiter.keep_alive import KeepAlive
from mysticanvas.orchestrator.arbiter.language import LanguageModels
from mysticanvas.orchestrator.arbiter.pins import Pins
from mysticanvas.orchestrator.arbiter.planning import Situation
from mysticanvas.orchestrator.arbiter.policy import Request, Variant
from mysticanvas.orchestrator.supervisor.messages import Held
from mysticanvas.settings import HomePaths
from mysticanvas.store import Store

WAIT_S = 20.0
OTHER = Held("other", "other")


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "MEMORY_BACK_S", 0.05)
    monkeypatch.setattr(returning, "TICK_S", 0.01)
    monkeypatch.setattr(turns, "LOOK_S", 0.02)


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


def test_a_model_at_work_is_waited_for() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    begun, made = threading.Event(), threading.Event()

    def draw() -> None:
        with arbiter.admitted("image", ready(6_000)):
            image.take("sd", 6_000)
            begun.set()
            assert made.wait(WAIT_S)

    drawing = threading.Thread(target=draw)
    drawing.start()
    assert begun.wait(WAIT_S)
    threading.Timer(0.1, made.set).start()
    plan = carried_out(arbiter, "llm", 4_000)
    assert made.is_set()
    assert (plan.decision, image.preset) == ("hard_unload", None)
    drawing.join()


def test_what_a_job_was_promised_and_has_not_taken_is_waited_for_too() -> None:
    image, chat = Tenant("image", base_mib=400, is_running=True), Tenant("llm")
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    over = threading.Event()

    def draw() -> None:
        with arbiter.admitted("image", ready(6_000)):
            begun.set()
            over.wait(WAIT_S)

    begun = threading.Event()
    drawing = threading.Thread(target=draw)
    drawing.start()
    assert begun.wait(WAIT_S)
    threading.Timer(0.1, over.set).start()
    plan = carried_out(arbiter, "llm", 4_000)
    assert over.is_set()
    assert (plan.decision, image.done) == ("proceed", [])
    drawing.join()


def test_who_waits_can_be_stopped() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    stopped = threading.Event()
    threading.Timer(0.1, stopped.set).start()
    with arbiter.admitted("image", ready(6_000)):
        image.take("sd", 6_000)
        with pytest.raises(JobCancelled, match="waited for memory"):
            carried_out(arbiter, "llm", 4_000, stopped=stopped.is_set)
    assert image.done == []


@contextlib.contextmanager
def waiting_for_a_picture(
    arbiter: Arbiter, image: Tenant, chat: Tenant
) -> Iterator[list[Plan | None]]:
    """Meanwhile a language model waits until a picture is made; gives what it got, which is there
    behind that."""
    prepared = threading.Event()
    got: list[Plan | None] = []

    def prepare() -> Callable[[Situation], Plan]:
        chat.is_running = True
        prepared.set()
        return needing(6_000)

    def load() -> None:
        with arbiter.admitted("llm", prepare, wanted=lambda: OTHER) as plan:
            got.append(plan)

    chats = threading.Thread(target=load)
    with arbiter.admitted("image", ready(6_000)):
        image.take("sd", 6_000)
        chats.start()
        assert prepared.wait(WAIT_S)
        yield got
    chats.join(WAIT_S)
    assert not chats.is_alive()


def test_what_gives_back_needs_not_wait_for_who_waits_for_room() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    chat.take("small", 1_000)
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    with waiting_for_a_picture(arbiter, image, chat) as got:
        retires = threading.Thread(target=arbiter.retire, args=["llm", "was asked to"])
        retires.start()
        retires.join(WAIT_S)
        assert chat.done == ["retire"]
        assert got == []
    # The process that it was ready with is gone, so it was got ready again.
    assert (len(got), chat.is_running, image.preset) == (1, True, None)


def test_who_waits_for_room_is_still_the_next_when_others_ask_later() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    later = threading.Thread(target=carried_out, args=(arbiter, "image", 1_000))
    with waiting_for_a_picture(arbiter, image, chat) as got:
        later.start()
        later.join(0.1)
        assert later.is_alive()
        assert got == []
    later.join(WAIT_S)
    assert [plan and plan.decision for plan in got] == ["hard_unload"]


def test_keep_alive_ends_while_another_has_the_device() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    chat.take("chat", 3_000)
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    keep_alive = KeepAlive(arbiter, ["llm"], keep_alive_s=0)

    def prepare() -> None:
        keep_alive.start()
        keep_alive._thread.join(0.1)
        keep_alive.stop()

    with arbiter.admitted("image", prepare):
        assert chat.done == []


@pytest.mark.parametrize("closing", [True, False])
def test_a_language_model_that_waits_for_room_is_given_up(tmp_path: Path, closing: bool) -> None:
    image, chat = Tenant("image"), Tenant("llm")
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    gone, asks = threading.Event(), threading.Event()

    def has_gone() -> bool:
        asks.set()
        return gone.is_set()

    with Store.open(HomePaths.of(tmp_path)) as store:
        file = tmp_path / "chat.gguf"
        file.touch()
        store.llm_presets.save(LLMPreset(name="chat", model=str(file)))
        worker: Any = chat
        models = LanguageModels(store, arbiter, worker)
        error = OrchestratorUnavailable if closing else JobCancelled
        with ThreadPoolExecutor(1) as pool, arbiter._turns.next(lambda: False):
            loading = pool.submit(models.ensure, "chat", has_gone)
            assert asks.wait(WAIT_S)
            models.close() if closing else gone.set()
            with pytest.raises(error):
                loading.result(WAIT_S)


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


@pytest.mark.fault("two notebooks ask for two large models at once", "one after the other")
def test_two_that_ask_at_once_get_the_device_in_turn() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    most, lock = 0.0, threading.Lock()
    failed: list[BaseException] = []

    def use(tenant: Tenant) -> None:
        nonlocal most
        try:
            for _ in range(50):
                with arbiter.admitted(tenant.kind, ready(6_000)):
                    tenant.take("large", 6_000)
                    with lock:
                        most = max(most, image.model_mib + chat.model_mib)
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=use, args=(each,)) for each in (image, chat)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert (failed, most) == ([], 6_000)


def test_what_was_not_used_for_a_while_is_named() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    chat.take("chat", 3_000)
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    assert arbiter.idle(1e9) == {"llm": "chat"}
    carried_out(arbiter, "llm", 3_000)
    assert arbiter.idle(1e9) == {}
    assert arbiter.idle(0) == {"llm": "chat"}
    with arbiter.admitted("llm", lambda: None):
        assert arbiter.idle(0) == {}
        arbiter.retire("llm", "test")
    assert chat.preset == "chat"
    arbiter.retire("llm", "test")
    assert chat.preset is None


def test_a_model_that_is_used_while_another_has_its_turn_is_not_unloaded_for_idleness() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    chat.take("chat", 3_000)
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    keep_alive = KeepAlive(arbiter, ["llm"], keep_alive_s=300)
    looks = threading.Thread(target=keep_alive.look)

    def prepare() -> None:
        """While the arbiter is another's, keep-alive finds the model idle, which then is used."""
        looks.start()
        looks.join(0.1)
        assert looks.is_alive()
        arbiter._used_at["llm"] = time.monotonic()

    with arbiter.admitted("image", prepare):
        pass
    looks.join(WAIT_S)
    assert chat.done == []
    del arbiter._used_at["llm"]
    keep_alive.look()
    assert chat.done == ["retire"]


def test_another_model_than_was_to_be_unloaded_stays() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    chat.take("chat", 3_000)
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    worker: Any = chat
    models = LanguageModels(None, arbiter, worker)  # type: ignore[arg-type]  # loads none here
    unloads = threading.Thread(target=models.unload, args=["chat"])

    def prepare() -> None:
        unloads.start()
        unloads.join(0.1)
        assert unloads.is_alive()
        chat.take("another", 3_000)

    with arbiter.admitted("llm", prepare):
        pass
    unloads.join(WAIT_S)
    assert (chat.preset, chat.done) == ("another", [])
    models.unload()
    assert chat.done == ["retire"]


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


def test_a_pinned_model_stays_until_it_is_let_go() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    chat.take("chat", 3_000, 1_000)
    pins = Pins()
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory, pins)
    pins.set("chat", True)
    assert arbiter.idle(0) == {}
    with pytest.raises(DoesNotFit, match="'chat' is pinned and in the way") as refused:
        carried_out(arbiter, "image", 5_000)
    assert refused.value.plan["pinned"] == ["chat"]
    assert carried_out(arbiter, "llm", 4_000, wanted=Held("chat", "the same, otherwise named")).fits
    assert carried_out(arbiter, "llm", 4_000, wanted=Held("changed", "chat")).fits
    # Another model for the same worker, whether or not it is known what that needs.
    for prepare in (ready(1_000), lambda: None):
        with (
            pytest.raises(DoesNotFit, match="'chat' is pinned and in the way"),
            arbiter.admitted("llm", prepare, wanted=lambda: OTHER),
        ):
            pass
    assert chat.done == []
    pins.set("chat", False)
    assert carried_out(arbiter, "llm", 4_000, wanted=OTHER).fits
    pins.set("chat", True)
    pins.set("sd", True)
    pins.clear("chat")
    assert carried_out(arbiter, "image", 5_000).decision == "soft_unload"
    sd = Held("sd", "sd")
    assert pins.protecting("image", sd) == "sd"
    pins.clear()
    assert pins.protecting("image", sd) is None


def test_a_pin_protects_the_model_and_not_the_name_that_it_was_loaded_by() -> None:
    told: list[Unloaded] = []
    image, chat = Tenant("image"), Tenant("llm")
    pins = Pins()
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory, pins, told=told.append)
    plain, wide = Held("sd", "plain", "float32"), Held("sd", "wide", "float32")
    half = Held("sd", "half", "bfloat16")

    def draw(model: Held) -> None:
        with arbiter.admitted("image", ready(3_000), wanted=lambda: model):
            image.hold(model, 3_000)

    draw(plain)
    pins.set("plain", True)
    # The same files in another number format are another model.
    with pytest.raises(DoesNotFit, match="'plain' is pinned and in the way"):
        draw(half)
    draw(wide)
    assert image.preset == "wide"
    for other in (half, OTHER):
        with pytest.raises(DoesNotFit, match="'plain' is pinned and in the way"):
            draw(other)
    with pytest.raises(DoesNotFit) as refused:
        carried_out(arbiter, "llm", 6_000)
    assert refused.value.plan["pinned"] == ["plain"]
    assert arbiter.idle(0) == {}
    assert arbiter.holds("image", "plain")
    assert not arbiter.holds("image", "half")
    # Its own user may change what it means.
    draw(Held("sd", "plain", "float16"))
    assert [(each.preset, each.wanted_by) for each in told] == [("wide", "plain")]
    pins.clear("plain")
    draw(half)
    assert told[-1].preset == "plain"


def test_presets_of_one_name_and_two_kinds_are_pinned_apart() -> None:
    pins, small = Pins(), Held("0", "small")
    pins.set("small", True, "llm")
    assert pins.protecting("llm", small) == "small"
    assert pins.protecting("image", small) is None
    pins.set("small", True)
    pins.clear("small", "llm")
    assert pins.protecting("llm", small) is None
    assert pins.protecting("image", small) == "small"


def test_a_worker_that_is_got_ready_for_somebody_is_not_ended_for_another() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    asks, done = threading.Event(), threading.Event()

    def prepare() -> Callable[[Situation], Plan]:
        image.take("sd", 6_000)
        asks.set()
        # The other one asks meanwhile, and has to wait.
        assert not done.wait(0.2)
        return needing(6_000)

    def chatting() -> None:
        asks.wait(WAIT_S)
        carried_out(arbiter, "llm", 4_000)
        done.set()

    other = threading.Thread(target=chatting)
    other.start()
    with arbiter.admitted("image", prepare):
        assert image.done == []
        assert not done.wait(0.1)
    other.join(WAIT_S)
    assert done.is_set()
    assert image.done == ["retire"]


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


def test_who_asks_for_a_language_models_memory_waits_until_it_is_loaded_and_has_left() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    worker: Any = chat
    models = LanguageModels(None, arbiter, worker)  # type: ignore[arg-type]  # loads none here
    unloads = [threading.Thread(target=models.unload, args=given) for given in ((), ("chat",))]
    with arbiter.admitted("llm", ready(3_000)):
        chat.take("chat", 3_000)
        # Of another one nothing is waited for.
        models.unload("another")
        for each in unloads:
            each.start()
        unloads[0].join(0.1)
        assert all(each.is_alive() for each in unloads)
        assert chat.done == []
    for each in unloads:
        each.join(WAIT_S)
    assert (chat.preset, chat.done) == (None, ["retire"])


def test_who_waits_for_a_language_model_to_leave_is_let_go_when_all_ends() -> None:
    image, chat = Tenant("image"), Tenant("llm")
    arbiter = Arbiter([image, chat], Machine(8_000, image, chat).memory)
    worker: Any = chat
    models = LanguageModels(None, arbiter, worker)  # type: ignore[arg-type]  # loads none here
    unloads = threading.Thread(target=models.unload)
    with arbiter.admitted("llm", ready(3_000)):
        chat.take("chat", 3_000)
        unloads.start()
        models.close()
        unloads.join(WAIT_S)
        assert not unloads.is_alive()
        assert chat.done == []


def test_pins_are_let_go_by_kind() -> None:
    pins = Pins()
    for kind in ("image", "llm"):
        pins.set("small", True, kind)
    pins.clear(kind="llm")
    assert pins.protecting("llm", Held("0", "small")) is None
    assert pins.protecting("image", Held("0", "small")) == "small"
    pins.clear()
    assert pins.protecting("image", Held("0", "small")) is None


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
