"""The life of a worker, message by message, without a process or a clock."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from mysticanvas.contracts.health import WorkerState
from mysticanvas.contracts.memory import MemoryPart
from mysticanvas.contracts.vram import DeviceMemory
from mysticanvas.orchestrator.ending import Ending
from mysticanvas.orchestrator.supervisor import alerts, lifecycle, messages as m
from mysticanvas.orchestrator.supervisor.breaker import COOL_DOWN_S, MAX_FAILURES, STABLE_S, History
from mysticanvas.orchestrator.supervisor.deadlines import MOST_S, USUAL
from mysticanvas.orchestrator.supervisor.lifecycle import (
    MEMORY_BACK_S,
    NEXT,
    REST_S,
    SPARE_FREE_MIB,
    Life,
)

S = WorkerState
HELD = m.Held("digest", "starter")
TERM, KILL = m.Signal(77, signal.SIGTERM), m.Signal(77, signal.SIGKILL)


class Story:
    """A life, and what was to be done so far; `now` is moved by hand."""

    def __init__(self, *messages: Any) -> None:
        self.life, self.now, self.effects = Life(), 100.0, list[Any]()
        self.tell(*messages)

    def tell(self, *messages: Any, after_s: float = 0.0, stood_s: float = 0.0) -> list[Any]:
        """The effects of these messages.

        Args:
            after_s: seconds before, in which there was time to look.
            stood_s: seconds behind these, in which nobody ran who could have looked.
        """
        self.now += after_s
        if after_s:
            self.life = self.life._replace(seen_at=self.now)
        self.now += stood_s
        new: list[Any] = []
        for message in messages:
            before = self.life.state
            self.life, effects = lifecycle.step(self.life, message, self.now, USUAL)
            assert self.life.state is before or self.life.state in NEXT[before]
            new += effects
        self.effects += new
        return new

    @property
    def state(self) -> WorkerState:
        return self.life.state


STARTED = (m.Wanted(), m.Spawned(1, 77))
READY = (*STARTED, m.Answered(1), m.Beat(1, False, 400.0, 9000.0))
BUSY = (*READY, m.Begun(1, HELD), m.Progressed(1, "denoise", 1))


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


@pytest.mark.parametrize("before", [STARTED, READY, BUSY])
def test_an_end_in_any_state_is_told_and_followed_by_another_process(before: Any) -> None:
    story = Story(*before)
    (report,) = story.tell(m.Exited(1, Ending(-11)))
    assert isinstance(report, m.Report)
    assert (report.reason, report.pid) == ("crashed in native code (SIGSEGV)", 77)
    assert report.cool_down_s is None
    assert story.state is S.FAILED
    assert story.tell(m.Tick()) == []
    assert story.tell(m.Tick(), after_s=1.0) == [m.Spawn(2)]
    assert story.life.restarts == 1


@pytest.mark.parametrize(
    ("before", "seconds", "why"),
    [
        (STARTED, USUAL.start_s, "did not start within 60 s"),
        (
            (*STARTED, m.Answered(1)),
            USUAL.import_s,
            "did not import its engine within 600 s",
        ),
        (BUSY, USUAL.first_step_s, "made no progress for"),
        ((*BUSY, m.Progressed(1, "decode", 0)), USUAL.stage_s, "(stage: decode)"),
        ((*READY, m.Begun(1, HELD)), USUAL.load_s, "(stage: load)"),
        ((*READY, m.Asked(1)), USUAL.load_s, "(stage: looking into a model)"),
    ],
)
def test_a_process_that_hangs_gets_term_then_kill(before: Any, seconds: float, why: str) -> None:
    story = Story(*before)
    assert story.tell(m.Tick(), after_s=seconds - 1) == []
    assert story.tell(m.Tick(), after_s=2.0) == [TERM]
    assert story.state is S.STOPPING
    assert story.tell(m.Tick(), after_s=USUAL.term_s - 1) == []
    assert story.tell(m.Tick(), after_s=1.0) == [KILL]
    assert story.tell(m.Tick(), after_s=60.0) == []
    (report,) = story.tell(m.Exited(1, Ending(-9)))
    assert why in report.reason
    assert "SIGKILL" in report.reason


SHORTLY_S = MOST_S + 1.0


@pytest.mark.fault("the orchestrator itself stands still", "no worker is ended for it")
@pytest.mark.parametrize(
    ("before", "seconds"),
    [
        (STARTED, USUAL.start_s),
        ((*STARTED, m.Answered(1)), USUAL.import_s),
        (BUSY, USUAL.first_step_s),
        ((*READY, m.Begun(1, HELD)), USUAL.load_s),
        ((*BUSY, m.Progressed(1, "decode", 0)), USUAL.stage_s),
    ],
)
def test_what_the_orchestrator_stood_still_is_not_the_workers_time(
    before: Any, seconds: float
) -> None:
    story = Story(*before)
    state = story.state
    assert story.tell(m.Tick(), stood_s=3600.0) == []
    assert story.state is state
    # Of an hour, a few seconds count; the rest of the time is left to it, and no more.
    assert story.tell(m.Tick(), after_s=seconds - SHORTLY_S) == []
    assert story.tell(m.Tick(), after_s=2.0) == [TERM]
    assert story.tell(m.Tick(), stood_s=3600.0) == []
    assert story.tell(m.Tick(), after_s=USUAL.term_s) == [KILL]


def test_nor_does_it_make_its_steps_longer() -> None:
    story = Story(*BUSY)
    story.tell(m.Progressed(1, "denoise", 2), after_s=1.0)
    story.tell(m.Progressed(1, "denoise", 3), stood_s=3600.0)
    assert story.life.process is not None
    assert story.life.process.work is not None
    assert story.life.process.work.longest_step_s == MOST_S


def test_silence_counts_by_what_was_asked_not_by_the_clock() -> None:
    """An orchestrator that did not run itself for an hour must not take it for its worker's."""
    story = Story(*READY)
    assert TERM not in story.tell(m.Tick(), after_s=3600.0)
    story = Story(*READY)
    assert story.tell(*[m.Missed(1, 3.0)] * 3, m.Tick()) == []
    assert story.tell(m.Beat(1, False, 400.0, 9000.0), *[m.Missed(1, 3.0)] * 3, m.Tick()) == []
    assert story.tell(m.Missed(1, 3.0), m.Tick()) == [TERM]


def test_progress_is_a_sign_of_life() -> None:
    story = Story(*BUSY, *[m.Missed(1, 3.0)] * 20)
    assert story.tell(m.Progressed(1, "denoise", 2), m.Missed(1, 3.0), m.Tick()) == []


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


def test_the_breaker_opens_and_a_job_makes_a_trial_after_the_cool_down() -> None:
    story = _broken()
    assert story.tell(m.Tick(), after_s=COOL_DOWN_S + 1) == [], "nobody waits for it"
    assert story.tell(m.Wanted()) == [m.Spawn(MAX_FAILURES + 1)]
    (report,) = story.tell(m.Exited(MAX_FAILURES + 1, Ending(3)))
    assert report.cool_down_s == 2 * COOL_DOWN_S


def test_one_that_is_wanted_during_the_cool_down_is_tried_at_its_end() -> None:
    story = _broken()
    assert story.tell(m.Wanted(), m.Tick(), after_s=COOL_DOWN_S - 0.001) == []
    assert story.tell(m.Tick(), after_s=0.001) == [m.Spawn(MAX_FAILURES + 1)]


def test_a_reset_starts_it_at_once_and_forgets() -> None:
    story = _broken()
    assert story.tell(m.Reset()) == [m.Spawn(MAX_FAILURES + 1)]
    (report,) = story.tell(m.Exited(MAX_FAILURES + 1, Ending(3)))
    assert report.cool_down_s is None
    assert Story(*READY).tell(m.Reset()) == [], "one that is well is left alone"


SLOW_STARTS = {
    "imports": ([m.Answered, lambda n: m.Beat(n, True, 400.0, 9000.0)], 12.0),
    "does not answer": ([], USUAL.start_s + 1),
    "does not import": ([m.Answered], USUAL.import_s + 1),
    "hangs once imported": ([m.Answered, lambda n: m.Beat(n, False, 400.0, 9000.0)], 15.0),
}


@pytest.mark.parametrize("slow", SLOW_STARTS)
@pytest.mark.parametrize("ended", [False, True])
def test_a_start_that_takes_long_to_fail_opens_the_breaker_as_well(slow: str, ended: bool) -> None:
    heard, seconds = SLOW_STARTS[slow]
    story = Story(m.Wanted())
    for number in range(1, MAX_FAILURES + 1):
        story.tell(m.Spawned(number, 77), *(each(number) for each in heard))
        if ended:
            story.tell(m.Distrusted(number, "could not import its engine"), after_s=seconds)
        story.tell(m.Exited(number, Ending(1)), after_s=seconds)
        assert story.life.broken is (number == MAX_FAILURES)
        story.tell(m.Tick(), after_s=2.0)


@pytest.mark.parametrize(
    "signs",
    [
        [m.Beat(1, False, 400.0, 9000.0)],
        [m.Begun(1, HELD), m.Progressed(1, "denoise", 1)],
        [m.Begun(1, HELD), m.Ended(1, HELD)],
    ],
)
def test_a_process_that_is_well_has_the_failures_before_it_forgotten(signs: list[Any]) -> None:
    for after_s, forgotten in ((STABLE_S, True), (STABLE_S - 1, m.Ended(1, HELD) in signs)):
        story = Story(*READY)
        story.life = story.life._replace(history=History((story.now,), trips=3))
        story.tell(*signs, after_s=after_s)
        assert (story.life.history == History()) is forgotten


def test_progress_of_a_process_that_was_importing_does_not_make_it_well() -> None:
    failed = History((1.0,))
    story = Story(*STARTED, m.Answered(1), m.Begun(1, HELD))
    story.life = story.life._replace(history=failed)
    story.tell(m.Progressed(1, "load", 0), after_s=STABLE_S)
    assert story.life.history == failed


def _broken() -> Story:
    story = Story(m.Wanted())
    for number in range(1, MAX_FAILURES + 1):
        story.tell(m.Exited(number, Ending(3)))
        if number < MAX_FAILURES:
            assert story.tell(m.Tick(), after_s=2.0) == [m.Spawn(number + 1)]
    assert isinstance(story.effects[-1], m.Report)
    assert story.effects[-1].cool_down_s == COOL_DOWN_S
    assert story.life.broken
    return story


def test_no_job_is_given_out_before_the_device_has_its_memory_back() -> None:
    story = Story(*READY, m.Exited(1, Ending(-9)))
    story.tell(
        m.Tick(),
        m.Spawned(2, 78),
        m.Answered(2),
        m.MemorySeen(9100.0),
        after_s=1.0,
    )
    assert (story.state, story.life.available) == (S.READY, False)
    story.tell(m.MemorySeen(9250.0))
    assert story.life.available


def test_nor_before_a_gpu_has_its_own_back() -> None:
    gpu = DeviceMemory(name="cuda:a", total_mib=24000.0, free_mib=10000.0)
    parts = (
        MemoryPart(name="weights.unet", mib=5000.0, device="cuda", known="exact"),
        MemoryPart(name="weights.text_encoder", mib=900.0, device="cpu", known="exact"),
    )
    on_gpu = m.Beat(1, False, 400.0, 9000.0, parts, gpu, "cuda")
    for seen, available in [(12400.0, False), (12600.0, True), (None, True)]:
        story = Story(*STARTED, m.Answered(1), on_gpu, m.Exited(1, Ending(-9)))
        story.tell(m.Tick(), m.Spawned(2, 78), m.Answered(2), after_s=1.0)
        story.tell(m.MemorySeen(9400.0, seen))
        assert story.life.available is available


def test_memory_that_does_not_come_back_is_waited_for_only_so_long() -> None:
    story = Story(*READY, m.Exited(1, Ending(-9)))
    story.tell(m.Tick(), m.Spawned(2, 78), m.Answered(2), after_s=1.0)
    story.tell(m.MemorySeen(0.0), after_s=MEMORY_BACK_S)
    assert story.life.available


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


def test_a_process_that_is_asked_to_end_ignoring_it_is_killed_even_while_it_chatters() -> None:
    story = Story(*BUSY, m.Stop(5.0))
    assert story.tell(m.Progressed(1, "denoise", 3), m.Ended(1, HELD)) == []
    assert story.state is S.STOPPING
    assert story.tell(m.Tick(), after_s=6.0) == [KILL]


def test_one_that_cannot_be_used_is_ended_once() -> None:
    story = Story(*BUSY)
    assert story.tell(m.Distrusted(1, "broke off its answer")) == [TERM]
    assert story.tell(m.Distrusted(1, "broke off its answer")) == []
    (report,) = story.tell(m.Exited(1, Ending(0)))
    assert report.reason == "broke off its answer, and was ended (exit 0)"


@pytest.mark.parametrize(
    ("ending", "quoted"), [(Ending(3, last_lines=("boom",)), True), (Ending(-9), False)]
)
def test_users_are_told_what_happened_and_what_to_do(ending: Ending, quoted: bool) -> None:
    import datetime

    now = datetime.datetime.now(datetime.UTC)
    report = m.Report(ending, "ended", 77, 5, None, again=True)
    alert = alerts.of(report, "image", now)
    assert (alert.kind, alert.severity) == ("worker_restart", "warning")
    assert alert.message.startswith("The image worker ended.")
    assert ("boom" in alert.message) is quoted
    assert alert.message.endswith("It is started again.")
    later = alerts.of(report._replace(again=False), "image", now)
    assert later.message.endswith("It is started again when it is needed.")
    broken = alerts.of(report._replace(cool_down_s=30.0), "image", now)
    assert (broken.kind, broken.severity) == ("worker_breaker", "error")
    assert "canvas.workers.reset()" in str(broken)
    assert "\n" not in broken.message


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


def test_one_that_is_asked_something_may_take_as_long_as_for_a_job_and_keeps_its_model() -> None:
    story = Story(*READY, m.Begun(1, HELD), m.Ended(1, HELD), m.Asked(1))
    assert story.state is S.BUSY
    # Nothing that a process at rest may be silent for.
    assert story.tell(m.Missed(1, USUAL.idle_silence_s + 1), m.Tick()) == []
    story.tell(m.Beat(1, False, 400.0, 9000.0), m.Told(1))
    assert story.state is S.READY
    assert story.life.process is not None
    assert (story.life.process.held, story.life.process.work) == (HELD, None)
    # Nor is it at fault for waiting: for a job that there is no room for yet, say.
    assert m.Signal(77, signal.SIGTERM) not in story.tell(m.Tick(), after_s=USUAL.load_s + 1)
