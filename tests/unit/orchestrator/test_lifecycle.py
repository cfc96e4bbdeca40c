"""A worker process is there when it is wanted, and ends when it is told to."""

from __future__ import annotations

from typing import Any

import pytest
from stories import BUSY, HELD, READY, STARTED, TERM, S, Story

from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.orchestrator.ending import Ending
from mysticanvas.orchestrator.supervisor import messages as m
from mysticanvas.orchestrator.supervisor.lifecycle import REST_S, SPARE_FREE_MIB


def test_a_worker_that_was_not_started_waits_until_somebody_wants_it() -> None:
    story = Story()
    assert story.tell(m.Tick(), m.Reset(), after_s=3600.0) == []
    assert story.tell(m.Wanted()) == [m.Spawn(1)]
    assert story.tell(m.Wanted()) == []
    assert story.life.restarts == 0


def test_what_is_wanted_after_the_stop_is_not_started() -> None:
    story = Story(m.Stop(5.0))
    assert story.tell(m.Wanted(), m.Tick()) == []
    assert story.state is S.STOPPED


def test_it_is_known_what_the_model_holds() -> None:
    part = MemoryPart(name="weights", mib=12.0, known="measured", device="CPU")
    story = Story(*STARTED, m.Answered(1), m.Beat(1, False, 400.0, 9000.0, (part,)))
    assert story.life.process is not None
    assert story.life.process.memory_parts == (part,)


@pytest.mark.parametrize("before", [STARTED, READY])
def test_one_that_is_retired_ends_without_a_failure_and_starts_when_it_is_wanted(
    before: Any,
) -> None:
    story = Story(*before)
    assert story.tell(m.Retire("was ended to make room")) == [TERM]
    assert story.tell(m.Retire("again"), m.Exited(1, Ending(-15))) == []
    assert (story.state, story.life.history.failures) == (S.STOPPED, Story().life.history.failures)
    assert "was ended to make room" in story.life.last_error
    assert story.tell(m.Retire("there is none"), m.Tick(), after_s=3_600) == []
    assert story.tell(m.Wanted()) == [m.Spawn(2)]


ENDINGS = {
    "retired": m.Retire("was ended to make room"),
    "hanging": m.Distrusted(1, "broke off its answer"),
}


@pytest.mark.parametrize("why", ENDINGS)
def test_one_that_is_wanted_while_it_ends_is_followed_by_another(why: str) -> None:
    story = Story(*READY, ENDINGS[why])
    assert story.tell(m.Wanted()) == []
    story.tell(m.Exited(1, Ending(-15)))
    assert m.Spawn(2) in story.tell(m.Tick(), after_s=1.0)


@pytest.mark.parametrize("ended", [False, True])
def test_one_that_ends_by_itself_while_it_is_retired_is_followed_by_none(ended: bool) -> None:
    retire, gone = m.Retire("was ended to make room"), m.Exited(1, Ending(-11))
    story = Story(*READY, m.Distrusted(1, "broke off its answer"))
    (report,) = story.tell(gone, retire) if ended else story.tell(retire, gone)
    assert report.again is ended, "when it is told, nobody may have retired it yet"
    assert story.tell(m.Tick(), after_s=60.0) == []
    assert story.tell(m.Wanted()) == [m.Spawn(2)]


@pytest.mark.parametrize(
    "messages",
    [
        (),
        STARTED,
        READY,
        BUSY,
        (*BUSY, m.Retire("was ended to make room")),
        (*BUSY, m.Distrusted(1, "broke off its answer")),
        (*BUSY, m.Exited(1, Ending(-11))),
        (*READY, m.Retire("was ended to make room"), m.Exited(1, Ending(-15))),
    ],
)
def test_in_every_state_who_wants_a_process_gets_one_and_after_a_stop_nobody(messages: Any) -> None:
    def is_there(story: Story) -> bool:
        # What was to end has ended, and time has passed.
        if story.state is S.STOPPING:
            story.tell(m.Exited(1, Ending(-15)))
        story.tell(m.Tick(), after_s=1.0)
        return story.state in (S.STARTING, S.READY, S.BUSY)

    assert is_there(Story(*messages, m.Wanted()))
    assert not is_there(Story(*messages, m.Stop(5.0), m.Wanted()))


def test_from_start_to_stop() -> None:
    story = Story()
    assert story.tell(m.Wanted()) == [m.Spawn(1)]
    story.tell(m.Spawned(1, 77))
    assert (story.state, story.life.available) == (S.STARTING, False)
    story.tell(m.Answered(1))
    assert (story.state, story.life.available) == (S.READY, True)
    story.tell(m.Begun(1, HELD))
    assert (story.state, story.life.available) == (S.BUSY, False)
    story.tell(m.Ended(1, HELD))
    assert story.state is S.READY
    assert story.tell(m.Stop(10.0)) == [TERM]
    assert story.state is S.STOPPING
    assert story.tell(m.Exited(1, Ending(0))) == []
    assert story.state is S.STOPPED
    assert story.life.restarts == 0


def test_what_is_said_of_an_earlier_process_is_out_of_date() -> None:
    story = Story(*BUSY, m.Exited(1, Ending(-9)))
    story.tell(m.Tick(), m.Spawned(2, 78), m.Answered(2), after_s=1.0)
    before = story.life
    for late in (
        m.Answered(1),
        m.Beat(1, True, 1.0, 1.0),
        m.Missed(1, 99.0),
        m.Begun(1, HELD),
        m.Ended(1, HELD),
        m.Progressed(1, "denoise", 9),
        m.Distrusted(1, "late"),
        m.Exited(1, Ending(0)),
    ):
        assert story.tell(late) == []
        assert story.life == before


def test_another_process_is_prepared_when_there_is_nothing_to_do_and_room() -> None:
    story = Story(*READY)
    assert story.tell(m.Tick(), after_s=REST_S - 1) == []
    assert story.tell(m.Tick(), after_s=2.0) == [m.Prepare()]
    assert story.tell(m.Begun(1, HELD), m.Tick(), m.Ended(1, HELD), m.Tick()) == []
    assert story.tell(m.Beat(1, False, 400.0, SPARE_FREE_MIB - 1), m.Tick(), after_s=REST_S) == []
    importing = Story(*STARTED, m.Answered(1), m.Beat(1, True, 400.0, 9000.0))
    assert importing.tell(m.Tick(), after_s=REST_S + 1) == []


@pytest.mark.parametrize("before", [(), (m.Wanted(), m.Exited(1, Ending(3)))])
def test_a_stop_without_a_process_is_a_stop_at_once(before: Any) -> None:
    story = Story(*before)
    assert story.tell(m.Stop(10.0)) == []
    assert story.state is S.STOPPED
    assert story.life.stopping


def test_one_that_cannot_be_used_is_ended_once() -> None:
    story = Story(*BUSY)
    assert story.tell(m.Distrusted(1, "broke off its answer")) == [TERM]
    assert story.tell(m.Distrusted(1, "broke off its answer")) == []
    (report,) = story.tell(m.Exited(1, Ending(0)))
    assert report.reason == "broke off its answer, and was ended (exit 0)"


def test_what_a_process_computed_on_is_known_when_it_is_gone_and_while_the_next_one_imports() -> (
    None
):
    gpu = DeviceMemory(name="cuda:A", total_mib=24_000, free_mib=9_000)
    story = Story(*STARTED, m.Answered(1))
    assert (story.life.device_kind, story.life.gpu) == (None, None)
    story.tell(m.Beat(1, False, 400.0, 9000.0, device=gpu, device_kind="cuda"))
    story.tell(m.Retire("was ended"), m.Exited(1, Ending(0)))
    assert (story.life.device_kind, story.life.gpu) == ("cuda", gpu)
    story.tell(m.Wanted(), m.Spawned(2, 78), m.Answered(2), m.Beat(2, True, 65.0, 9000.0))
    assert story.life.process is not None
    assert story.life.process.device is None
    assert (story.life.device_kind, story.life.gpu) == ("cuda", gpu)
