"""Sessions without their processes: steps, and what a foreign process is told to leave."""

import json
import types
from typing import Any

import pytest

from benchmarks.gpu import ambush
from benchmarks.gpu.foreign import Foreign
from benchmarks.gpu.steps import Step, Watched, given_back, run, says
from mysticanvas.contracts.events import Event


def test_a_step_that_fails_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> dict[str, Any]:
        raise RuntimeError("so it is")

    good = Step("good", "this", lambda: {"ok": True, "more": 1})
    assert not run([Step("bad", "that", fails), good])
    assert run([good])
    bad, *others = map(json.loads, capsys.readouterr().out.splitlines())
    assert (bad["ok"], bad["expected"], bad["error"]) == (False, "that", "RuntimeError: so it is")
    assert [each["more"] for each in others] == [1, 1]


def test_what_a_worker_keeps_is_between_what_two_ways_need() -> None:
    weights, taken, context = 6_616.0, 17_724.0, ambush.CONTEXT_GPU_MIB
    tiles = ambush.keeps("tiles", taken, weights)
    assert weights + context + 2_000 < tiles < taken + context
    decoder = ambush.keeps("decoder", taken, weights)
    assert taken - weights + context + 2_000 < decoder < taken + context - 2_000


def test_something_is_done_at_the_first_step_and_going_back_is_seen() -> None:
    def progress(stage: str, step: int) -> Event:
        return Event(epoch="", type="progress", data={"stage": stage, "step": step})

    def watched(steps: list[int]) -> Watched:
        events = [progress("load", 0), *(progress("denoise", each) for each in steps)]
        job: Any = types.SimpleNamespace(events=lambda: iter(events))
        made = Watched(job, lambda: {"done": True})
        made.join()
        return made

    once = watched([0, 3, 5])
    assert (once.done, once.sampled_again) == ({"at_step": 3, "done": True}, False)
    assert watched([0, 3, 0, 1]).sampled_again
    assert watched([0]).done == {}


def test_words_are_looked_for_together() -> None:
    assert says(["one", "two"], ["one", "two of one"])
    assert not says(["one", "two"], ["one", "two"])


def test_where_nobody_tells_nothing_is_said_of_memory() -> None:
    assert given_back(None)["ok"]


def test_a_foreign_process_takes_and_gives_back() -> None:
    foreign = Foreign("cpu")
    try:
        assert foreign.look().held_mib == 0
        with foreign.leaving(10) as has:
            assert has.held_mib == 1
        assert foreign.look().held_mib == 0
    finally:
        foreign.end()
