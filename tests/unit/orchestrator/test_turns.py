"""Who asks for memory waits for who has it, and for nobody else."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from arbiters import OTHER, WAIT_S, carried_out, needing, ready

from benchmarks.tenants import Machine, Tenant
from mysticanvas.contracts.plan import Plan
from mysticanvas.contracts.presets import LLMPreset
from mysticanvas.errors import JobCancelled, OrchestratorUnavailable
from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.arbiter.arbiter import Arbiter
from mysticanvas.orchestrator.arbiter.language import LanguageModels
from mysticanvas.orchestrator.arbiter.planning import Situation
from mysticanvas.store import Store

pytestmark = pytest.mark.usefixtures("hurried_arbiter")


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
