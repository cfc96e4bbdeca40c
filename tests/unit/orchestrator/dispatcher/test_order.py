"""Jobs of the loaded model go first, and one in the background makes way for whoever waits."""

from __future__ import annotations

from typing import Any

from dispatching import Submit

from mysticanvas.home import HomePaths
from mysticanvas.orchestrator.queue.dispatcher import Dispatcher
from mysticanvas.store import Store


def test_a_background_job_makes_way_and_begins_again(
    store: Store, paths: HomePaths, dispatcher: Dispatcher, submit: Submit, reached: Any, bus: Any
) -> None:
    slow = submit("endless", priority="background")
    dispatcher.start()
    for attempt in (1, 2):
        reached(slow, "running", attempt)
        reached(submit("begin 0"), "succeeded")
    reached(slow, "running", 3)
    (paths.images.parent / "enough").touch()
    record = reached(slow, "succeeded")
    assert (record.attempts, record.failures) == (3, [])
    assert bus.statuses(slow) == ["queued", *["running", "queued"] * 2, "running", "succeeded"]


def test_jobs_of_the_loaded_model_go_before_those_that_need_another(
    dispatcher: Dispatcher, submit: Submit, reached: Any, bus: Any
) -> None:
    jobs = [submit("begin 0", model=model) for model in ("sd", "sdxl", "sd")]
    dispatcher.start()
    for job in jobs:
        reached(job, "succeeded")
    began = [d["id"] for kind, d in bus.published if kind == "job" and d["status"] == "running"]
    assert began == [jobs[0], jobs[2], jobs[1]]


def test_a_job_that_somebody_waits_for_makes_way_for_none(
    paths: HomePaths, dispatcher: Dispatcher, submit: Submit, reached: Any
) -> None:
    first = submit("endless")
    dispatcher.start()
    reached(first, "running")
    second = submit("begin 0")
    (paths.images.parent / "enough").touch()
    assert reached(second, "succeeded").attempts == 1
    assert reached(first, "succeeded").attempts == 1
