import asyncio
import json
import threading
import tracemalloc
from collections.abc import Coroutine

import pytest

from mysticanvas.contracts.events import Event
from mysticanvas.orchestrator.events import Bus, Published


def run(listen: Coroutine[None, None, list[Published]]) -> list[Event]:
    got = asyncio.run(asyncio.wait_for(listen, 10))
    return [Event.model_validate_json(published.text) for published in got]


def test_transitions_come_in_order_from_any_thread() -> None:
    async def listen() -> list[Published]:
        bus = Bus()
        with bus.subscribe("a") as listener:
            threads = [
                threading.Thread(target=lambda: [bus.publish("job", {}) for _ in range(100)])
                for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            got: list[Published] = []
            while len(got) < 401:
                got += await listener.next()
            for thread in threads:
                thread.join()
            return got

    got = run(listen())
    assert got[0].type == "hello"
    assert [event.seq for event in got[1:]] == list(range(1, 401))


def test_a_listener_that_comes_back_gets_what_it_missed() -> None:
    async def listen() -> list[Published]:
        bus = Bus()
        for _ in range(5):
            bus.publish("job", {})
        with bus.subscribe("a", bus.epoch, after=3) as listener:
            return await listener.next()

    assert [(event.type, event.seq) for event in run(listen())] == [
        ("hello", None),
        ("job", 4),
        ("job", 5),
    ]


@pytest.mark.parametrize(("epoch", "after"), [("", 0), ("another", 3), (None, 99)])
def test_what_cannot_be_replayed_is_a_resync(epoch: str | None, after: int) -> None:
    async def listen() -> list[Published]:
        bus = Bus(ring=2)
        for _ in range(5):
            bus.publish("job", {})
        with bus.subscribe("a", bus.epoch if epoch is None else epoch, after) as listener:
            return await listener.next()

    assert [event.type for event in run(listen())] == ["resync"]


@pytest.mark.parametrize(("ring", "told"), [(5, [1, 2, 3, 4, 5]), (4, [])])
def test_who_comes_from_another_orchestrator_gets_all_of_this_one_or_nothing(
    ring: int, told: list[int]
) -> None:
    async def listen() -> list[Published]:
        bus = Bus(ring)
        for _ in range(5):
            bus.publish("alert", {})
        with bus.subscribe("a", "another", after=700) as listener:
            return await listener.next()

    first, *rest = run(listen())
    assert (first.type, first.data) == ("resync", {"seq": 5 - len(told)})
    assert [event.seq for event in rest] == told


def test_long_events_are_kept_up_to_a_number_of_bytes() -> None:
    async def listen() -> list[Published]:
        bus = Bus(ring_bytes=20_000)
        for number in range(5):
            bus.publish("job", {"id": f"j{number}", "prompt": "x" * 9_000})
        with (
            bus.subscribe("a", bus.epoch, after=3) as near,
            bus.subscribe("b", bus.epoch, after=2) as far,
        ):
            heard = [*await near.next(), *await far.next()]
            bus.publish("job", {"prompt": "x" * 19_000})
            bus.publish("job", {"prompt": "x" * 19_000})
            return [*heard, *await near.next(), *await far.next()]

    got = [(event.type, event.seq or event.data["seq"]) for event in run(listen())]
    assert got == [("hello", 3), ("job", 4), ("job", 5), ("resync", 5), *2 * [("resync", 7)]]


def test_an_event_longer_than_all_that_is_kept_is_told() -> None:
    async def listen() -> list[Published]:
        bus = Bus(ring_bytes=100)
        with bus.subscribe("a") as listener:
            await listener.next()
            bus.publish("job", {"prompt": "x" * 1_000})
            return await listener.next()

    assert [event.seq for event in run(listen())] == [1]


def test_what_is_kept_takes_little_more_than_its_text() -> None:
    bus = Bus()
    data = {"id": "j", "params": {f"name {number}": number for number in range(50)}}
    text = len(json.dumps(data))
    bus.publish("job", data)
    tracemalloc.start()
    for _ in range(200):
        bus.publish("job", json.loads(json.dumps(data)))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 200 * (text + 1_000)


def test_a_gap_wider_than_the_ring_is_a_resync() -> None:
    async def listen() -> list[Published]:
        bus = Bus(ring=2)
        for _ in range(5):
            bus.publish("job", {})
        with bus.subscribe("a", bus.epoch, 2) as listener:
            return await listener.next()

    assert [event.type for event in run(listen())] == ["resync"]


def test_progress_coalesces_to_the_newest_and_has_no_number() -> None:
    async def listen() -> list[Published]:
        bus = Bus()
        with bus.subscribe("a") as listener:
            for step in range(50):
                bus.publish_latest("progress", "job-1", {"step": step})
            bus.publish_latest("progress", "job-2", {"step": 7})
            return await listener.next()

    got = run(listen())
    assert [(event.type, event.seq, event.data.get("step")) for event in got[1:]] == [
        ("progress", None, 49),
        ("progress", None, 7),
    ]


def test_a_listener_that_never_reads_holds_nobody_up_and_is_resynced() -> None:
    async def listen() -> list[Published]:
        bus = Bus()
        with bus.subscribe("asleep") as listener:
            for _ in range(10_000):
                bus.publish("job", {})
            return await listener.next()

    got = run(listen())
    assert got[0].type == "resync"
    assert got[-1].seq == 10_000
    assert len(got) < 5_000


def test_previews_go_to_those_who_asked() -> None:
    async def listen() -> list[Published]:
        bus = Bus()
        with bus.subscribe("a") as plain, bus.subscribe("b") as wanting:
            assert not bus.previews_wanted
            wanting.previews = True
            assert bus.previews_wanted
            bus.publish_latest("preview", "j", {})
            return [*await plain.next(), *await wanting.next()]

    assert [event.type for event in run(listen())] == ["hello", "hello", "preview"]


def test_closing_the_bus_ends_every_subscription() -> None:
    async def listen() -> list[Published]:
        bus = Bus()
        with bus.subscribe("a") as listener:
            await listener.next()
            bus.close()
            assert await listener.next() == []
            assert await listener.next() == []
        assert bus.clients == []
        with bus.subscribe("late") as late:
            assert await late.next() == []
        return []

    run(listen())


def test_progress_never_comes_behind_the_end_of_its_job() -> None:
    async def listen() -> list[Published]:
        bus = Bus()
        with bus.subscribe("a") as listener:
            for status in ("running", "succeeded"):
                bus.publish("job", {"id": "j", "status": status})
                if status == "running":
                    bus.publish_latest("progress", "j", {"fraction": 0.5})
            return await listener.next()

    assert [event.type for event in run(listen())] == ["hello", "job", "job"]


def test_one_who_never_reads_takes_no_more_memory_however_much_happens() -> None:
    def happen(bus: Bus, jobs: int) -> None:
        for number in range(jobs):
            job = f"job {number}"
            bus.publish("job", {"id": job, "status": "running", "prompt": "x" * 1000})
            for step in range(3):
                bus.publish_latest("progress", job, {"step": step})
                bus.publish_latest("preview", job, {"webp": "x" * 10_000 + str(step)})
            bus.publish("job", {"id": job, "status": "succeeded"})

    async def listen() -> list[Published]:
        bus = Bus(ring=64)
        with bus.subscribe("asleep") as listener:
            listener.previews = True
            happen(bus, 64)
            tracemalloc.start()
            happen(bus, 320)
            grown, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            # A ring is held anew; what came before is let go of, so this is all there ever is.
            assert grown < 64 * 4_000
            return await listener.next()

    got = run(listen())
    assert got[0].type == "resync"
    assert len(got) <= 64


def test_an_event_becomes_text_once_for_all_who_listen() -> None:
    async def listen() -> list[Published]:
        bus = Bus()
        with bus.subscribe("a") as one, bus.subscribe("b") as two:
            bus.publish("job", {"id": "j"})
            (_, first), (_, second) = await one.next(), await two.next()
            assert first.text is second.text
            return [first]

    assert run(listen())[0].seq == 1
