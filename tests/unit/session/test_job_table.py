"""Jobs as a notebook shows them, each to be told from the others."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from mysticanvas import Canvas, Job
from mysticanvas.contracts.events import Event
from mysticanvas.contracts.jobs import JobRecord, Progress
from mysticanvas.contracts.problem import Problem
from mysticanvas.errors import ModelFileError
from mysticanvas.session import job_table
from mysticanvas.session.connection import Connection
from mysticanvas.session.tracker import JobTracker

MakeJob = Callable[..., JobRecord]
BROKEN = Problem.of(ModelFileError("The file <a> is damaged."))


def cells(shown: str) -> list[str]:
    return re.findall("<td[^>]*>(.*?)</td>", shown)


@pytest.mark.parametrize(
    ("status", "members", "state"),
    [
        ("queued", {"position": 3}, "queued, 3 before it"),
        ("queued", {"position": 3, "paused": True}, "queued, paused"),
        ("queued", {"position": 0, "priority": "background"}, "queued, in the background"),
        ("running", {}, "running"),
        ("running", {"progress": Progress(stage="denoise", fraction=0.4)}, "running 40%"),
        ("running", {"attempts": 2}, "running, attempt 2"),
        ("succeeded", {"priority": "background"}, "succeeded"),
        ("queued", {"kind": "export", "priority": "background"}, "queued"),
    ],
)
def test_a_row_says_where_a_job_is(
    make_job: MakeJob, status: str, members: dict[str, Any], state: str
) -> None:
    assert cells(job_table.of([make_job(status, **members)]))[2] == state


def test_a_row_tells_what_was_asked_for_when_and_what_came_of_it(make_job: MakeJob) -> None:
    record = make_job("failed", prompt="a <castle>", error=BROKEN)
    shown = cells(job_table.of([record]))
    assert shown[4:] == ["a &lt;castle&gt;", "The file &lt;a&gt; is damaged."]
    assert shown[3] == f"{record.created_at:%Y-%m-%d %H:%M}"


def test_a_job_shows_how_far_it_is_now(make_job: MakeJob, connection: Connection) -> None:
    tracker = JobTracker(make_job("running", prompt="a castle"))
    job: Job[None] = Job(connection, tracker, lambda record: None)
    tracker.advance(Event(epoch="e", type="progress", data={"stage": "denoise", "fraction": 0.4}))
    assert cells(job._repr_html_())[:3] == [job.id[-8:], "generate", "running 40%"]
    assert cells(job._repr_html_())[4] == "a castle"


def test_jobs_that_wait_show_their_prompts(canvas: Canvas, model: str) -> None:
    for prompt in ("a castle", "a cat"):
        canvas.submit(prompt, preset=model)
    shown = cells(canvas.jobs._repr_html_())
    assert (shown[4], shown[10]) == ("a cat", "a castle")
    assert canvas.submit("a dog", preset=model)._tracker.record.prompt == "a dog"
